"""The OpenAI Agents SDK, instrumented by OpenInference; its model speaks the Responses API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agents import Agent, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from tests.frameworks.enforcement.scenarios import ROUNDS_MAX
from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "async": True, "astream": True}
TURNS_MAX: Final = ROUNDS_MAX + 1


def instrument(provider: TracerProvider) -> None:
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)


def build(mode: str, model_url: str, tools: list[Callable[..., Any]]) -> Callable[[str], Any]:
    def agent() -> Agent[None]:
        """Of one event loop, like its connections."""
        client = AsyncOpenAI(base_url=model_url, api_key="none", max_retries=0)
        return Agent(
            name="finder",
            model=OpenAIResponsesModel(MODEL, client),
            tools=[function_tool(each) for each in tools],
        )

    def sync(question: str) -> str:
        return str(Runner.run_sync(agent(), question, max_turns=TURNS_MAX).final_output)

    async def in_loop(question: str) -> str:
        return str((await Runner.run(agent(), question, max_turns=TURNS_MAX)).final_output)

    async def astream(question: str) -> str:
        result = Runner.run_streamed(agent(), question, max_turns=TURNS_MAX)
        async for _ in result.stream_events():
            pass
        return str(result.final_output)

    return {"sync": sync, "async": in_loop, "astream": astream}[mode]
