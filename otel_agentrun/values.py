"""Any Python value as text or as an attribute, at bounded cost, without ever raising.

Applications pass whatever they have: models, data frames, generators, values that refer to
themselves, objects whose `repr` fails.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

__all__ = ["attribute", "text"]

DEPTH_MAX: Final = 16
ITEMS_MAX: Final = 1000
"""Items of one collection that are written out; the rest are counted."""
INT_BITS_MAX: Final = 63
"""An attribute is a signed 64-bit integer; a greater one would cost its whole export batch."""
DIGITS_BITS_MAX: Final = 4096
ELEMENTS_MAX: Final = 128
"""Of a sequence attribute."""
REPR_CHARS_MAX: Final = 1000
SMALL_ITEMS_MAX: Final = 16
SMALL_CHARS_MAX: Final = 500

encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def text(value: object, chars_max: int) -> str:
    """A string as it is, anything else as compact JSON of about `chars_max` characters at most.

    The JSON is whole: what does not fit is left out inside it.  A string is not cut.
    """
    if type(value) is str:
        return value
    try:
        if isinstance(value, str):
            return str.__str__(value)
        if not _is_small(value):
            value = _Walk(chars_max).plain(value, 0)
        return value if type(value) is str else encode(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _is_small(value: object) -> bool:
    """Arguments as most calls have them: a few short texts, counts and flags under names."""
    kind = type(value)
    if kind is dict:
        members = value.values()  # type: ignore[attr-defined]  # checked by `kind`
        if not all(type(name) is str for name in value):  # type: ignore[attr-defined]  # as above
            return False
    elif kind is list:
        members = value
    else:
        return False
    if len(value) > SMALL_ITEMS_MAX:  # type: ignore[arg-type]  # as above
        return False
    for member in members:
        held = type(member)
        if held is str:
            if len(member) > SMALL_CHARS_MAX:
                return False
        elif held is int:
            if member.bit_length() > INT_BITS_MAX:
                return False
        elif held is not bool and member is not None:
            return False
    return True


def attribute(value: object, chars_max: int) -> Any:
    """A value that a span may carry: bool, int, float, str or a tuple of one of them; other
    types become text.  `None` stays `None`: there is no such attribute."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= chars_max else cut(value, chars_max)  # type: ignore[arg-type]
    if kind is bool or kind is float or value is None:
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= INT_BITS_MAX else _integer(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple | Set) and not isinstance(value, str):
        items = list(value)[:ELEMENTS_MAX]
        if all(type(item) is str for item in items):
            return tuple(cut(item, chars_max) for item in items)
        if len({type(item) for item in items}) == 1 and type(items[0]) in (bool, float):
            return tuple(items)
        if all(type(item) is int and item.bit_length() <= INT_BITS_MAX for item in items):
            return tuple(items)
    return cut(text(value, chars_max), chars_max)


def cut(whole: str, chars_max: int) -> str:
    """At most `chars_max` characters of a text, and how many it had."""
    if len(whole) <= chars_max:
        return whole
    return f"{whole[:chars_max]}… [{len(whole)} characters]"


def _integer(value: int) -> str:
    # Python refuses to write out integers of more than 4300 digits.
    if value.bit_length() > DIGITS_BITS_MAX:
        return f"<int of {value.bit_length()} bits>"
    return str(value)


class _Walk:
    """Makes plain JSON values of one value; stops when the text is long enough."""

    __slots__ = ("left",)

    def __init__(self, chars: int) -> None:
        self.left = chars

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._string(value)
        self.left -= 4
        if kind is bool or value is None:
            return value
        if kind is int:
            return value if value.bit_length() <= INT_BITS_MAX else _integer(value)
        if kind is float:
            return value if value - value == 0 else str(value)
        if depth >= DEPTH_MAX:
            return self._string(f"<{kind.__name__}>")
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | Set):
            return self._items(value, depth)
        return self._other(value, depth)

    def _string(self, value: str) -> str:
        room = max(self.left, 0)
        self.left -= len(value) + 3
        return value if len(value) <= room else cut(value, room)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for count, (name, member) in enumerate(value.items()):
            if count >= ITEMS_MAX or self.left <= 0:
                found["…"] = f"{len(value) - count} more"
                break
            name = name if type(name) is str else _repr(name)
            found[self._string(name)] = self.plain(member, depth + 1)
        return found

    def _items(self, value: Sequence[Any] | Set[Any], depth: int) -> list[Any]:
        found: list[Any] = []
        for count, item in enumerate(value):
            if count >= ITEMS_MAX or self.left <= 0:
                found.append(f"… {len(value) - count} more")
                break
            found.append(self.plain(item, depth + 1))
        return found

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, bytes | bytearray | memoryview):
            return self._string(f"<{len(value)} bytes>")
        if isinstance(value, str):
            return self._string(str.__str__(value))
        if isinstance(value, int):
            return int(value) if value.bit_length() <= INT_BITS_MAX else _integer(value)
        try:
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                names = [each.name for each in dataclasses.fields(value)]
                return self._mapping({name: getattr(value, name, None) for name in names}, depth)
            dump = getattr(type(value), "model_dump", None)
            if dump is not None:
                return self.plain(dump(value), depth + 1)
        except Exception:
            return self._string(f"<{type(value).__name__}>")
        return self._string(_repr(value))


def _repr(value: object) -> str:
    """What a value calls itself: a date, a number, a path by their text, most objects by `repr`."""
    try:
        named = type(value).__str__ is not object.__str__ and not isinstance(value, BaseException)
        written = str(value) if named else repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return written if len(written) <= REPR_CHARS_MAX else cut(written, REPR_CHARS_MAX)
