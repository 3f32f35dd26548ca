"""The digest of arguments or results that are plain JSON, several times faster than in general.

Nearly all tool calls send an object that nothing is wrapped around.  Parsed and written in one go
by C code, it gives the digest that `arguments.canonical` leads to, at a fifth of the cost; all else
(wrappers, Python spellings, addresses, fractions, which C libraries write differently) is left to
that module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

Scan = Callable[[str, int], tuple[Any, int]]
SCAN: Final[Scan] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed leaves it out
"""(text, position) -> (value, end); `json.loads` spends most of its time around it."""

WRAPPER_KEYS: Final = frozenset({"kwargs", "data", "input_str"})
"""An object without any of these keys is no wrapper to `arguments.unwrap` and `.result`."""
SCALARS: Final = frozenset({str, int, bool, type(None)})
NESTED_MAX: Final = 8
DEPTH_MAX: Final = 64
ADDRESS_MARK: Final = " at 0x"
ADDRESS_BYTES: Final = ADDRESS_MARK.encode()


def _whole(text: str) -> int:
    """1.0 is 1, as in `arguments.canonical`; raises ValueError for what has a fraction."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _no_number(text: str) -> int:
    raise ValueError(text)


SCAN_WHOLE: Final[Scan] = json.JSONDecoder(parse_float=_whole, parse_constant=_no_number).scan_once  # type: ignore[attr-defined]  # typeshed leaves it out


ESCAPED: Final = json.JSONEncoder(separators=(",", ":")).encode


def _codec() -> tuple[Callable[[Any], bytes], Callable[[str], Any], Callable[[Any], str]]:
    """(encoder: sorted, compact, not escaped to ASCII; decoder; encoder: compact, escaped), by
    `orjson` where there is one."""
    try:
        import orjson
    except ImportError:
        written = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
        return (lambda value: written(value).encode("utf-8", "surrogatepass"), json.loads, ESCAPED)

    def dump(value: Any) -> str:
        try:
            encoded = orjson.dumps(value)
        except (TypeError, ValueError):  # halves of a pair
            return ESCAPED(value)
        if encoded.isascii() and b"\x7f" not in encoded:
            return encoded.decode()
        return ESCAPED(value)  # what `json` escapes and `orjson` does not

    return (lambda value: orjson.dumps(value, None, orjson.OPT_SORT_KEYS), orjson.loads, dump)


encode, loads, dumps = _codec()


def length(text: str) -> int | None:
    """How many elements a JSON array has; `None` when `text` is none."""
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        return None
    return len(value) if type(value) is list else None


def value_digest(value: Any) -> str:
    """16 hex of an object or array from `loads`; "" for what `arguments.canonical` has to look at.

    That is everything with a fraction in it, too, which may be an integer that was too large.
    """
    if type(value) is dict:
        if not WRAPPER_KEYS.isdisjoint(value) or not _is_plain(value, 0):
            return ""
        if len(value) == 1:
            (value,) = value.values()
    elif type(value) is not list or not _is_plain(value, 0):
        return ""
    try:
        encoded = value.encode() if type(value) is str else encode(value)
    except (ValueError, TypeError):
        return ""
    return "" if ADDRESS_BYTES in encoded else hash_bytes(encoded)


def _is_plain(value: Any, depth: int) -> bool:
    """Texts, whole numbers, truth values and null, in objects and arrays that are not deep."""
    if depth > NESTED_MAX:
        return False
    for item in value.values() if type(value) is dict else value:
        kind = type(item)
        if kind not in SCALARS and not (
            (kind is dict or kind is list) and _is_plain(item, depth + 1)
        ):
            return False
    return True


def plain_digest(text: str) -> str:
    """16 hex; "" when `text` is not plain JSON."""
    text = text.strip()
    if text[:1] not in ("{", "["):
        return ""
    if len(text) > 2 * DEPTH_MAX and text.count("{") + text.count("[") > DEPTH_MAX:
        return ""  # perhaps too deep
    try:
        value, end = SCAN_WHOLE(text, 0)
        if end != len(text):
            return ""
        if type(value) is dict:
            if not WRAPPER_KEYS.isdisjoint(value):
                return ""
            if len(value) == 1:
                (value,) = value.values()
        elif len(value) == 1:
            return ""  # perhaps one part of a message
        encoded = value.encode() if type(value) is str else encode(value)
    except (ValueError, TypeError, StopIteration, RecursionError):
        return ""  # no JSON, or what the encoders write differently: surrogates, huge numbers
    return "" if ADDRESS_BYTES in encoded else hash_bytes(encoded)


def hash_bytes(canonical: bytes) -> str:
    return blake2b(canonical, digest_size=8).hexdigest()
