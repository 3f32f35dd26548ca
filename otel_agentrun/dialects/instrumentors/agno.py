"""Agno: teams, members and workflows.

Source: Arize-ai/openinference, openinference-instrumentation-agno 1.0.15 with agno 3.1; captures
tests/captures/agno.  The context of a finished team stays attached: a later run's spans may lie
below it.
"""

from __future__ import annotations

from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, SpanView

SCOPES: Final = ("openinference.instrumentation.agno",)
CHECKED: Final = "openinference-instrumentation-agno 1.0.15, agno 3.1.10"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "reasoning tokens",
    "the id of the model's answer",
    "tool call ids",
)


def kind(span: SpanView, stated: str) -> Kind | None:
    """A workflow is a CHAIN, as its steps (`<step>.execute`) are."""
    return kinds.RUN if stated == "CHAIN" and span.name.endswith(".run") else None


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.OTHER:
        found.pop("agent_name", None)  # the name of a workflow's step
