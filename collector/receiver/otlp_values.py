"""AnyValue as text, one column at a time.

The rule (collector.model): strings as they are, booleans `true`/`false`, integers decimal, doubles
in the shortest form that reads back (`NaN`, `Infinity`, `-Infinity`), arrays and maps as compact
JSON, bytes as base64, an empty value as "".  Inside JSON, bytes are base64 text, doubles that JSON
lacks are the same three words as text, and an empty value is null.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from collector.model import ValueType
from collector.receiver.otlp_salvage import BadItem, fault

CODES: Final = {value_type: code for code, value_type in enumerate(ValueType)}
STRING: Final = CODES[ValueType.STRING]
INT: Final = CODES[ValueType.INT]
# The fields of our AnyValue copy are in the order of ValueType, without `empty`.
BRANCHES: Final = tuple(ValueType)[1:]


@dataclass(frozen=True, slots=True)
class Texts:
    """Values as text; all three have one entry per value, `bad` only where reading one failed."""

    text: pa.StringArray
    types: NDArray[np.uint8]
    bad: dict[int, str]
    """Row -> reason, of nested values that cannot be read."""
    ambiguous: bool
    """Some value has several branches.  The last on the wire counts; columns do not show it."""


def to_text(columns: Sequence[pa.StructArray], depth_max: int) -> Texts:
    """`columns` are AnyValue structs of `otlp_schema`, treated as one column put together."""
    columns = [column for column in columns if len(column)]
    starts = [0, *accumulate(map(len, columns))]
    rows = starts[-1]
    types = np.zeros(rows, np.uint8)
    found: dict[ValueType, tuple[pa.Array, NDArray[np.int64]]] = {}
    present = 0
    for code, branch in enumerate(BRANCHES, 1):
        parts, places = [], []
        for start, column in zip(starts, columns, strict=False):
            part = column.field(code - 1)
            if part.null_count < len(part):
                places.append(np.flatnonzero(validity(part)) + start)
                if code != STRING:
                    parts.append(part.drop_null())
        if places:
            where = np.concatenate(places)
            types[where] = code
            present += len(where)
        if parts:
            found[branch] = pa.concat_arrays(parts), where

    bad: dict[int, str] = {}
    if present > np.count_nonzero(types):
        return Texts(pa.nulls(rows, pa.string()), types, bad, True)
    pieces = [*(column.field(0) for column in columns), pa.array([""], pa.string())]
    order = np.where(types == STRING, np.arange(rows), rows)  # The empty text; the rest follows it.
    end = rows + 1
    for branch, (column, where) in found.items():
        piece, failures = TEXT_OF[branch](column, depth_max)
        order[where] = np.arange(end, end + len(where))
        bad.update((int(where[index]), reason) for index, reason in failures.items())
        pieces.append(piece)
        end += len(where)
    return Texts(pa.concat_arrays(pieces).take(pa.array(order)), types, bad, False)


def validity(column: pa.Array) -> NDArray[np.bool_]:
    """Which rows are not null; Arrow keeps it as bits."""
    bits = column.buffers()[0]
    if bits is None:
        return np.ones(len(column), np.bool_)
    end = column.offset + len(column)
    valid = np.unpackbits(np.frombuffer(bits, np.uint8), count=end, bitorder="little")
    return valid[column.offset :].view(np.bool_)


Converted = tuple[pa.StringArray, dict[int, str]]


def _cast(column: pa.Array, _: int) -> Converted:
    return column.cast(pa.string()), {}


def _doubles(column: pa.Array, _: int) -> Converted:
    # Bits, not numbers: equal numbers may be spelled differently (0.0 and -0.0).
    encoded = column.view(pa.int64()).dictionary_encode()
    numbers = encoded.dictionary.view(pa.float64()).to_pylist()
    return pa.array([double_text(x) for x in numbers], pa.string()).take(encoded.indices), {}


def _bytes(column: pa.Array, _: int) -> Converted:
    return pa.array([b64encode(value).decode() for value in column.to_pylist()], pa.string()), {}


def _arrays(column: pa.Array, depth_max: int) -> Converted:
    return _nested(column, depth_max, ArrayValue)


def _kvlists(column: pa.Array, depth_max: int) -> Converted:
    return _nested(column, depth_max, KeyValueList)


TEXT_OF: Final = {
    ValueType.BOOL: _cast,
    ValueType.INT: _cast,
    ValueType.DOUBLE: _doubles,
    ValueType.ARRAY: _arrays,
    ValueType.KVLIST: _kvlists,
    ValueType.BYTES: _bytes,
}


def _nested(
    column: pa.Array, depth_max: int, message: type[ArrayValue] | type[KeyValueList]
) -> Converted:
    """Distinct values once: `["stop"]` is on every second span."""
    encoded = column.dictionary_encode()
    texts: list[str] = []
    reasons: dict[int, str] = {}
    for index, data in enumerate(encoded.dictionary.to_pylist()):
        try:
            value = message.FromString(data)
            texts.append(json_text(plain(value, depth_max)))
        except DecodeError:
            texts.append("")
            reasons[index] = fault(message, data, depth_max) or "malformed"
        except BadItem as error:
            texts.append("")
            reasons[index] = error.reason
    text = pa.array(texts, pa.string()).take(encoded.indices)
    if not reasons:
        return text, {}
    codes = encoded.indices.to_pylist()
    return text, {row: reasons[code] for row, code in enumerate(codes) if code in reasons}


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
