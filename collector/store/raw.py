"""Raw spans and log records, read back whole: as span views and events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from collector.normalize import views_of
from collector.store import rows
from collector.store.client import Store, chunks
from collector.store.content import restore
from collector.store.filters import between
from otel_agentrun.step import Event, SpanEvent, SpanView

VIEW_COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "ResourceAttributes",
    "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId",
    "IngestAttributes", "Version",
)  # fmt: skip
"""What `views_of` reads."""
SPAN_SELECT: Final = f"SELECT {rows.select_list(VIEW_COLUMNS)} FROM otel_traces FINAL"
ONLY_SPANS: Final = " AND SpanId IN %(spans)s"


def span_batches(
    store: Store,
    trace_ids: Iterable[str],
    span_ids: Collection[str] | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> Iterable[pa.RecordBatch]:
    """Newest versions of raw spans; the sort key's columns are filtered in PREWHERE, where FINAL
    would otherwise read the wide columns first."""
    for ids in chunks(trace_ids):
        given: dict[str, Any] = {"ids": ids, "spans": tuple(span_ids or ())}
        only = "" if span_ids is None else ONLY_SPANS
        table = store.arrow(
            f"{SPAN_SELECT} PREWHERE TraceId IN %(ids)s{only} WHERE 1{between(since_ns, until_ns)}",
            given,
        )
        if table.num_rows:
            yield from table.combine_chunks().to_batches()


def read_spans(
    store: Store,
    trace_ids: Collection[str],
    span_ids: Collection[str] | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> list[SpanView]:
    """With all attributes, events and links, cut values made whole."""
    batches = span_batches(store, trace_ids, span_ids, since_ns, until_ns)
    views = [view for batch in batches for view in views_of(batch, _any, None, _any)]
    if views:
        found = {view.trace_id for view in views}
        _restore(views, _content(store, found, span_ids, since_ns, until_ns))
    return views


def _any(_: str) -> bool:
    return True


def _content(
    store: Store,
    trace_ids: Collection[str],
    span_ids: Collection[str] | None,
    since_ns: int | None,
    until_ns: int | None,
) -> dict[tuple[str, str], dict[str, str]]:
    """(trace id, span id) -> large values by key."""
    stored: dict[tuple[str, str], dict[str, str]] = {}
    only = "" if span_ids is None else ONLY_SPANS
    for ids in chunks(trace_ids):
        table = store.arrow(
            "SELECT TraceId, SpanId, Key, Value FROM agent_content FINAL"
            f" PREWHERE TraceId IN %(ids)s{only} WHERE 1{between(since_ns, until_ns)}",
            {"ids": ids, "spans": tuple(span_ids or ())},
        )
        for row in table.to_pylist():
            stored.setdefault((row["TraceId"], row["SpanId"]), {})[row["Key"]] = row["Value"]
    return stored


def _restore(
    views: Sequence[SpanView], stored: Mapping[tuple[str, str], Mapping[str, str]]
) -> None:
    for view in views:
        if found := stored.get((view.trace_id, view.span_id)):
            attributes = dict(view.attributes)
            events = [
                SpanEvent(event.name, event.time_ns, dict(event.attributes))
                for event in view.events
            ]
            restore(attributes, events, found)
            view.attributes, view.events = attributes, events


def read_logs(
    store: Store,
    trace_ids: Iterable[str],
    span_ids: Collection[str] | None = None,
    since_ns: int | None = None,
) -> list[Event]:
    """Log records of these traces (and spans) as events, by time."""
    found: list[Event] = []
    only = "" if span_ids is None else ONLY_SPANS
    for ids in chunks(trace_ids):
        table = store.arrow(
            "SELECT Timestamp, TraceId, SpanId, EventName, Body, LogAttributes, RecordId"
            f" FROM otel_logs FINAL WHERE TraceId IN %(ids)s{only}{between(since_ns, None)}",
            {"ids": ids, "spans": tuple(span_ids or ())},
        )
        found += _log_events(table)
    return sorted(found, key=lambda event: (event.at_ns, event.event_id))


def _log_events(table: pa.Table) -> list[Event]:
    if table.num_rows == 0:
        return []
    times = table["Timestamp"].cast(pa.int64()).to_pylist()
    names = ("TraceId", "SpanId", "EventName", "Body", "LogAttributes", "RecordId")
    columns = zip(times, *(table[name].to_pylist() for name in names), strict=True)
    return [
        Event(
            event_id=f"{record_id:016x}",
            name=name,
            at_ns=at_ns,
            trace_id=trace_id,
            span_id=span_id,
            attributes=dict(attributes),
            body=body,
        )
        for at_ns, trace_id, span_id, name, body, attributes, record_id in columns
    ]
