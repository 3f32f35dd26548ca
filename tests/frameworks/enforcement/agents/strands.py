"""Strands: its own telemetry.  The agent's loop runs in a thread with an event loop of its own when
it is called without one; tool calls of one reply run beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.multiagent import GraphBuilder

from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "async": True, "astream": True, "graph": False}


def instrument(provider: TracerProvider) -> None:
    """It uses the global provider."""


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    def agent() -> Agent:
        """A new one each time: an agent remembers what it was asked before."""
        return Agent(
            model=OpenAIModel(
                client_args={"base_url": model_url, "api_key": "none"}, model_id=MODEL
            ),
            tools=[tool(each) for each in tools],
            callback_handler=None,
        )

    def sync(question: str) -> str:
        return str(agent()(question))

    async def asynchronous(question: str) -> str:
        return str(await agent().invoke_async(question))

    async def astream(question: str) -> str:
        last: Any = None
        async for event in agent().stream_async(question):
            last = event.get("result", last)
        return str(last)

    def graph(question: str) -> str:
        builder = GraphBuilder()
        builder.add_node(agent(), "only")
        return str(builder.build()(question).results["only"].result)

    return {"sync": sync, "async": asynchronous, "astream": astream, "graph": graph}[mode]
