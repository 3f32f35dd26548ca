"""One spelling for the same tool call, so that equal calls have equal digests.

Emitters write one call as `{"city": "Paris"}`, `{"city":"Paris"}`, `{'city': 'Paris'}` (Python),
`{"args": [], "kwargs": {...}}`, `{"kwargs": {...}}`, `{"input_str": "{'city': ...}"}`, the bare
value `Paris` where there is one argument, or with `<X object at 0x7f...>` in it (all seen in
captures).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_agentrun.plain_json import ADDRESS_MARK, SCAN, hash_bytes, plain_digest

LITERAL_CHARS_MAX: Final = 16_384
"""Python literals longer than this stay text: the parser builds a syntax tree of them."""
DECODES_MAX: Final = 3
"""Layers of text within text that are undone."""
DEPTH_MAX: Final = 64
CACHED_CHARS_MAX: Final = 2048
"""Longer texts are digested each time: 4096 of them are remembered."""

ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
OBJECT: Final = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")
WRAPPER_KEYS: Final = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})
SINGLE_TEXT_KEYS: Final = ("input_str",)


def parse(text: str) -> Any:
    """What `text` holds: JSON, else a Python literal, else the text itself.  Never raises."""
    value: Any = text
    for _ in range(DECODES_MAX):
        if not isinstance(value, str):
            return value
        decoded = _decode(value)
        if decoded is _NOTHING:
            return value
        value = decoded
    return value


_NOTHING: Final = object()


def _decode(text: str) -> Any:
    stripped = text.strip()
    if not stripped or stripped[0] not in "{[(\"'":
        return _NOTHING
    if stripped[0] in '{["':
        try:
            value, end = SCAN(stripped, 0)
            if end == len(stripped):
                return value
        except (ValueError, StopIteration, RecursionError):
            pass
    if len(stripped) > LITERAL_CHARS_MAX:
        return _NOTHING
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _NOTHING


def unwrap(value: Any) -> Any:
    """The arguments inside what a library wrapped around them."""
    if not isinstance(value, dict) and not isinstance(value, Mapping):
        return value
    inner = value.get("kwargs")
    if inner is not None and isinstance(inner, Mapping) and value.keys() <= WRAPPER_KEYS:
        positional = value.get("args")
        if positional and not inner and isinstance(positional, list) and len(positional) == 1:
            return positional[0]
        return {"args": positional, **inner} if positional else inner
    for key in SINGLE_TEXT_KEYS:
        text = value.get(key)
        if isinstance(text, str):
            return unwrap(parse(text))
    return value


def canonical(value: Any) -> str:
    """Text that is equal for equal calls: sorted JSON, no addresses, one argument = its value."""
    if isinstance(value, str):
        value = parse(value)
    value = cleaned(value)
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if isinstance(value, str):
        return value
    try:
        return ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        return ADDRESS.sub("", repr(value))


def cleaned(value: Any) -> Any:
    """The arguments inside what was wrapped around them, without addresses, as JSON values."""
    return _clean(unwrap(value), 0)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return ADDRESS.sub("", value) if ADDRESS_MARK in value else value
    if value is None or isinstance(value, int):  # a bool is one
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if depth >= DEPTH_MAX:
        return ADDRESS.sub("", repr(value))
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101  # the fast one first
        # A whole value that is an object's repr is the framework's (LlamaIndex passes its `ctx`).
        return {
            str(key): _clean(item, depth + 1)
            for key, item in value.items()
            if not (isinstance(item, str) and ADDRESS_MARK in item and OBJECT.fullmatch(item))
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_clean(item, depth + 1) for item in value), key=repr)
    return ADDRESS.sub("", repr(value))


def digest(value: Any) -> str:
    """16 hex over the canonical arguments; "" for arguments that were not recorded."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and len(value) <= CACHED_CHARS_MAX:
        return _text_digest(value)
    return _hash(canonical(value))


@lru_cache(maxsize=4096)
def _text_digest(text: str) -> str:
    # A call is digested when it is requested and again when it runs: hence the cache.
    return plain_digest(text) or _hash(canonical(text))


def _hash(text: str) -> str:
    return hash_bytes(text.encode("utf-8", "surrogatepass"))


def result_digest(value: Any) -> str:
    """16 hex over a tool's result without the message around it; "" when not recorded."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and (plain := plain_digest(value)):
        return plain
    return _hash(canonical(result(value)))


def result(value: Any) -> Any:
    """The answer inside the message a framework puts around it (LangChain, Bedrock, MCP)."""
    if isinstance(value, str):
        value = parse(value)
    if isinstance(value, Mapping):
        data = value.get("data")
        if value.get("type") == "tool" and isinstance(data, Mapping) and "content" in data:
            return data["content"]
        kwargs = value.get("kwargs")
        if value.get("lc") == 1 and isinstance(kwargs, Mapping) and "content" in kwargs:
            return kwargs["content"]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        part = value[0]
        if isinstance(part.get("text"), str) and part.keys() <= {"text", "type"}:
            return part["text"]
    return value
