"""agno under openinference-instrumentation-agno: single agents, and a team of two that delegates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from openinference.instrumentation.agno import AgnoInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "stream": False, "async": True, "astream": True}


def instrument(provider: TracerProvider) -> None:
    AgnoInstrumentor().instrument(tracer_provider=provider)


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    def agent() -> Agent:
        model = OpenAIChat(id=MODEL, base_url=model_url, api_key="none")
        return Agent(name="finder", model=model, tools=list(tools), telemetry=False)

    def sync(question: str) -> str:
        return str(agent().run(question).content)

    def stream(question: str) -> str:
        return "".join(str(event.content or "") for event in agent().run(question, stream=True))

    async def asynchronous(question: str) -> str:
        return str((await agent().arun(question)).content)

    async def astream(question: str) -> str:
        events = agent().arun(question, stream=True)
        return "".join([str(event.content or "") async for event in events])

    return {"sync": sync, "stream": stream, "async": asynchronous, "astream": astream}[mode]
