"""Python values <-> Arrow columns, one whole column at a time.

Encoding never fails on a value: numbers beyond 64 bits are clamped and text that is not Unicode is
repaired, because one bad span must not keep a flush from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from collector.model import ATTRIBUTES, TIME

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
UINT64_MAX: Final = 2**64 - 1
TEXTS: Final = pa.list_(pa.string())


@dataclass(frozen=True, slots=True)
class Codec:
    encode: Callable[[Sequence[Any]], pa.Array]
    decode: Callable[[pa.ChunkedArray], list[Any]]
    default: Any
    """What the engine fills in for a column that is not there."""

    def is_default(self, column: Sequence[Any]) -> bool:
        """Whether a column holds nothing but the default."""
        if self.default is None:
            return column.count(None) == len(column)
        return not any(column)


def _or_repaired(type_: pa.DataType, repair: Callable[[Any], Any]) -> Callable[..., pa.Array]:
    """Encode at full speed; only where that fails look at every value."""

    def encode(values: Sequence[Any]) -> pa.Array:
        try:
            return pa.array(values, type_)
        except (pa.ArrowException, OverflowError, TypeError, UnicodeError, ValueError):
            return pa.array([None if v is None else repair(v) for v in values], type_)

    return encode


def clean_text(value: object) -> str:
    """Lone surrogates (from JSON escapes) become U+FFFD: UTF-8 has no form for them."""
    text = value if isinstance(value, str) else str(value)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clamped(low: int, high: int) -> Callable[[Any], int]:
    def clamp(value: Any) -> int:
        return min(max(int(value), low), high)

    return clamp


def _clean_texts(values: Iterable[object]) -> list[str]:
    return [clean_text(value) for value in values]


def _clean_pairs(pairs: Iterable[tuple[object, object]]) -> list[tuple[str, str]]:
    return [(clean_text(key), clean_text(value)) for key, value in pairs]


def to_list(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """As `to_pylist`, five times as fast for text and numbers without nulls."""
    if column.null_count or pa.types.is_nested(column.type):
        values: list[Any] = column.to_pylist()
    elif isinstance(column, pa.ChunkedArray):
        values = column.to_numpy().tolist()
    else:
        values = column.to_numpy(zero_copy_only=False).tolist()
    return values


def _slices(column: pa.ChunkedArray) -> Iterator[tuple[pa.Array, Iterator[tuple[int, int]]]]:
    """Per chunk: the list array, and where each of its rows begins and ends in its values."""
    for chunk in column.chunks:
        offsets = chunk.offsets.to_numpy().tolist()
        yield chunk, pairwise(offsets)


_int64 = _or_repaired(pa.int64(), _clamped(INT64_MIN, INT64_MAX))
_pairs = _or_repaired(ATTRIBUTES, _clean_pairs)
_texts = _or_repaired(TEXTS, _clean_texts)


def _encode_times(values: Sequence[int]) -> pa.Array:
    return _int64(values).view(TIME)


def _decode_times(column: pa.ChunkedArray) -> list[int]:
    return to_list(column.cast(TIME).cast(pa.int64()))


def _encode_maps(values: Sequence[Mapping[str, str]]) -> pa.Array:
    """Steps of one emitter share their mappings: each distinct object is encoded once."""
    ids = list(map(id, values))
    distinct = dict(zip(ids, values, strict=True))
    entries = _pairs([list(value.items()) for value in distinct.values()])
    if len(distinct) == len(values):
        return entries
    position = dict(zip(distinct, range(len(distinct)), strict=True))
    return entries.take(pa.array(map(position.__getitem__, ids), pa.int32(), size=len(ids)))


def _decode_maps(column: pa.ChunkedArray) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for chunk, rows in _slices(column):
        keys, items = to_list(chunk.keys), to_list(chunk.items)
        found += [dict(zip(keys[a:b], items[a:b], strict=True)) if a < b else {} for a, b in rows]
    return found


def _decode_tuples(column: pa.ChunkedArray) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for chunk, rows in _slices(column):
        values = to_list(chunk.values)
        found += [tuple(values[a:b]) if a < b else () for a, b in rows]
    return found


TEXT: Final = Codec(_or_repaired(pa.string(), clean_text), to_list, "")
INT: Final = Codec(_int64, to_list, 0)
OPTIONAL_INT: Final = Codec(_int64, to_list, None)
"""`int | None`: a Nullable column, in which 0 is not the default."""
UINT: Final = Codec(_or_repaired(pa.uint64(), _clamped(0, UINT64_MAX)), to_list, 0)
BOOL: Final = Codec(lambda values: pa.array(values, pa.bool_()), to_list, False)
TIMES: Final = Codec(_encode_times, _decode_times, 0)
"""Unix nanoseconds."""
TUPLES: Final = Codec(_texts, _decode_tuples, ())
MAPS: Final = Codec(_encode_maps, _decode_maps, {})
TUPLES_OF_TUPLES: Final = Codec(
    _or_repaired(pa.list_(TEXTS), lambda rows: [_clean_texts(row) for row in rows]),
    lambda column: [tuple(tuple(row) for row in rows) for rows in column.to_pylist()],
    (),
)
TUPLES_OF_TIMES: Final = Codec(
    lambda values: _or_repaired(
        pa.list_(pa.int64()), lambda row: [_clamped(INT64_MIN, INT64_MAX)(v) for v in row]
    )(values).cast(pa.list_(TIME)),
    lambda column: [tuple(row) for row in column.cast(pa.list_(pa.int64())).to_pylist()],
    (),
)
TUPLES_OF_NUMBERS: Final = Codec(
    _or_repaired(pa.list_(pa.float64()), lambda row: [float(value) for value in row]),
    lambda column: [tuple(row) for row in column.to_pylist()],
    (),
)

BY_ANNOTATION: Final[Mapping[str, Codec]] = {
    "str": TEXT,
    "int": INT,
    "int | None": OPTIONAL_INT,
    "bool": BOOL,
    "tuple[str, ...]": TUPLES,
    "Mapping[str, str]": MAPS,
}
