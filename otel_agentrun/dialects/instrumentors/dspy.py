"""DSPy: modules call modules, and every one of them is a CHAIN.

Source: Arize-ai/openinference, openinference-instrumentation-dspy 0.1.48 with dspy 3.4; captures
tests/captures/dspy.
"""

from __future__ import annotations

from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.step import Kind, SpanView

SCOPES: Final = ("openinference.instrumentation.dspy",)
CHECKED: Final = "openinference-instrumentation-dspy 0.1.48, dspy 3.4.1"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "tokens of any kind",
    "tool call ids, and which tools the model asked for (they are in its text)",
    "the name of the agent, other than its module",
)


def kind(span: SpanView, stated: str) -> Kind | None:
    """The outermost module is the run; which of the others is an agent, nothing says."""
    if stated == "CHAIN" and not span.parent_span_id and span.name.endswith(".forward"):
        return kinds.RUN
    return None
