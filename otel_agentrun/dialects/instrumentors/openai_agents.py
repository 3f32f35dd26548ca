"""OpenAI Agents SDK: the outermost AGENT span is the trace, handoffs are TOOL spans of their own.

Source: Arize-ai/openinference, openinference-instrumentation-openai-agents; captures
tests/captures/openaiagents.
"""

from __future__ import annotations

from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, Role, SpanView

SCOPES: Final = ("openinference.instrumentation.openai_agents",)
CHECKED: Final = "openinference-instrumentation-openai-agents, Responses API and chat completions"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "cached and reasoning tokens on chat completions",
    "the cause of a tool error (redacted by the SDK)",
    "tool call ids",
    "a conversation id",
)
NAMES: Final = ("agent.name", "graph.node.id")


def role(span: SpanView, kind: Kind) -> Role | None:
    if kind is kinds.RUN and not span.text(*NAMES):
        return kinds.WORKFLOW  # the trace span
    return None


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.RUN and not span.text(*NAMES):
        labels.setdefault("workflow_name", found.pop("agent_name", span.name))
