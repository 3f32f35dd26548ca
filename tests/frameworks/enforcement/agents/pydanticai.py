"""pydantic-ai with the OpenTelemetry instrumentation that it has built in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent, InstrumentationSettings, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "stream": False, "async": True, "astream": True}
LIMITS: Final = UsageLimits(request_limit=None)


def instrument(provider: TracerProvider) -> None:
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))


def build(mode: str, model_url: str, tools: list[Callable[..., Any]]) -> Callable[[str], Any]:
    def agent() -> Agent[None, str]:
        """Of one event loop, like its connections."""
        provider = OpenAIProvider(base_url=model_url, api_key="none")
        return Agent(OpenAIChatModel(MODEL, provider=provider), name="finder", tools=tools)

    def sync(question: str) -> str:
        return agent().run_sync(question, usage_limits=LIMITS).output

    def stream(question: str) -> str:
        return agent().run_stream_sync(question, usage_limits=LIMITS).get_output()

    async def in_loop(question: str) -> str:
        return (await agent().run(question, usage_limits=LIMITS)).output

    async def astream(question: str) -> str:
        async with agent().run_stream(question, usage_limits=LIMITS) as result:
            return await result.get_output()

    return {"sync": sync, "stream": stream, "async": in_loop, "astream": astream}[mode]
