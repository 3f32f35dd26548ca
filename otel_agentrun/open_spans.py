"""Spans inside runs that have not ended, and which model calls several of them describe.

One call is often told twice: by a framework's instrumentation and, inside of it or beside it, by
that of the client library.  The collector joins such spans (`collector.runs.calls`); the meter
counts the first that ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import Status, StatusCode

from otel_agentrun import semconv
from otel_agentrun.current import RunScope
from otel_agentrun.dialects import kinds
from otel_agentrun.siblings import same_call, sibling_key
from otel_agentrun.step import Kind, Step
from otel_agentrun.verdicts import Verdict

__all__ = ["OpenSpan", "OpenSpans"]

OPEN_MAX: Final = 100_000
"""Open spans that are remembered; a span that never ends must not be a leak."""
CALLS_MAX: Final = 32
"""Newest model calls below one span that are compared."""


class OpenSpan:
    """A span inside a run that has not ended."""

    __slots__ = (
        "arguments", "calls", "holds_call", "is_root", "parent_id", "scope", "span", "step_id",
        "stopped",
    )  # fmt: skip

    def __init__(
        self, scope: RunScope, span: Span, parent_id: int, step_id: int, is_root: bool
    ) -> None:
        self.scope = scope
        self.span = weakref.ref(span)
        self.parent_id = parent_id
        self.step_id = step_id
        self.is_root = is_root
        """It is the run's own span."""
        self.holds_call = False
        """A model call below it, with no agent and no tool between, was counted."""
        self.calls: tuple[Step, ...] = ()
        """Model calls right below it that were counted."""
        self.arguments: Mapping[str, object] | None = None
        """The real ones of a call of a tool of ours, for rules: the span's may be redacted."""
        self.stopped: Verdict | None = None
        """The kill that came while it was open."""

    def stop(self, verdict: Verdict) -> None:
        """Stamp the outcome on the span."""
        self.stopped = verdict
        span = self.span()
        if span is not None and span.is_recording():
            span.set_attribute(semconv.STOP_REASON, verdict.stop_reason)
            span.set_status(StatusCode.ERROR, verdict.reason or verdict.stop_reason)

    def restore(self, span: ReadableSpan) -> None:
        """Put the outcome back on a span that ended and was told otherwise.  This copy of it is
        what all processors after us see."""
        verdict = self.stopped
        if verdict is None:
            return
        said = span.attributes or {}
        if said.get(semconv.STOP_REASON) != verdict.stop_reason:
            span._attributes = {**said, semconv.STOP_REASON: verdict.stop_reason}
        if span.status.status_code is not StatusCode.ERROR:
            span._status = Status(StatusCode.ERROR, verdict.reason or verdict.stop_reason)


class OpenSpans(dict[int, OpenSpan]):
    """Span id -> open span.  Threads may share one."""

    def add(self, span_id: int, span: OpenSpan) -> None:
        """Remember a span; of too many the oldest is forgotten."""
        if len(self) >= OPEN_MAX:
            self.pop(next(iter(self), 0), None)
        self[span_id] = span

    def scope_of(self, span_id: int) -> RunScope | None:
        """The run that an open span belongs to."""
        found = self.get(span_id)
        return found.scope if found is not None else None

    def tell(self, span_id: int, name: str, attributes: Mapping[str, Any]) -> None:
        """An event on an open span."""
        found = self.get(span_id)
        span = found.span() if found is not None else None
        if span is not None:
            span.add_event(name, attributes)

    def stop(self, scope: RunScope, verdict: Verdict) -> None:
        """Stamp the outcome on the open spans of a run and of the runs inside of it."""
        for found in list(self.values()):
            within: RunScope | None = found.scope
            while within is not None and within is not scope:
                within = within.parent
            if within is not None and found.stopped is None:
                found.stop(verdict)

    def is_new(self, span: OpenSpan, kind: Kind, step: Step | None = None) -> bool:
        """Whether a span that ended is to be counted: a model call is not where a span inside it,
        or one beside it, described the same call."""
        is_call = kind is kinds.MODEL
        if not is_call and not span.holds_call:
            return True
        above = self.get(span.parent_id)
        if above is not None and kind is not kinds.RUN and kind is not kinds.TOOL:
            above.holds_call = True
        if not is_call:
            return True
        return not span.holds_call and (
            above is None or step is None or _is_first_sibling(above, step)
        )


def _is_first_sibling(above: OpenSpan, step: Step) -> bool:
    key = sibling_key(step)
    if key is not None:
        for other in above.calls:
            if sibling_key(other) == key and same_call(other, step):
                return False
        above.calls = (*above.calls[1 - CALLS_MAX :], step)
    return True
