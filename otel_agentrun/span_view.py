"""Spans of the OpenTelemetry SDK: as the dialects see them, and their attributes at little cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanKind, StatusCode

from otel_agentrun.step import SpanEvent, SpanView

KINDS: Final = {
    SpanKind.INTERNAL._value_: "Internal",
    SpanKind.CLIENT._value_: "Client",
    SpanKind.SERVER._value_: "Server",
    SpanKind.PRODUCER._value_: "Producer",
    SpanKind.CONSUMER._value_: "Consumer",
}
"""By number: to hash a member of an enumeration costs more than the rest of the look-up."""
CODES: Final = {
    StatusCode.UNSET._value_: "Unset",
    StatusCode.OK._value_: "Ok",
    StatusCode.ERROR._value_: "Error",
}
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
        kind=KINDS[span.kind._value_],
        scope=scope.name if scope is not None else "",
        scope_version=(scope.version or "") if scope is not None else "",
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status_code=CODES[status.status_code._value_],
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


def raw(span: ApiSpan | ReadableSpan) -> Mapping[str, Any]:
    """A span's attributes to look up in, several times as fast as `span.attributes`, which wraps
    them twice; none where a span keeps none.  Not to be kept: the span may still change."""
    held = getattr(span, "_attributes", None)
    found: Any = getattr(held, "_dict", held)
    return found if found is not None else NOTHING


def put(span: ApiSpan, said: Mapping[str, Any]) -> None:
    """`span.set_attributes`, several times as fast, for what needs no cleaning: texts, numbers,
    truth values, and tuples of them, under names.

    What the SDK does beyond cleaning is left to it: spans that are full, ended, not its own, or
    limited in the length of values (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT).
    """
    held: Any = getattr(span, "_attributes", None)
    if type(held) is BoundedAttributes and not held._immutable and held.max_value_len is None:
        found: dict[str, Any] = held._dict
        if held.maxlen is None or len(found) + len(said) <= held.maxlen:
            found.update(said)  # in one go: no other thread sees half of it
            return
    span.set_attributes(said)
