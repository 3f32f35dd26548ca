"""The unit of work: one Arrow record batch per export request, from receiver to store.

Column names and types are those of the OpenTelemetry ClickHouse exporter (contrib
`exporter/clickhouseexporter`), ours after them.  A batch is un-normalized: dialects and prices play
no part in it, so only a change of OTLP touches this format and the journal can replay it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

from collector.errors import Refusal

TIME: Final = pa.timestamp("ns", tz="UTC")
ATTRIBUTES: Final = pa.map_(pa.string(), pa.string())
TYPES: Final = pa.list_(pa.uint8())


class ValueType(StrEnum):
    """Names of the codes in `*Types` columns, in order: the AnyValue branch of each attribute."""

    EMPTY = "empty"
    STRING = "string"
    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    ARRAY = "array"
    KVLIST = "kvlist"
    BYTES = "bytes"


SPANS: Final = pa.schema(
    [
        ("Timestamp", TIME),
        ("TraceId", pa.string()),
        ("SpanId", pa.string()),
        ("ParentSpanId", pa.string()),
        ("TraceState", pa.string()),
        ("SpanName", pa.string()),
        ("SpanKind", pa.string()),
        ("ServiceName", pa.string()),
        ("ResourceAttributes", ATTRIBUTES),
        ("ScopeName", pa.string()),
        ("ScopeVersion", pa.string()),
        ("SpanAttributes", ATTRIBUTES),
        ("Duration", pa.uint64()),
        ("StatusCode", pa.string()),
        ("StatusMessage", pa.string()),
        ("Events.Timestamp", pa.list_(TIME)),
        ("Events.Name", pa.list_(pa.string())),
        ("Events.Attributes", pa.list_(ATTRIBUTES)),
        ("Links.TraceId", pa.list_(pa.string())),
        ("Links.SpanId", pa.list_(pa.string())),
        ("Links.TraceState", pa.list_(pa.string())),
        ("Links.Attributes", pa.list_(ATTRIBUTES)),
        # Ours.
        ("Flags", pa.uint32()),
        ("SpanAttributeTypes", TYPES),
        ("IngestAttributes", ATTRIBUTES),
        ("ReceivedAt", TIME),
        ("Version", pa.uint64()),
    ]
)
"""One row per span.  Ids are lower-case hex; a missing parent is "".  SpanKind is `Unspecified`,
`Internal`, `Server`, `Client`, `Producer` or `Consumer`; StatusCode `Unset`, `Ok` or `Error`.
Attribute values are text (`SpanAttributeTypes` keeps the branch): booleans `true`/`false`,
structures JSON, bytes base64, an empty AnyValue "".  `IngestAttributes` holds what the API key and
the headers of the export request say.  `Version` orders several versions of one span: see
`span_version`."""

LOGS: Final = pa.schema(
    [
        ("Timestamp", TIME),
        ("TraceId", pa.string()),
        ("SpanId", pa.string()),
        ("TraceFlags", pa.uint8()),
        ("SeverityText", pa.string()),
        ("SeverityNumber", pa.uint8()),
        ("ServiceName", pa.string()),
        ("Body", pa.string()),
        ("ResourceSchemaUrl", pa.string()),
        ("ResourceAttributes", ATTRIBUTES),
        ("ScopeSchemaUrl", pa.string()),
        ("ScopeName", pa.string()),
        ("ScopeVersion", pa.string()),
        ("ScopeAttributes", ATTRIBUTES),
        ("LogAttributes", ATTRIBUTES),
        ("EventName", pa.string()),
        # Ours.
        ("IngestAttributes", ATTRIBUTES),
        ("ReceivedAt", TIME),
        ("RecordId", pa.uint64()),
    ]
)
"""One row per log record.  A structured body is JSON.  Timestamp is the observed time where the
event time is 0.  `RecordId` is a content digest, so that a resent record is the same record."""


class Signal(StrEnum):
    """What promise 2 is counted by."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"
    EVENTS = "events"
    """Made by the collector or its API: feedback, closing by quiet, erasure."""


END_SHIFT: Final = 24
HASH_BITS: Final = 20
COUNT_MAX: Final = 63


def span_version(end_ns: int, attributes: int, content_hash: int) -> int:
    """Later end, then more attributes, then content: the same answer wherever it is asked.

    63 bits: the end in units of 2**24 ns (17 ms), the number of attributes up to 63, 20 of hash.
    """
    counted = min(attributes, COUNT_MAX)
    return ((end_ns >> END_SHIFT) << 26) | (counted << HASH_BITS) | (content_hash & 0xFFFFF)


@dataclass(frozen=True, slots=True)
class Decoded:
    """One export request as a batch, and what became of the rest of it."""

    batch: pa.RecordBatch
    received: int
    """Items in the request, refused ones included."""
    refused: tuple[Refusal, ...] = ()
    values_cut: int = 0
    """Attribute values cut to the length limit."""
    values_redacted: int = 0

    @property
    def refused_count(self) -> int:
        return sum(refusal.count for refusal in self.refused)
