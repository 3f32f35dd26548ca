"""Log records: which are impossible, and their columns.

Source: opentelemetry-proto v1, logs.proto.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.model import TIME
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
from collector.receiver.otlp_spans import Mask, without_zeros

EVENT_NAME: Final = "event.name"
"""Where emitters put the name of an event before the field `event_name` existed."""

CONTENT_SITE: Final = "logs"
"""Attribute lists from here on may hold content under any key."""

TRUNCATED: Final = {"body": ("logs", "body"), "event": ("logs", "event_name")}


def faults(found: Items, earliest_ns: int, latest_ns: int) -> dict[str, Mask]:
    """Reason -> records (true) that cannot be stored.  No ids and no time are both fine."""
    items = found.items
    trace_bytes, span_bytes = (lengths(items.field(name)) for name in ("trace_id", "span_id"))
    bad_ids = ((trace_bytes != 0) & (trace_bytes != 16)) | ((span_bytes != 0) & (span_bytes != 8))
    times = _stated_times(items).view(np.int64)
    bad_times = (times != 0) & ((times < earliest_ns) | (times > latest_ns))
    return {"bad_ids": bad_ids, "bad_times": bad_times & ~bad_ids}


def _stated_times(items: pa.StructArray) -> otlp_digest.Numbers:
    """The event's time, or when it was observed; 0 where neither is stated."""
    times = items.field("time_unix_nano").to_numpy()
    observed = items.field("observed_time_unix_nano").to_numpy()
    stated: otlp_digest.Numbers = np.where(times == 0, observed, times)
    return stated


def attribute_lists(items: Items) -> dict[str, Ragged]:
    return {
        "resources": ragged(items.resources.field("resource").field("attributes")),
        "scopes": ragged(items.scopes.field("scope").field("attributes")),
        "logs": items.part("attributes"),
    }


def texts(items: Items) -> dict[str, pa.StringArray]:
    """Everything else that is text, without the body, which is an AnyValue."""
    scope = items.scopes.field("scope")
    return {
        "severity": items.items.field("severity_text"),
        "event": items.items.field("event_name"),
        "scope": no_nulls(scope.field("name")),
        "version": no_nulls(scope.field("version")),
        "scope_url": items.scopes.field("schema_url"),
        "resource_url": items.resources.field("schema_url"),
    }


def bodies(items: Items) -> pa.ListArray:
    """Serialized AnyValue of each record, in parts."""
    return items.items.field("body")


def columns(items: Items, content: Content, received_at_ns: int) -> dict[str, pa.Array]:
    """Columns of `model.LOGS`, without those that say how the request arrived."""
    logs = items.items
    resource_of, scope_of = items.resource_of, items.scope_of
    times = _stated_times(logs)
    trace, traces = without_zeros(logs.field("trace_id"), 16)
    span, spans = without_zeros(logs.field("span_id"), 8)
    trace_text, span_text = hex_ids(trace, span)
    flags = logs.field("flags").to_numpy().astype(np.uint8)
    severity = logs.field("severity_number").to_numpy().clip(0, 255).astype(np.uint8)
    event = content.text("event")
    digests = otlp_digest.combine(
        # As stated: the time of arrival would make a resent record another one.
        times,
        traces,
        spans,
        flags.astype(np.uint64) << np.uint64(8) | severity,
        content.text_digests("severity"),
        content.text_digests("body"),
        content.text_digests("event"),
        content.digests("logs"),
        content.digests("resources")[items.resource_of],
        content.digests("scopes")[items.scope_of],
        content.text_digests("scope")[items.scope_of],
        content.text_digests("version")[items.scope_of],
    )
    return {
        "Timestamp": pa.array(np.where(times == 0, received_at_ns, times.view(np.int64))).view(
            TIME
        ),
        "TraceId": trace_text,
        "SpanId": span_text,
        "TraceFlags": pa.array(flags),
        "SeverityText": content.text("severity"),
        "SeverityNumber": pa.array(severity),
        "ServiceName": repeat(content.values_of("resources", "service.name"), resource_of),
        "Body": content.text("body"),
        "ResourceSchemaUrl": repeat(content.text("resource_url"), resource_of),
        "ResourceAttributes": repeat(content.maps("resources"), resource_of),
        "ScopeSchemaUrl": repeat(content.text("scope_url"), scope_of),
        "ScopeName": repeat(content.text("scope"), scope_of),
        "ScopeVersion": repeat(content.text("version"), scope_of),
        "ScopeAttributes": repeat(content.maps("scopes"), scope_of),
        "LogAttributes": content.maps("logs"),
        "EventName": pc.if_else(pc.equal(event, ""), content.values_of("logs", EVENT_NAME), event),
        "RecordId": pa.array(digests),
    }
