"""The structure of a value without its content: keys, types and lengths, never values.

`structure('{"city":"Paris"}')` is
`{"type":"object","members":{"city":{"type":"string","length":5}}}`.  Lengths are characters of a
string and items of an array.  A string that holds JSON itself (most emitters encode twice) has its
structure under `json`.  Size is bounded: what goes past a limit is counted under `more`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from otel_agentrun.plain_json import dumps, loads

__all__ = ["is_structure", "structure"]

TEXT_CHARS_MAX: Final = 1 << 20
"""Longer text is described by its length alone; parsing it would cost more than it tells."""
DEPTH_MAX: Final = 8
MEMBERS_MAX: Final = 64
SHAPES_MAX: Final = 8
"""Distinct structures listed for the items of one array."""
NAME_CHARS_MAX: Final = 64
NODES_MAX: Final = 256
"""Nodes described in all: at most about 25 KB of text."""

TYPES: Final = frozenset({"string", "number", "boolean", "null", "object", "array"})

STARTS: Final = tuple('{["-0123456789tfnNI')
"""How JSON begins, `NaN` and `Infinity` included."""

Shape = dict[str, Any]


def structure(text: str) -> str:
    """Compact JSON that tells how `text` is built; text that is no JSON is one string.

    A value that is a structure already is returned as it is.
    """
    found, value = _parse(text)
    if not found:
        return dumps({"type": "string", "length": len(text)})
    if _is_shape(value, 0):
        return dumps(value)
    return dumps(_Walk().shape(value, 0))


def is_structure(text: str) -> bool:
    """Was `text` made by `structure`?"""
    return text.startswith('{"type":') and _is_shape(_parse(text)[1], 0)


def _parse(text: str) -> tuple[bool, Any]:
    if len(text) > TEXT_CHARS_MAX:
        return False, None
    if text[:1] not in STARTS and text.lstrip()[:1] not in STARTS:
        return False, None  # prose, mostly: an exception would cost more
    for read in (loads, json.loads):  # the second takes NaN and halves of a pair
        try:
            return True, read(text)
        except (ValueError, RecursionError):
            continue
    return False, None


class _Walk:
    """One walk over one value; counts the nodes it has described."""

    def __init__(self) -> None:
        self.nodes = 0

    def shape(self, value: Any, depth: int) -> Shape:
        self.nodes += 1
        kind = type(value)
        if kind is str:
            if value[:1] in ("{", "["):
                return self._string(value, depth)
            return {"type": "string", "length": len(value)}
        if kind is dict:
            return self._object(value, depth)
        if kind is list:
            return self._array(value, depth)
        if kind is bool:
            return {"type": "boolean"}
        return {"type": "null"} if value is None else {"type": "number"}

    def _full(self, depth: int) -> bool:
        return depth >= DEPTH_MAX or self.nodes >= NODES_MAX

    def _string(self, value: str, depth: int) -> Shape:
        """One that may hold JSON itself."""
        shape: Shape = {"type": "string", "length": len(value)}
        if not self._full(depth):
            found, inner = _parse(value)
            if found and not _is_shape(inner, 0):
                shape["json"] = self.shape(inner, depth + 1)
        return shape

    def _object(self, value: dict[str, Any], depth: int) -> Shape:
        members: Shape = {}
        for name, member in value.items() if depth < DEPTH_MAX else ():
            if self.nodes >= NODES_MAX or len(members) >= MEMBERS_MAX:
                break
            # Equal after the cut: the first one stands, the others are counted.
            cut = name[:NAME_CHARS_MAX]
            if cut not in members:
                members[cut] = self.shape(member, depth + 1)
        shape: Shape = {"type": "object", "members": members}
        if len(members) < len(value):
            shape["more"] = len(value) - len(members)
        return shape

    def _array(self, value: list[Any], depth: int) -> Shape:
        items: list[Shape] = []
        for item in value:
            if len(items) >= SHAPES_MAX or self._full(depth):
                break
            shape = self.shape(item, depth + 1)
            if shape not in items:
                items.append(shape)
        return {"type": "array", "length": len(value), "items": items}


def _is_shape(value: Any, depth: int) -> bool:
    """Only what `structure` writes passes, so that no value can pose as a structure."""
    if not isinstance(value, dict) or depth > DEPTH_MAX:
        return False
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        return False
    rest = {name: member for name, member in value.items() if name != "type"}
    if kind == "object":
        members, more = rest.pop("members", None), rest.pop("more", 1)
        return (
            not rest
            and isinstance(members, dict)
            and len(members) <= MEMBERS_MAX
            and _is_count(more)
            and all(len(name) <= NAME_CHARS_MAX for name in members)
            and all(_is_shape(member, depth + 1) for member in members.values())
        )
    if kind == "array":
        items, length = rest.pop("items", None), rest.pop("length", None)
        return (
            not rest
            and _is_count(length)
            and isinstance(items, list)
            and len(items) <= SHAPES_MAX
            and all(_is_shape(item, depth + 1) for item in items)
        )
    if kind == "string":
        inner = rest.pop("json", None)
        return (
            _is_count(rest.pop("length", None))
            and not rest
            and (inner is None or _is_shape(inner, depth + 1))
        )
    return not rest


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40
