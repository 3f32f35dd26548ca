"""No framework: a loop around the OpenAI client, instrumented by OpenTelemetry; its tools are
steps of ours, those that the model asks for at once run side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from openai import AsyncOpenAI, OpenAI
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import otel_agentrun as agentrun
from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "stream": False, "async": True, "astream": True}
PARAMETERS: Final = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
}

Message = dict[str, Any]


def instrument(provider: TracerProvider) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=provider)


def build(mode: str, model_url: str, tools: list[Callable[..., Any]]) -> Callable[[str], Any]:
    known = {each.__name__: agentrun.tool(each) for each in tools}
    request: dict[str, Any] = {
        "model": MODEL,
        "tools": [
            {"type": "function", "function": {"name": name, "parameters": PARAMETERS}}
            for name in known
        ],
    }
    if "stream" in mode:
        request |= {"stream": True, "stream_options": {"include_usage": True}}

    def call(asked: Any) -> Any:
        return known[asked["function"]["name"]](**json.loads(asked["function"]["arguments"]))

    def sync(question: str) -> str:
        client = OpenAI(base_url=model_url, api_key="none", max_retries=0)
        messages: list[Message] = [{"role": "user", "content": question}]
        with ThreadPoolExecutor(2) as pool:
            while True:
                reply = client.chat.completions.create(messages=messages, **request)
                message = together(reply) if "stream" in mode else plain(reply)
                messages.append(message)
                if not (asked := message.get("tool_calls")):
                    return str(message["content"])
                doing = [pool.submit(agentrun.wrap(call), each) for each in asked]
                messages += results(asked, [each.result() for each in doing])

    async def in_loop(question: str) -> str:
        client = AsyncOpenAI(base_url=model_url, api_key="none", max_retries=0)
        messages: list[Message] = [{"role": "user", "content": question}]
        while True:
            reply = await client.chat.completions.create(messages=messages, **request)
            if "stream" in mode:
                message = together([chunk async for chunk in reply])
            else:
                message = plain(reply)
            messages.append(message)
            if not (asked := message.get("tool_calls")):
                return str(message["content"])
            messages += results(asked, await asyncio.gather(*map(call, asked)))

    return in_loop if MODES[mode] else sync


def plain(reply: Any) -> Message:
    said: Message = reply.choices[0].message.model_dump(exclude_none=True)
    return said


def together(chunks: Iterable[Any]) -> Message:
    """The message of a stream; the scripted model sends its parts whole."""
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    said = [delta.model_dump(exclude_none=True) for delta in deltas]
    message: Message = {"role": "assistant"}
    if content := "".join(each.get("content", "") for each in said):
        message["content"] = content
    calls = [call for each in said for call in each.get("tool_calls", ())]
    for call in calls:
        del call["index"]
    return {**message, "tool_calls": calls} if calls else message


def results(asked: list[Any], found: Iterable[str]) -> list[Message]:
    return [
        {"role": "tool", "tool_call_id": each["id"], "content": result}
        for each, result in zip(asked, found, strict=True)
    ]
