"""The wire format of a request the fast decoder cannot take, item by item.

The decoder refuses a whole request for one invalid string.  Here a request is split into its items
(spans or log records; the two have the same outer field numbers), the bad ones are left out and
the rest is put together again.  Also: which signal a request holds, judged by the wire types of its
items, because the three export requests have the same outer shape.

Source: protobuf.dev/programming-guides/encoding; opentelemetry-proto v1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.errors import PermanentError
from collector.model import Signal

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
GROUP: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

GROUPS_MAX: Final = 100
"""Nested (deprecated) groups followed in unknown fields, as protobuf's own decoders limit them."""


class BadItem(Exception):
    """One item cannot be stored; `reason` is a bounded label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WireError(ValueError):
    """Not a protobuf message; `position` is an offset in the buffer walked."""

    def __init__(self, what: str, position: int) -> None:
        super().__init__(f"{what} at byte {position}")
        self.what = what
        self.position = position


Field = tuple[int, int, int, int, int]
"""Field number, wire type, start of the tag, start and end of the value: offsets in the buffer."""


def read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Value and the position after it.  Raises WireError."""
    result = shift = 0
    start = position
    while position < end:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise WireError("a number of more than 10 bytes", start)
    raise WireError("the data ends inside a number", start)


def fields(data: bytes, position: int, end: int) -> Iterator[Field]:
    """The fields of one message.  Raises WireError where it is none."""
    while position < end:
        start = position
        tag, position = read_varint(data, position, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"field number {number}", start)
        value = position
        if wire == VARINT:
            _, position = read_varint(data, position, end)
        elif wire == LENGTH:
            size, value = read_varint(data, position, end)
            position = value + size
        elif wire == FIXED64:
            position += 8
        elif wire == FIXED32:
            position += 4
        elif wire == GROUP:
            position = _skip_group(data, position, end)
        else:
            raise WireError(f"wire type {wire}", start)
        if position > end:
            raise WireError(
                f"the data ends inside field {number}, {position - end} bytes short", start
            )
        yield number, wire, start, value, position


def _skip_group(data: bytes, position: int, end: int) -> int:
    depth = 1
    while depth:
        start = position
        tag, position = read_varint(data, position, end)
        match tag & 7:
            case 0:
                _, position = read_varint(data, position, end)
            case 1:
                position += 8
            case 2:
                size, position = read_varint(data, position, end)
                position += size
            case 3:
                depth += 1
            case 4:
                depth -= 1
            case 5:
                position += 4
            case wire:
                raise WireError(f"wire type {wire}", start)
        if position > end or depth > GROUPS_MAX:
            raise WireError("an unfinished group", start)
    return position


