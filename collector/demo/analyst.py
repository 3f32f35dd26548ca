"""An agent that plans before it acts, and an expensive one."""

from __future__ import annotations

from typing import Final

import otel_agentrun as agentrun
from collector.demo.scripted_model import ScriptedModel, says

MODEL: Final = "claude-opus-4-1"
MONTHS: Final = ("july", "august", "september", "october")


def report(question: str) -> None:
    """Twelve dollars for four months of chats: model calls that carry out the steps of a plan."""
    client = ScriptedModel(
        MODEL,
        [says(f"In {month} they ask for refunds.", tokens=(180_000, 0, 4_000)) for month in MONTHS],
    )
    with agentrun.run(
        "analyst", input=question, workspace="management", trigger="cron", tags={"team": "quality"}
    ) as run:
        with agentrun.plan(iteration=1) as plan:
            steps = plan.compiled([f"read the chats of {month}" for month in MONTHS])
            plan.route(MODEL, alternatives=["claude-haiku-4-5"], reason="nothing may be missed")
        found = []
        for step, month in zip(steps, MONTHS, strict=True):
            task = f"The chats of {month} follow. {question}"
            with agentrun.model(MODEL, provider="anthropic", messages=task, plan_step=step) as call:
                response = client.complete([{"role": "user", "content": task}])
                call.response(response)
            found.append(response["choices"][0]["message"]["content"])
        run.respond("\n".join(found))
        run.feedback("worth_it", label="soft_failure", comment="We knew that.", actor="user-eva")
