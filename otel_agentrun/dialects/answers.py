"""Answers of model APIs, kept whole by emitters that log what a call returned.

Sources: the API references of OpenAI (chat completions, Responses), Anthropic (Messages) and Gemini
(generateContent), and langchain-core's `LLMResult`.  These functions read what a step needs; for a
person the same answer goes through `messages.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_agentrun.dialects import messages
from otel_agentrun.step import ToolRequest

LISTS: Final = ("choices", "output", "candidates", "messages")
"""Where an answer lists what it says."""
ASKS: Final = frozenset({"function_call", "tool_use", "tool_call", "tool-call"})
"""Types of parts and items that ask for a tool."""
ASK_KEYS: Final = ("functionCall", "function_call", "toolUse")
REASONS: Final = ("finish_reason", "finishReason", "stop_reason", "stopReason")


def response_id(body: Mapping[str, Any]) -> str:
    """The answer's own id; LangChain puts it into `llm_output`."""
    stated = body.get("id")
    if type(stated) is not str:
        inner = body.get("llm_output")
        stated = inner.get("id") if type(inner) is dict else ""
    return stated if type(stated) is str else ""


def finish_reasons(body: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    for one in (body, *_said(body, "")):
        for key in REASONS:
            reason = one.get(key)
            if type(reason) is str and reason:
                found.append(reason)
                break
    return tuple(found)


def usage(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage object, in the API's own spelling (`raw_usage.counts`)."""
    for key in ("usage", "usage_metadata", "usageMetadata"):
        if type(found := body.get(key)) is dict:
            return found
    return {}


def tool_requests(body: Any) -> tuple[ToolRequest, ...]:
    """Calls that the answer asks for, in its order."""
    found: list[ToolRequest] = []
    for one in _said(body, "message"):
        calls = _calls(one)
        if calls:
            found += messages.tool_requests([messages.with_calls({"role": "assistant"}, calls)])
    return tuple(found)


def said(sent: Any) -> list[messages.Message] | None:
    """The messages of an answer, all of them the model's."""
    if isinstance(sent, str):
        return [{"role": "assistant", "content": sent}] if sent else None
    body: Any = sent
    if isinstance(sent, Mapping):
        body = next((sent[key] for key in LISTS if isinstance(sent.get(key), list)), sent)
    found = messages.parse(body)
    for one in found or ():
        if one["role"] == "user":  # an item without a role
            one["role"] = "assistant"
    return found


def _said(body: Any, inside: str) -> Iterator[dict[str, Any]]:
    """What the answer consists of: choices, items, or itself; `inside` them where there is that."""
    listed: Any = body if type(body) is list else None
    if listed is None and isinstance(body, Mapping):
        listed = next((body[key] for key in LISTS if type(body.get(key)) is list), None)
        if listed is None:
            listed = body.get("generations")
            if type(listed) is list:  # LangChain: one list per prompt
                listed = [
                    one for each in listed for one in (each if type(each) is list else [each])
                ]
            elif inside:
                listed = [body]
    for one in listed or ():
        if type(one) is not dict:
            continue
        inner = one.get(inside) if inside else one
        if inside and inner is None:
            inner = one.get("content") if "parts" in (one.get("content") or ()) else one
        if type(inner) is dict:
            kwargs = inner.get("kwargs")  # LangChain's serialization
            yield kwargs if inner.get("lc") == 1 and type(kwargs) is dict else inner


def _calls(message: dict[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    if type(calls) is list and calls:
        return calls
    if message.get("type") in ASKS:
        return [message]
    parts = message.get("content")
    if type(parts) is not list:
        parts = message.get("parts")
    found = []
    for part in parts if type(parts) is list else ():
        if type(part) is not dict:
            continue
        if part.get("type") in ASKS:
            found.append(part)
        else:
            found += [part[key] for key in ASK_KEYS if type(part.get(key)) is dict]
    return found