def children(data: bytes, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Start and end of each length-delimited field `number` of one message.  Raises WireError."""
    for found, wire, _, value, stop in fields(data, start, end):
        if found == number and wire == LENGTH:
            yield value, stop


def items(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each span, log record or metric, in order.  Raises WireError."""
    for group in children(data, 0, len(data), 1):
        for scoped in children(data, *group, 2):
            yield from children(data, *scoped, 2)


# --------------------------------------------------------------------------- which signal


def signal_of(data: bytes, start: int, end: int) -> Signal | None:
    """What an item is, by wire types no other signal has; `None` where nothing tells.

    Spans have fixed64 times in 7 and 8; log records fixed64 times in 1 and 11, a varint in 2 and
    fixed32 flags in 8; metrics a name in 1 and their data, a message, in 5, 7, 9, 10 or 11.
    """
    try:
        seen = {}
        for number, wire, _, value, stop in fields(data, start, end):
            if wire == FIXED64 and number in (7, 8):
                return Signal.TRACES
            seen[number, wire] = stop - value
    except WireError:
        return None
    if seen.keys() & {(1, FIXED64), (11, FIXED64), (2, VARINT), (8, FIXED32)}:
        return Signal.LOGS
    if seen.get((1, LENGTH)) == 16 and seen.get((2, LENGTH)) == 8:
        return Signal.TRACES
    if (1, LENGTH) in seen and seen.keys() & {(number, LENGTH) for number in (5, 7, 9, 10, 11)}:
        return Signal.METRICS
    return None


LOOKED_AT_MAX: Final = 1000
"""Items looked at for a signature: a request of many tiny items must not take long here."""

SERVICES: Final = {
    Signal.TRACES: ("spans", "/v1/traces", "TraceService"),
    Signal.LOGS: ("log records", "/v1/logs", "LogsService"),
    Signal.METRICS: ("metrics", "/v1/metrics", "MetricsService"),
}


def check_signal(data: bytes, expected: Signal) -> None:
    """Raises PermanentError where every recognizable item is of one other signal.

    One item of the expected signal is enough to go on: a bad item must not cost its request.
    """
    found: Counter[Signal] = Counter()
    try:
        for (start, end), _ in zip(items(data), range(LOOKED_AT_MAX), strict=False):
            signal = signal_of(data, start, end)
            if signal is expected:
                return
            if signal is not None:
                found[signal] += 1
    except WireError:
        pass  # The decoder will say what is wrong.
    if found:
        raise wrong_signal(expected, found.most_common(1)[0][0])


def wrong_signal(expected: Signal, found: Signal) -> PermanentError:
    what, path, service = SERVICES[found]
    wanted, here, this_service = SERVICES[expected]
    return PermanentError(
        f"the request holds {what} but was sent to {here} ({this_service}), which takes {wanted}."
        f" Fix: send it to {path}, by gRPC to opentelemetry.proto.collector.{found}.v1.{service}.",
        "wrong_signal",
    )


# --------------------------------------------------------------------------- which item is bad


ITEM: Final[dict[Signal, type[Message]]] = {Signal.TRACES: Span, Signal.LOGS: LogRecord}


def fault(message: type[Message], data: bytes, depth_max: int) -> str | None:
    """Why `data` is no `message`: `bad_utf8`, `too_deep` or `malformed`; `None` when it is one."""
    try:
        message.FromString(data)
    except DecodeError:
        # Deepest legal value: three messages a level (map, entry, value) below an event.
        return _fault(message.DESCRIPTOR, data, 0, len(data), 3 * depth_max + 4) or "malformed"
    return None


def _fault(descriptor: Any, data: bytes, start: int, end: int, depth: int) -> str | None:
    if depth < 0:
        return "too_deep"
    try:
        for number, wire, _, value, stop in fields(data, start, end):
            field = descriptor.fields_by_number.get(number)
            if field is None or wire != LENGTH:
                continue
            if field.message_type is not None:
                reason = _fault(field.message_type, data, value, stop, depth - 1)
                if reason is not None:
                    return reason
            elif field.type == field.TYPE_STRING:
                data[value:stop].decode()
    except UnicodeDecodeError:
        return "bad_utf8"
    except WireError:
        return "malformed"
    return None


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What is left of a request, as a request."""

    body: bytes
    refused: Counter[str]
    """Reason -> items left out."""


def salvage(data: bytes, signal: Signal, depth_max: int) -> Salvaged:
    """Leave out the items that cannot be decoded, and those of a resource or scope that cannot.

    Raises PermanentError where the outer structure is broken: the items cannot even be told apart.
    """
    refused: Counter[str] = Counter()
    body = bytearray()
    try:
        for group in children(data, 0, len(data), 1):
            _append(body, 1, _group(data, *group, signal, depth_max, refused))
    except WireError as error:
        raise PermanentError(
            f"the request is no OTLP {signal} export request of {len(data)} bytes: {error}."
            " Why: it was cut off or is not protobuf."
            " Fix: send it whole, with a Content-Type that says what it is.",
        ) from error
    return Salvaged(bytes(body), refused)


def _group(
    data: bytes, start: int, end: int, signal: Signal, depth_max: int, refused: Counter[str]
) -> bytes:
    kept = bytearray()
    reason = None
    for at, stop in children(data, start, end, 1):
        reason = reason or fault(Resource, data[at:stop], depth_max)
        _append(kept, 1, data[at:stop])
    for at, stop in children(data, start, end, 2):
        scoped = _scoped(data, at, stop, signal, depth_max, refused, reason)
        _append(kept, 2, scoped)
    _append_url(kept, data, start, end)
    return b"" if reason else bytes(kept)


def _scoped(
    data: bytes,
    start: int,
    end: int,
    signal: Signal,
    depth_max: int,
    refused: Counter[str],
    reason: str | None,
) -> bytes:
    """`reason` is given where the resource is bad: then every item is refused for it."""
    kept = bytearray()
    for at, stop in children(data, start, end, 1):
        reason = reason or fault(InstrumentationScope, data[at:stop], depth_max)
        _append(kept, 1, data[at:stop])
    for at, stop in children(data, start, end, 2):
        item = data[at:stop]
        why = reason or fault(ITEM[signal], item, depth_max)
        if why:
            refused[why] += 1
        else:
            _append(kept, 2, item)
    _append_url(kept, data, start, end)
    return b"" if reason else bytes(kept)


def _append(out: bytearray, number: int, payload: bytes | bytearray) -> None:
    size = len(payload)
    out.append(number << 3 | LENGTH)
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    out += payload


def _append_url(out: bytearray, data: bytes, start: int, end: int) -> None:
    """The schema URL, unless it is no text: it is not worth an item."""
    for at, stop in children(data, start, end, 3):
        try:
            data[at:stop].decode()
        except UnicodeDecodeError:
            continue
        _append(out, 3, data[at:stop])


# --------------------------------------------------------------------------- metrics

DATA_FIELDS: Final = (5, 7, 9, 10, 11)
"""Gauge, sum, histogram, exponential histogram, summary: each holds its points in field 1."""


def count_data_points(data: bytes) -> int:
    """Data points of a metrics request, without decoding them.  Raises WireError."""
    count = 0
    for start, end in items(data):
        for number, wire, _, value, stop in fields(data, start, end):
            if number in DATA_FIELDS and wire == LENGTH:
                count += sum(1 for _ in children(data, value, stop, 1))
    return count
