"""Events as the bytes of an OTLP `ExportLogsServiceRequest`, without objects in between.

The same message as the log exporter of OpenTelemetry sends (a test compares them), at a third of
the cost: names and short values repeat from event to event, and their bytes are kept.

Source: opentelemetry-proto v1, logs.proto and common.proto; the protobuf encoding specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.trace import SpanContext

__all__ = ["Event", "LogEncoder"]

KEPT_MAX: Final = 4096
"""Attributes whose bytes are kept; of too many all are forgotten."""
KEPT_CHARS_MAX: Final = 64

WIDE_BYTES: Final = 9

TIMES: Final = struct.Struct("<cQcQ")
DOUBLE: Final = struct.Struct("<cd")
FLAGS: Final = struct.Struct("<cI")
NO_BODY: Final = b"\x2a\x00"
"""An empty value, as the exporter of OpenTelemetry writes it."""


class Event(NamedTuple):
    name: str
    at_ns: int
    span: SpanContext
    attributes: Mapping[str, Any]


class LogEncoder:
    """For events of one resource and one instrumentation scope.  Not to be shared by threads."""

    def __init__(self, resource: Mapping[str, Any], scope_name: str, schema_url: str = "") -> None:
        """`schema_url` is that of the resource."""
        self._kept: dict[tuple[str, str], bytes] = {}
        self._keys: dict[str, bytes] = {}
        self._names: dict[str, bytes] = {}
        self._before: dict[tuple[str, int], bytes] = {}
        """What stands before a number of so many bytes, by key."""
        attributes = b"".join(_field(b"\x0a", self._pair(k, v)) for k, v in resource.items())
        self._head = _field(b"\x0a", attributes)
        self._scope = _field(b"\x0a", _text(b"\x0a", scope_name))
        self._tail = _text(b"\x1a", schema_url) if schema_url else b""

    def encode(self, events: Iterable[Event]) -> bytes:
        """An ExportLogsServiceRequest with these events as log records."""
        records = b"".join([_field(b"\x12", self._record(event)) for event in events])
        scope_logs = _field(b"\x12", self._scope + records)
        return _field(b"\x0a", self._head + scope_logs + self._tail)

    def _record(self, event: Event) -> bytes:
        name, at_ns, span, attributes = event
        parts = [TIMES.pack(b"\x09", at_ns, b"\x59", at_ns), NO_BODY]
        kept, before = self._kept, self._before
        for key, value in attributes.items():
            kind = type(value)
            known = None
            if kind is str:
                known = kept.get((key, value))
            elif kind is int and value > 0:
                size = (value.bit_length() + 6) // 7
                known = before.get((key, size))
                if known is not None:
                    known += _wide_varint(value) if size == WIDE_BYTES else _varint(value)
            parts.append(self._attribute(key, value) if known is None else known)
        if span.trace_flags:
            parts.append(FLAGS.pack(b"\x45", span.trace_flags))
        if span.trace_id:
            parts.append(b"\x4a\x10" + span.trace_id.to_bytes(16, "big"))
        if span.span_id:
            parts.append(b"\x52\x08" + span.span_id.to_bytes(8, "big"))
        parts.append(self._named(self._names, b"\x62", name))
        return b"".join(parts)

    def _attribute(self, key: str, value: Any) -> bytes:
        """A field `attributes`; nothing for a value that OTLP cannot say."""
        try:
            made = _field(b"\x32", self._pair(key, value))
        except (TypeError, ValueError, RecursionError):
            return b""
        kind = type(value)
        if kind is str and len(value) <= KEPT_CHARS_MAX:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[(key, value)] = made
        elif kind is int and value > 0 and len(self._before) < KEPT_MAX:
            size = (value.bit_length() + 6) // 7
            self._before[(key, size)] = made[:-size]
        return made

    def _pair(self, key: str, value: Any) -> bytes:
        return self._named(self._keys, b"\x0a", key) + _field(b"\x12", _value(value))

    @staticmethod
    def _named(known: dict[str, bytes], tag: bytes, name: str) -> bytes:
        found = known.get(name)
        if found is None:
            found = _text(tag, name)
            if len(known) < KEPT_MAX:
                known[name] = found
        return found


def _value(value: Any) -> bytes:
    """An AnyValue.  Raises TypeError for what it cannot hold, ValueError for a number too large."""
    if isinstance(value, str):
        return _text(b"\x0a", value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("not of 64 bits")
        return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return DOUBLE.pack(b"\x21", value)
    if value is None:
        return b""
    if isinstance(value, bytes):
        return _field(b"\x3a", value)
    if isinstance(value, Sequence):
        return _field(b"\x2a", b"".join(_field(b"\x0a", _value(each)) for each in value))
    if isinstance(value, Mapping):
        pairs = (
            _field(b"\x0a", _text(b"\x0a", str(key)) + _field(b"\x12", _value(each)))
            for key, each in value.items()
        )
        return _field(b"\x32", b"".join(pairs))
    raise TypeError(type(value).__name__)


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace"))


def _field(tag: bytes, data: bytes) -> bytes:
    size = len(data)
    return tag + (SMALL[size] if size < 128 else _varint(size)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _wide_varint(number: int) -> bytes:
    """The same of a number of 57 to 63 bits, such as Unix nanoseconds: nine bytes, the lower eight
    by spreading groups of 28, 14 and 7 bits at once."""
    low = number & 0xFFFFFFF | (number & 0xFFFFFFF0000000) << 4
    low = low & 0x3FFF00003FFF | (low & 0xFFFC0000FFFC000) << 2
    low = low & 0x7F007F007F007F | (low & 0x3F803F803F803F80) << 1
    return (low | 0x8080808080808080 | number >> 56 << 64).to_bytes(WIDE_BYTES, "little")


SMALL: Final = tuple(bytes([number]) for number in range(128))
