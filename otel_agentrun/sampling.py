"""A sampler that drops hides spans from every processor; this one records them without exporting.

With a ratio of 0.1, nine of ten runs would have no meter and no limits.  `RecordAll` turns DROP
into RECORD_ONLY: processors see the span, exporters do not, and the sampled flag that travels to
other services is the one that the wrapped sampler decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

__all__ = ["RecordAll", "may_drop"]


class RecordAll(Sampler):
    """Wraps any sampler: `TracerProvider(sampler=RecordAll(TraceIdRatioBased(0.1)))`."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links
        )
        if result.decision is Decision.DROP:
            # A dropping sampler leaves the attributes out.
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        return f"RecordAll{{{self._sampler.get_description()}}}"


def may_drop(sampler: Sampler) -> bool:
    """Whether spans may pass by processors; asked of any sampler, known or not."""
    if isinstance(sampler, RecordAll):
        return False
    return "AlwaysOnSampler" not in sampler.get_description().partition(",")[0]
