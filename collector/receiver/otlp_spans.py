"""Spans: which are impossible, and their columns.

Source: opentelemetry-proto v1, trace.proto.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from collector.arrow import pa
from collector.model import COUNT_MAX, END_SHIFT, HASH_BITS, TIME
from collector.receiver import otlp_digest
from collector.receiver.otlp_flatten import (
    Content,
    Items,
    Ragged,
    hex_ids,
    lengths,
    no_nulls,
    ragged,
    repeat,
)

Mask = NDArray[np.bool_]

KINDS: Final = pa.array(["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"])
STATUSES: Final = pa.array(["Unset", "Ok", "Error"])
"""Names by number; numbers that OTLP does not define are the first."""

CONTENT_SITE: Final = "events"
"""Attribute lists from here on may hold content under any key."""

TRUNCATED: Final = {
    "name": ("spans", "span.name"),
    "status": ("spans", "status.message"),
    "event": ("events", "event.name"),
}


def faults(found: Items, earliest_ns: int, latest_ns: int) -> dict[str, Mask]:
    """Reason -> spans (true) that cannot be stored; times are Unix nanoseconds."""
    items = found.items
    parent_bytes = lengths(items.field("parent_span_id"))
    # What is not as long as an id has the number 0 as well.
    traces, _ = otlp_digest.id_words(items.field("trace_id"), 16)
    spans, _ = otlp_digest.id_words(items.field("span_id"), 8)
    bad_ids = (
        ((traces[:, 0] | traces[:, 1]) == 0)
        | (spans[:, 0] == 0)
        | ((parent_bytes != 0) & (parent_bytes != 8))
    )
    # As signed numbers, times beyond the year 2262 are negative, and so too early.
    start = items.field("start_time_unix_nano").to_numpy().view(np.int64)
    end = items.field("end_time_unix_nano").to_numpy().view(np.int64)
    bad_times = (start < earliest_ns) | (start > latest_ns) | (end < start) | (end > latest_ns)
    offsets, events = found.part("events")
    if len(events):
        late = events.field("time_unix_nano").to_numpy().view(np.int64)
        wrong = (late < 0) | (late > latest_ns)
        if wrong.any():
            before = np.concatenate([[0], np.cumsum(wrong)])
            bad_times |= np.diff(before[offsets]) > 0
    return {"bad_ids": bad_ids, "bad_times": bad_times & ~bad_ids}


def attribute_lists(items: Items) -> dict[str, Ragged]:
    """Sites of stored attributes; a scope's have no column in `otel_traces`."""
    return {
        "spans": items.part("attributes"),
        "links": ragged(items.part("links").values.field("attributes")),
        "resources": ragged(items.resources.field("resource").field("attributes")),
        "events": ragged(items.part("events").values.field("attributes")),
    }


def texts(items: Items) -> dict[str, pa.StringArray]:
    """Everything else that is text."""
    spans, scope = items.items, items.scopes.field("scope")
    return {
        "name": spans.field("name"),
        "state": spans.field("trace_state"),
        "status": no_nulls(spans.field("status").field("message")),
        "event": items.part("events").values.field("name"),
        "link": items.part("links").values.field("trace_state"),
        "scope": no_nulls(scope.field("name")),
        "version": no_nulls(scope.field("version")),
    }


def bodies(_: Items) -> None:
    """Spans have none."""


