"""Whose is it?  The run that a span, and so an event, belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from collector.runs.identity import Assembly
from collector.runs.trace import Trace
from otel_agentrun.step import Event


class Owners:
    """Of the spans of one group, as it is assembled now."""

    def __init__(self, assemblies: list[Assembly], traces: Mapping[str, Trace]) -> None:
        self._assemblies = assemblies
        self._traces = traces

    @cached_property
    def _by_bucket(self) -> dict[int, str]:
        """id of a bucket -> the run it is part of.  Made when somebody asks: few groups have
        events, and fewer lose runs."""
        return {
            id(bucket): run.run_id
            for run in self._assemblies
            for bucket in (*run.buckets, *(bucket for bucket, _ in run.echoes))
        }

    def of_span(self, trace_id: str, span_id: str) -> str:
        """Of an unknown span, the first run of its trace; "" when there is none."""
        trace = self._traces.get(trace_id)
        if trace is None:
            return ""
        node = trace.nodes.get(span_id)
        if node is not None:
            return self._by_bucket.get(id(node.bucket.find()), "")
        buckets = sorted(trace.tops.values(), key=lambda b: (b.start_ns, b.top_span_id))
        return next((self._by_bucket[id(b)] for b in buckets if id(b) in self._by_bucket), "")

    def of_events(self, events: Collection[Event]) -> dict[str, list[Event]]:
        """Events by the run they are of: named by id, by the span they are in, by their trace."""
        found: dict[str, list[Event]] = {}
        if not events or not self._assemblies:
            return found
        known = {run.run_id for run in self._assemblies}
        for event in events:
            run_id = event.run_id
            if run_id not in known:
                run_id = self.of_span(event.trace_id, event.span_id)
            found.setdefault(run_id or self._assemblies[0].run_id, []).append(event)
        return found
