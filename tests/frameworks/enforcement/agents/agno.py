"""agno under openinference-instrumentation-agno."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.run.agent import RunEvent
from agno.run.team import TeamRunEvent
from agno.team import Team
from openinference.instrumentation.agno import AgnoInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "stream": False, "async": True, "astream": True}

CONTENT: Final = (TeamRunEvent.run_content, RunEvent.run_content)


def instrument(provider: TracerProvider) -> None:
    AgnoInstrumentor().instrument(tracer_provider=provider)


def model(model_url: str) -> OpenAIChat:
    return OpenAIChat(id=MODEL, base_url=model_url, api_key="none")


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    agent = Agent(name="finder", model=model(model_url), tools=list(tools), telemetry=False)
    return calls(agent)[mode]


def calls(agent: Agent | Team) -> dict[str, Callable[[str], Any]]:
    """Mode -> how an agent, or a team of them, is asked."""

    def sync(question: str) -> str:
        return str(agent.run(question).content)

    def stream(question: str) -> str:
        return answer(list(agent.run(question, stream=True)))

    async def asynchronous(question: str) -> str:
        return str((await agent.arun(question)).content)

    async def astream(question: str) -> str:
        return answer([event async for event in agent.arun(question, stream=True)])

    return {"sync": sync, "stream": stream, "async": asynchronous, "astream": astream}


def answer(events: list[Any]) -> str:
    """What the leader of a team said, else the agent."""
    said: dict[str, str] = {}
    for event in events:
        if event.event in CONTENT:
            said[event.event] = said.get(event.event, "") + str(event.content or "")
    return said.get(CONTENT[0]) or said.get(CONTENT[1], "")
