"""Strands: its own telemetry.  The agent's loop runs in a thread with an event loop of its own when
it is called without one; tool calls of one reply run beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from strands import Agent, tool
from strands.models.openai import OpenAIModel

from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "async": True, "astream": True}


def instrument(provider: TracerProvider) -> None:
    """It uses the global provider."""


def agent(model_url: str, tools: list[Callable[[str], Any]]) -> Agent:
    """A new one each time: an agent remembers what it was asked before."""
    return Agent(
        model=OpenAIModel(client_args={"base_url": model_url, "api_key": "none"}, model_id=MODEL),
        tools=[tool(each) for each in tools],
        callback_handler=None,
    )


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    def sync(question: str) -> str:
        return str(agent(model_url, tools)(question)).strip()

    async def asynchronous(question: str) -> str:
        return str(await agent(model_url, tools).invoke_async(question)).strip()

    async def astream(question: str) -> str:
        result: Any = None
        async for event in agent(model_url, tools).stream_async(question):
            result = event.get("result", result)
        return str(result).strip()

    return {"sync": sync, "async": asynchronous, "astream": astream}[mode]
