"""LlamaIndex's FunctionAgent under openinference-instrumentation-llama-index.  A workflow: there is
no agent of it without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from tests.frameworks.enforcement.scenarios import ROUNDS_MAX
from tests.frameworks.model import MODEL

MODES: Final = {"async": True, "astream": True}


def instrument(provider: TracerProvider) -> None:
    LlamaIndexInstrumentor().instrument(tracer_provider=provider)


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    def agent() -> FunctionAgent:
        return FunctionAgent(
            name="finder",
            tools=[FunctionTool.from_defaults(async_fn=each) for each in tools],
            llm=OpenAI(model=MODEL, api_base=model_url, api_key="none"),
            streaming=mode == "astream",
            timeout=60,
        )

    async def asynchronous(question: str) -> str:
        return str(await agent().run(question, max_iterations=2 * ROUNDS_MAX))

    async def astream(question: str) -> str:
        handler = agent().run(question, max_iterations=2 * ROUNDS_MAX)
        said = ""
        async for event in handler.stream_events():
            if isinstance(event, AgentStream):
                said += event.delta
        await handler
        return said

    return {"async": asynchronous, "astream": astream}[mode]
