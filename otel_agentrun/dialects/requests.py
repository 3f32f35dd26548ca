"""Tool calls that a model asked for, on the hot path: read where they are, and nothing around them.

`messages.py` reads any message whole, as a person wants to see it.  A step needs names, ids and
digests alone: the shapes that nearly all emitters send are read directly here, with the same
result; others go through `messages.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from otel_agentrun import arguments, plain_json
from otel_agentrun.dialects import messages, sources
from otel_agentrun.step import ToolRequest, as_text

__all__ = ["in_flat", "in_messages"]

MARKS: Final = (
    '"tool_call',
    '"toolUse"',
    '"tool_use"',
    '"function_call"',
    '"functionCall"',
)
MESSAGE_KEYS: Final = frozenset({"role", "parts", "finish_reason", "name"})
CALL_KEYS: Final = frozenset({"type", "id", "name", "arguments"})
TEXTS: Final = frozenset({"text", "reasoning"})
TEXT_KEYS: Final = frozenset({"type", "content"})
SHAPES_MAX: Final = 2048

Slot = tuple[str, str, str]
"""Keys of one flattened call's id, name and arguments; "" for one that is not there."""


def _may_request(text: str) -> bool:
    # No request is without a name, whatever its shape: one scan instead of five.
    return '"name' in text


def in_messages(sent: Any) -> tuple[ToolRequest, ...]:
    """Requests in output messages or in one message's content, as text or structure."""
    if sent is None:
        return ()
    text = sent if isinstance(sent, str) else as_text(sent)
    if not _may_request(text) or not any(mark in text for mark in MARKS):
        return ()
    found = _in_parts(text)
    if found is not None:
        return found
    parsed = arguments.parse(text)
    if isinstance(parsed, list) and parsed and not _are_messages(parsed):
        parsed = [{"role": "assistant", "content": parsed}]
    return messages.tool_requests(messages.parse(parsed) or ())


def _are_messages(items: list[Any]) -> bool:
    return any(
        isinstance(item, Mapping) and ("role" in item or "parts" in item or "message" in item)
        for item in items
    )


def _in_parts(text: str) -> tuple[ToolRequest, ...] | None:
    """Requests in messages of the convention; `None` for whatever has other members or shapes."""
    try:
        said = plain_json.loads(text)
    except (ValueError, RecursionError):
        return None
    if type(said) is not list:
        return None
    found: dict[str, ToolRequest] = {}
    for one in said:
        if type(one) is not dict or not MESSAGE_KEYS.issuperset(one):
            return None
        parts = one.get("parts")
        if type(parts) is not list:
            return None
        for part in parts:
            if type(part) is not dict:
                return None
            if part.get("type") in TEXTS and TEXT_KEYS.issuperset(part):
                if type(part.get("content")) is not str:
                    return None
                continue
            name, call_id, given = part.get("name"), part.get("id"), part.get("arguments")
            if part.get("type") != "tool_call" or not CALL_KEYS.issuperset(part):
                return None
            if type(name) is not str or not name:
                return None
            if type(call_id) is not str or not call_id:
                return None
            digest = _digest(given)
            if digest is None:
                return None
            found[call_id] = ToolRequest(name=name, call_id=call_id, arguments_digest=digest)
    return tuple(found.values())


def _digest(given: Any) -> str | None:
    """`None` for a structure in which this parser may have lost something (huge numbers)."""
    if given is None or type(given) is str:
        return arguments.digest(given)
    return plain_json.value_digest(given) or None


def in_flat(attributes: Mapping[str, Any], prefix: str) -> tuple[ToolRequest, ...]:
    """Requests spread over attributes that start with `prefix` (`sources.from_flat`)."""
    calls: list[tuple[str, str, Any]] = []
    for slots in _slots(prefix, tuple(attributes)):
        for id_key, name_key, arguments_key in slots:
            name = attributes[name_key]
            if isinstance(name, str) and name:
                given = attributes[arguments_key] if arguments_key else None
                call_id = attributes[id_key] if id_key else None
                calls.append((str(call_id or ""), name, given))
    if len(calls) > 1:  # of several with one id the last counts, in the place of the first
        calls = list({call[0] or at: call for at, call in enumerate(calls)}.values())
    return tuple(
        ToolRequest(name=name, call_id=call_id, arguments_digest=arguments.digest(given))
        for call_id, name, given in calls
    )


@lru_cache(maxsize=SHAPES_MAX)
def _slots(prefix: str, keys: tuple[str, ...]) -> tuple[tuple[Slot, ...], ...]:
    """Where calls are among these keys, by message: an emitter sends a handful of sets of keys."""
    by_message: dict[int, dict[int, dict[str, str]]] = {}
    for key in keys:
        place = sources.call_of(key, prefix)
        if place is not None:
            message, call, field = place
            by_message.setdefault(message, {}).setdefault(call, {})[field] = key
    return tuple(
        tuple(
            (slot.get("id", ""), slot["name"], slot.get("arguments", ""))
            for _, slot in sorted(calls.items())
            if "name" in slot
        )
        for _, calls in sorted(by_message.items())
    )