def columns(items: Items, content: Content, _received_at_ns: int) -> dict[str, pa.Array]:
    """Columns of `model.SPANS`, without those that say how the request arrived."""
    spans = items.items
    start = spans.field("start_time_unix_nano").to_numpy()
    end = spans.field("end_time_unix_nano").to_numpy()
    kind = named(spans.field("kind"), len(KINDS))
    status = named(spans.field("status").field("code"), len(STATUSES))
    parent, parents = without_zeros(spans.field("parent_span_id"), 8)
    event_offsets, events = items.part("events")
    link_offsets, links = items.part("links")
    resource_of, scope_of = items.resource_of, items.scope_of
    service = content.values_of("resources", "service.name")
    flags = spans.field("flags")
    trace, span, parent_text, link_trace, link_span = hex_ids(
        spans.field("trace_id"),
        spans.field("span_id"),
        parent,
        links.field("trace_id"),
        links.field("span_id"),
    )

    event_digests = otlp_digest.combine(
        events.field("time_unix_nano").to_numpy(),
        content.text_digests("event"),
        content.digests("events"),
    )
    link_digests = otlp_digest.combine(
        otlp_digest.of_ids(links.field("trace_id"), 16),
        otlp_digest.of_ids(links.field("span_id"), 8),
        content.text_digests("link"),
        content.digests("links"),
    )
    digests = otlp_digest.combine(
        start,
        end,
        (kind * 4 + status).astype(np.uint64),
        flags.to_numpy().astype(np.uint64),
        parents,
        content.text_digests("name"),
        content.text_digests("state"),
        content.text_digests("status"),
        content.digests("spans"),
        otlp_digest.sums(event_digests, event_offsets),
        otlp_digest.sums(link_digests, link_offsets),
        content.digests("resources")[items.resource_of],
        content.text_digests("scope")[items.scope_of],
        content.text_digests("version")[items.scope_of],
    )
    event_lists = pa.array(event_offsets.astype(np.int32))
    link_lists = pa.array(link_offsets.astype(np.int32))

    def per_event(values: pa.Array) -> pa.ListArray:
        return pa.ListArray.from_arrays(event_lists, values)

    def per_link(values: pa.Array) -> pa.ListArray:
        return pa.ListArray.from_arrays(link_lists, values)

    return {
        "Timestamp": pa.array(start.view(np.int64)).view(TIME),
        "TraceId": trace,
        "SpanId": span,
        "ParentSpanId": parent_text,
        "TraceState": content.text("state"),
        "SpanName": content.text("name"),
        "SpanKind": KINDS.take(pa.array(kind)),
        "ServiceName": repeat(service, resource_of),
        "ResourceAttributes": repeat(content.maps("resources"), resource_of),
        "ScopeName": repeat(content.text("scope"), scope_of),
        "ScopeVersion": repeat(content.text("version"), scope_of),
        "SpanAttributes": content.maps("spans"),
        "Duration": pa.array(end - start),
        "StatusCode": STATUSES.take(pa.array(status)),
        "StatusMessage": content.text("status"),
        "Events.Timestamp": per_event(events.field("time_unix_nano").view(pa.int64()).view(TIME)),
        "Events.Name": per_event(content.text("event")),
        "Events.Attributes": per_event(content.maps("events")),
        "Links.TraceId": per_link(link_trace),
        "Links.SpanId": per_link(link_span),
        "Links.TraceState": per_link(content.text("link")),
        "Links.Attributes": per_link(content.maps("links")),
        "Flags": flags,
        "SpanAttributeTypes": content.types("spans"),
        "Version": pa.array(versions(end, content.counts("spans"), digests)),
    }


def named(numbers: pa.Array, count: int) -> NDArray[np.int32]:
    """Enum numbers with the unknown ones as 0."""
    values: NDArray[np.int32] = (numbers.fill_null(0) if numbers.null_count else numbers).to_numpy()
    return np.where((values >= 0) & (values < count), values, 0)


def without_zeros(ids: pa.BinaryArray, width: int) -> tuple[pa.BinaryArray, otlp_digest.Numbers]:
    """An id of zeros only is none.  Also one number for each id, 0 for none."""
    words, whole = otlp_digest.id_words(ids, width)
    zeros = whole & ~words.any(axis=1)
    if zeros.any():
        ids = pc.if_else(pa.array(zeros), pa.scalar(b"", pa.binary()), ids)
        whole &= ~zeros
    return ids, otlp_digest.of_words(words, whole)


def versions(
    end_ns: NDArray[np.uint64], attributes: NDArray[np.int64], digests: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """`model.span_version` for a column."""
    ends = (end_ns >> np.uint64(END_SHIFT)) << np.uint64(26)
    counted = np.minimum(attributes, COUNT_MAX).astype(np.uint64) << np.uint64(HASH_BITS)
    version: NDArray[np.uint64] = ends | counted | (digests & np.uint64((1 << HASH_BITS) - 1))
    return version
