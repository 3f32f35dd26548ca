"""Runs that nobody opened: instrumented frameworks under the processor alone.

The first span of agent instrumentation in a trace begins one, with the id that the collector will
give it, the trace id; what starts below belongs to it.  It is metered, watched and can be stopped.
Nothing is stamped on its spans: the collector makes such runs out by itself.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, Span

from otel_agentrun.agent_scopes import is_agent_work, says_agent
from otel_agentrun.current import RunScope
from otel_agentrun.dialects import kinds
from otel_agentrun.span_view import raw
from otel_agentrun.step import Kind

__all__ = ["ImplicitRuns"]

OPEN_MAX: Final = 10_000
"""Traces that are remembered; of more the oldest is forgotten."""


class Trace:
    """The newest implicit run of a trace, and the agent span that it began with."""

    __slots__ = ("anchor", "anchor_ended", "scope")

    def __init__(self, scope: RunScope, anchor: int) -> None:
        self.scope = scope
        self.anchor = anchor
        """Id of the span."""
        self.anchor_ended = False


class ImplicitRuns:
    """Those of one processor, by trace.  Threads share one."""

    __slots__ = ("_traces",)

    def __init__(self) -> None:
        self._traces: dict[int, Trace] = {}

    def __len__(self) -> int:
        return len(self._traces)

    def begin(self, span: Span) -> RunScope | None:
        """The run of a span that no open span of a run is above of; `None` where it is not an
        agent's work."""
        scope = span.instrumentation_scope
        stated = raw(span)
        if not is_agent_work(scope.name if scope is not None else "", stated):
            return None
        at = span.get_span_context()
        known = self._traces.get(at.trace_id)
        if known is not None and not known.scope.ended:
            if known.anchor_ended or not says_agent(stated):
                return known.scope
            # A second agent beside the first, both in their caller's trace.
        elif known is None and len(self._traces) >= OPEN_MAX:
            self._traces.pop(next(iter(self._traces), 0), None)
        made = RunScope({}, agent_name=str(stated.get("gen_ai.agent.name", "")), implicit=True)
        made.bind(at, is_root=known is None)
        self._traces[at.trace_id] = Trace(made, at.span_id)
        return made

    def end(self, span: ReadableSpan, kind: Kind | None) -> RunScope | None:
        """A span ended; `kind` where it belonged to an implicit run.  The run that ended with it:
        an agent's with the agent's span, others with their trace."""
        at = span.context
        if at is None:
            return None
        known = self._traces.get(at.trace_id)
        if known is None:
            return None
        ended: RunScope | None = None
        if at.span_id == known.anchor:
            known.anchor_ended = True
            if kind is kinds.RUN:
                ended = known.scope
        parent = span.parent
        if parent is None or parent.is_remote:
            self._traces.pop(at.trace_id, None)
            ended = known.scope
        return ended if ended is not None and not ended.ended else None
