"""The first runs: what it takes to see one."""

from __future__ import annotations

import otel_agentrun as agentrun
from collector.demo import shop
from collector.demo.scripted_model import ScriptedModel, says


def greet(name: str) -> None:
    """A run with an input and an answer."""
    with agentrun.run("greeter", input=name) as run:
        run.respond(f"Hello {name}, what can I do for you?")


@agentrun.tool
def opening_hours(day: str) -> str:
    """A decorated function is a step: its arguments, its result, its errors are recorded."""
    return "closed" if day == "sunday" else "9 to 18"


@agentrun.run("opening_hours_agent", tags={"team": "web"})
def are_you_open(day: str) -> str:
    """A decorated function can be a whole run as well."""
    return f"On {day} we are open {opening_hours(day)}."


@agentrun.retrieve("shop-policies", top_k=2, filters={"lang": "en"})
def search_policies(query: str) -> list[shop.Document]:
    """A search that gives documents, best first."""
    return shop.policies(query)


def answer_from_policies(question: str, user: str) -> None:
    """Search and model: a run that costs tokens, of somebody."""
    client = ScriptedModel(
        "gpt-4.1-mini", [says("Unused parts, for 30 days.", tokens=(318, 0, 14))]
    )
    with agentrun.run("faq_agent", input=question, user=user) as run:
        found = "\n".join(policy["snippet"] for policy in search_policies(question))
        with agentrun.model("gpt-4.1-mini", provider="openai", messages=question) as call:
            response = client.complete([{"role": "user", "content": f"{found}\n{question}"}])
            call.response(response)  # text, tokens, model, id: as the client gave them
        run.respond(response["choices"][0]["message"]["content"])
