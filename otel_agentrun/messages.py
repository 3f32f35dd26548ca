"""Messages as the GenAI conventions spell them, from what model clients take and give.

`[{"role": "user", "content": "Hi"}]` is
`[{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]`.  Clients' own objects are read
by attribute, so that none of them has to be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Answer", "as_messages", "read_answer"]

NESTED: Final = ("text", "content", "input_text", "output_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client's response says of a model call; `None` is not said."""

    model: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    messages: object = None


def as_messages(value: object, role: str = "user") -> object:
    """Messages in the convention's form; what is not recognized stays as it is."""
    if isinstance(value, str):
        return [{"role": role, "parts": [{"type": "text", "content": value}]}]
    if isinstance(value, list | tuple):
        return [_message(each, role) for each in value]
    return [_message(value, role)]


def _message(value: object, role: str) -> object:
    if isinstance(value, str):
        return {"role": role, "parts": [{"type": "text", "content": value}]}
    if _get(value, "parts") is not None or _get(value, "role") is None:
        return value
    said = _text(_get(value, "role")) or role
    content = _get(value, "content")
    parts: list[object] = []
    call_id = _get(value, "tool_call_id")
    if said == "tool" and call_id is not None:
        parts.append({"type": "tool_call_response", "id": call_id, "response": content})
    elif isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif isinstance(content, list | tuple):
        parts += [_part(each) for each in content]
    for call in _get(value, "tool_calls") or ():
        function = _get(call, "function") or call
        parts.append(
            {
                "type": "tool_call",
                "id": _get(call, "id"),
                "name": _get(function, "name"),
                "arguments": _get(function, "arguments"),
            }
        )
    return {"role": said, "parts": parts}


def _part(value: object) -> object:
    kind = _get(value, "type")
    if kind in NESTED:
        return {"type": "text", "content": _get(value, "text") or _get(value, "content")}
    if kind == "tool_use":
        name, given = _get(value, "name"), _get(value, "input")
        return {"type": "tool_call", "id": _get(value, "id"), "name": name, "arguments": given}
    if kind == "tool_result":
        answer = _get(value, "content")
        return {"type": "tool_call_response", "id": _get(value, "tool_use_id"), "response": answer}
    return value


def read_answer(response: object) -> Answer | None:
    """What a response object of the OpenAI or the Anthropic client, or a mapping of the same shape,
    says; `None` for what is no such response."""
    usage = _get(response, "usage")
    choices = _get(response, "choices")
    if usage is None and choices is None:
        return None
    sent = _count(usage, "prompt_tokens", "input_tokens")
    read = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    if sent is not None:
        # Anthropic counts cached tokens apart; the convention's input includes them.
        sent += (read or 0) + (written or 0)
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    output_details = _get(usage, "completion_tokens_details") or _get(
        usage, "output_tokens_details"
    )
    reasons, messages = _outcome(response, choices)
    return Answer(
        model=_text(_get(response, "model")),
        response_id=_text(_get(response, "id")),
        finish_reasons=reasons,
        input_tokens=sent,
        output_tokens=_count(usage, "completion_tokens", "output_tokens"),
        cache_read_tokens=read if read is not None else _count(details, "cached_tokens"),
        cache_write_tokens=written,
        reasoning_tokens=_count(output_details, "reasoning_tokens"),
        messages=messages,
    )


def _outcome(response: object, choices: object) -> tuple[tuple[str, ...], object]:
    if isinstance(choices, list | tuple):
        reasons = [_text(_get(each, "finish_reason")) for each in choices]
        said = [_get(each, "message") for each in choices]
        given = [each for each in said if each is not None]
        return (tuple(each for each in reasons if each), as_messages(given, "assistant"))
    stop = _text(_get(response, "stop_reason"))
    content = _get(response, "content")
    if content is None:
        content = _get(response, "output")
    messages = as_messages([{"role": "assistant", "content": content}]) if content else None
    return ((stop,) if stop else (), messages)


def _get(value: object, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(usage: object, *names: str) -> int | None:
    for name in names:
        found = _get(usage, name)
        if type(found) is int and found >= 0:
            return found
    return None
