"""AnyValue as text, one column at a time.

The rule (collector.model): strings as they are, booleans `true`/`false`, integers decimal, doubles
in the shortest form that reads back (`NaN`, `Infinity`, `-Infinity`), arrays and maps as compact
JSON, bytes as base64, an empty value as "".  Inside JSON, bytes are base64 text, doubles that JSON
lacks are the same three words as text, and an empty value is null.

The values arrive serialized.  A value of one scalar branch is a tag, and a number or a length and a
text: those are read from the wire here, whole columns at a time (protobuf.dev/programming-guides/
encoding).  All others go through the official class, distinct ones once.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from collector.arrow import pa
from collector.model import ValueType
from collector.receiver.otlp_digest import bounds
from collector.receiver.otlp_salvage import BadItem, fault

Places = NDArray[np.int64]

CODES: Final = {value_type: code for code, value_type in enumerate(ValueType)}
EMPTY: Final = CODES[ValueType.EMPTY]
STRING: Final = CODES[ValueType.STRING]
BOOL: Final = CODES[ValueType.BOOL]
INT: Final = CODES[ValueType.INT]
DOUBLE: Final = CODES[ValueType.DOUBLE]
CODE_OF_BRANCH: Final[dict[str | None, int]] = {
    f"{value_type}_value": code for value_type, code in CODES.items()
}
OTHER: Final = len(CODES)
"""Until it is known: a branch that is not scalar, several fields, none that OTLP defines, or no
message at all."""
CODE_OF_TAG: Final = np.full(256, OTHER, np.uint8)
for _tag, _code in ((0x0A, STRING), (0x10, BOOL), (0x18, INT), (0x21, DOUBLE)):
    CODE_OF_TAG[_tag] = _code
DOUBLE_BYTES: Final = 9
"""Of a serialized double, with its tag."""
VARINT_BYTES_MAX: Final = 10
SHORT_BYTES: Final = 64
"""Serialized values of up to so many bytes are worth remembering."""
WORDS: Final = pa.array(["false", "true"], pa.string())


@dataclass(frozen=True, slots=True)
class Texts:
    """Values as text; both have one entry per value, `bad` only where reading one failed."""

    text: pa.StringArray
    types: NDArray[np.uint8]
    bad: dict[int, str]
    """Row -> reason, of values that cannot be read."""


class Wire(NamedTuple):
    """Serialized values, as far as numpy can read them."""

    data: NDArray[np.uint8]
    starts: Places
    """Where values begin in `data`, and at the end where the last one ends."""
    types: NDArray[np.uint8]
    """Codes of `ValueType`, or OTHER."""
    numbers: NDArray[np.uint64]
    """Integers and booleans."""
    texts: Places
    """Where strings begin, behind tag and length; for all else the end of the value."""


def to_text(columns: Sequence[pa.BinaryArray], depth_max: int) -> Texts:
    """`columns` are serialized AnyValues, treated as one column put together."""
    values = pa.concat_arrays(columns)
    wire = read(values)
    texts = assemble(values, wire, depth_max)
    broken = undecodable(texts.text)
    if broken:
        wire.types[broken] = OTHER
        wire.texts[broken] = wire.starts[1:][broken]
        texts = assemble(values, wire, depth_max)
    return texts


def read(values: pa.BinaryArray) -> Wire:
    offsets, raw = bounds(values)
    data, starts = np.frombuffer(raw, np.uint8), offsets.astype(np.int64)
    begin, end = starts[:-1], starts[1:]
    if begin.size == 0 or starts[-1] == starts[0]:
        return Wire(data, starts, np.zeros(begin.size, np.uint8), np.zeros(0, np.uint64), end)
    types = CODE_OF_TAG[data.take(begin, mode="clip")]
    numbers, after = varints(data, begin + 1, types <= INT)
    # One field, and nothing behind it: else a later field may be what counts.
    left = np.where(types == STRING, numbers, 0)
    wrong = (after > end) | (left != (end - after).view(np.uint64))
    doubles = types == DOUBLE
    if doubles.any():
        wrong[doubles] = (end - begin)[doubles] != DOUBLE_BYTES
    types[wrong] = OTHER
    types[begin == end] = EMPTY
    return Wire(data, starts, types, numbers, np.where(types == STRING, after, end))


def varints(
    data: NDArray[np.uint8], at: Places, wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], Places]:
    """The numbers that begin at places of `data`, and the places behind them, where `wanted`.

    One that is not finished after ten bytes ends behind all data, as one beyond the data does.
    """
    after = at + 1
    byte = data.take(at, mode="clip")
    numbers = (byte & 0x7F).astype(np.uint64)
    rows = np.flatnonzero((byte >= 0x80) & wanted)
    for shift in range(7, 7 * VARINT_BYTES_MAX, 7):
        if not len(rows):
            return numbers, after
        byte = data.take(after[rows], mode="clip")
        numbers[rows] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        after[rows] += 1
        rows = rows[byte >= 0x80]
    after[rows] = len(data) + 1
    return numbers, after


def assemble(values: pa.BinaryArray, wire: Wire, depth_max: int) -> Texts:
    """Pieces of text, put together in the order of the rows."""
    rows = len(values)
    types = wire.types
    # Two texts a row: what precedes its string, and the string.
    edges = np.empty(2 * rows + 1, np.int32)
    edges[0::2], edges[1::2] = wire.starts, wire.texts
    pieces = [pa.StringArray.from_buffers(2 * rows, pa.py_buffer(edges), values.buffers()[2])]
    order = np.arange(1, 2 * rows, 2)
    end = 2 * rows
    bad: dict[int, str] = {}
    present = np.bincount(types, minlength=OTHER + 1)
    if present[BOOL]:
        where = np.flatnonzero(types == BOOL)
        pieces.append(WORDS)
        order[where] = end + (wire.numbers[where] != 0)
        end += len(WORDS)
    if present[INT]:
        where = np.flatnonzero(types == INT)
        pieces.append(pa.array(wire.numbers[where].view(np.int64)).cast(pa.string()))
        order[where] = np.arange(end, end + len(where))
        end += len(where)
    if present[DOUBLE]:
        where = np.flatnonzero(types == DOUBLE)
        bits = wire.data[(wire.starts[where] + 1)[:, None] + np.arange(8)].view("<i8")[:, 0]
        # Bits, not numbers: equal numbers may be spelled differently (0.0 and -0.0).
        encoded = pa.array(bits).dictionary_encode()
        numbers = encoded.dictionary.to_numpy().view("<f8").tolist()
        pieces.append(pa.array(map(double_text, numbers), pa.string()))
        order[where] = end + encoded.indices.to_numpy()
        end += len(numbers)
    if present[OTHER]:
        where = np.flatnonzero(types == OTHER)
        encoded = values.take(pa.array(where)).dictionary_encode()
        found = [
            (short if len(data) <= SHORT_BYTES else other)(data, depth_max)
            for data in encoded.dictionary.to_pylist()
        ]
        codes = encoded.indices.to_numpy()
        pieces.append(pa.array([text for text, _, _ in found], pa.string()))
        order[where] = end + codes
        types = types.copy()
        types[where] = np.array([code for _, code, _ in found], np.uint8)[codes]
        if any(reason for _, _, reason in found):
            reasons = ((row, found[code][2]) for row, code in zip(where, codes, strict=True))
            bad = {int(row): reason for row, reason in reasons if reason}
    return Texts(pa.concat_arrays(pieces).take(pa.array(order)), types, bad)


def undecodable(texts: pa.StringArray) -> list[int]:
    """Rows that are not UTF-8."""
    offsets, data = bounds(texts)
    if np.frombuffer(data, np.int8)[offsets[0] : offsets[-1]].min(initial=0) >= 0:
        return []
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.view(pa.binary()).to_pylist()
        return [row for row, text in enumerate(raw) if not is_utf8(text)]
    return []


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def other(data: bytes, depth_max: int) -> tuple[str, int, str | None]:
    """Text and type of a serialized AnyValue, and the reason where it cannot be read."""
    try:
        value = AnyValue.FromString(data)
        found = plain(value, depth_max)
    except DecodeError:
        return "", EMPTY, fault(AnyValue, data, depth_max) or "malformed"
    except BadItem as error:
        return "", EMPTY, error.reason
    code = CODE_OF_BRANCH.get(value.WhichOneof("value"), EMPTY)
    if code == EMPTY:
        return "", EMPTY, None
    if code == DOUBLE:
        return double_text(value.double_value), code, None
    return found if isinstance(found, str) else json_text(found), code, None


@lru_cache(maxsize=4096)
def short(data: bytes, depth_max: int) -> tuple[str, int, str | None]:
    """As `other`: `["stop"]` is on every second span."""
    return other(data, depth_max)


def plain(value: AnyValue | ArrayValue | KeyValueList, depth: int) -> Any:
    """A value as JSON can hold it.  Raises BadItem where it nests more than `depth` levels."""
    if not isinstance(value, AnyValue):
        if depth < 1:
            raise BadItem("too_deep")
        if isinstance(value, ArrayValue):
            return [plain(item, depth - 1) for item in value.values]
        return {item.key: plain(item.value, depth - 1) for item in value.values}
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            number = value.double_value
            return number if math.isfinite(number) else double_text(number)
        case "array_value":
            return plain(value.array_value, depth)
        case "kvlist_value":
            return plain(value.kvlist_value, depth)
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case _:
            return None


def json_text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def double_text(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
