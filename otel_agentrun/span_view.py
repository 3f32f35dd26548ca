"""A `ReadableSpan` of the OpenTelemetry SDK as the dialects see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from otel_agentrun.step import SpanEvent, SpanView

KINDS: Final = {
    SpanKind.INTERNAL: "Internal",
    SpanKind.CLIENT: "Client",
    SpanKind.SERVER: "Server",
    SpanKind.PRODUCER: "Producer",
    SpanKind.CONSUMER: "Consumer",
}
CODES: Final = {StatusCode.UNSET: "Unset", StatusCode.OK: "Ok", StatusCode.ERROR: "Error"}
NOTHING: Final[Mapping[str, Any]] = {}
"""One object: the dialects recognize a resource by its identity."""


def view_of(span: ReadableSpan, attributes: Mapping[str, Any]) -> SpanView:
    """`attributes` instead of the span's own: whatever the dialects are to read.

    Links are left out: they tie traces, which is the collector's business.
    """
    context = span.context
    assert context is not None
    scope = span.instrumentation_scope
    status = span.status
    events = span._events
    return SpanView(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent is not None else "",
        name=span.name,
        kind=KINDS[span.kind],
        scope=scope.name if scope is not None else "",
        scope_version=(scope.version or "") if scope is not None else "",
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status_code=CODES[status.status_code],
        status_message=status.description or "",
        attributes=attributes,
        resource=NOTHING,
        ingest=NOTHING,
        events=tuple(
            SpanEvent(event.name, event.timestamp, event.attributes or NOTHING) for event in events
        )
        if events
        else (),
    )


def raw(span: ReadableSpan) -> Mapping[str, Any]:
    """A span's attributes to look up in, several times as fast as `span.attributes`, which wraps
    them twice.  Not to be kept: the span may still change."""
    held = span._attributes
    found: Any = getattr(held, "_dict", held)
    return found if found is not None else NOTHING
