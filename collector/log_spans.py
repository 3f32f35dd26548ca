"""Rows of `otel_traces` for log events that stand for a span (otel_agentrun/dialects/log_spans.py).

Made where the journal is read, so that nothing but the log record itself has to be kept: reading it
again gives the same rows.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow.compute as pc

from collector.arrow import pa
from collector.model import SPANS
from collector.runs.events import event_id
from otel_agentrun.dialects.log_spans import NAMES, log_span

NAMES_ARRAY: Final = pa.array(sorted(NAMES))
NOTHING: Final[dict[str, Any]] = {
    "ParentSpanId": "",
    "TraceState": "",
    "SpanKind": "Internal",
    "Flags": 0,
    "SpanAttributeTypes": [],
    **{name: [] for name in SPANS.names if name.startswith(("Events.", "Links."))},
    "Version": 1,
}
READ: Final = ("EventName", "Body", "Timestamp", "TraceId", "LogAttributes")
TAKEN_OVER: Final = (
    "ServiceName", "ResourceAttributes", "ScopeName", "ScopeVersion", "IngestAttributes",
    "ReceivedAt",
)  # fmt: skip


def log_spans(logs: pa.RecordBatch) -> pa.RecordBatch:
    """A SPANS batch with a row per record of a LOGS batch that stands for a span; mostly empty."""
    chosen = pc.is_in(logs.column("EventName"), value_set=NAMES_ARRAY)
    found = logs.filter(chosen)
    if found.num_rows == 0:
        return _batch([])
    columns = {name: found.column(name) for name in (*READ, *TAKEN_OVER)}
    for name in ("Timestamp", "ReceivedAt"):
        columns[name] = columns[name].cast(pa.int64())  # nanoseconds, as numbers
    rows = []
    for record in pa.RecordBatch.from_pydict(columns).to_pylist():
        at_ns = record["Timestamp"]
        attributes = dict(record["LogAttributes"])
        span = log_span(
            record["EventName"],
            record["Body"],
            at_ns,
            record["TraceId"],
            event_id(record["EventName"], at_ns, record["TraceId"], "", attributes, record["Body"]),
            attributes,
        )
        if span is None:
            continue
        rows.append(
            {
                **NOTHING,
                **{name: record[name] for name in TAKEN_OVER},
                "Timestamp": span.start_ns,
                "TraceId": span.trace_id,
                "SpanId": span.span_id,
                "SpanName": span.name,
                "SpanAttributes": sorted(span.attributes.items()),
                "Duration": span.end_ns - span.start_ns,
                "StatusCode": span.status_code,
                "StatusMessage": span.status_message,
            }
        )
    return _batch(rows)


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SPANS)
