"""Spans of our own SDK: `agentrun.step.kind` on top of the full GenAI attributes.

Source: otel_agentrun/semconv.py.  `agentrun.*` facts on other emitters' spans (put there by the
span processor or by baggage) are read in every dialect: `tables.COMMON` and `labels.LABELS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import semconv
from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest

NAME: Final = "agentrun"
CHECKED: Final = "the SDK of this repository"
CANNOT_TELL: Final[tuple[str, ...]] = ()

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "hit_count": (semconv.RETRIEVAL_HIT_COUNT,),
    "input": (semconv.INPUT, *genai.KEYS["input"]),
    "output": (*genai.KEYS["output"], semconv.OUTPUT),
}

ALSO_READ: Final = frozenset(
    {semconv.STEP_KIND, semconv.STEP_ROLE, semconv.INPUT, semconv.RUN_PARENT_ID}
)
EVENTS: Final = genai.EVENTS
KINDS: Final[Mapping[str, Kind]] = {kind.value: kind for kind in Kind}
ROLES: Final[Mapping[str, Role]] = {"response": kinds.RESPONSE, "handoff": kinds.HANDOFF}

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.CONTENT,
    "input": (semconv.INPUT,),
    "output": (semconv.OUTPUT, *genai.CONTENT["output"]),
    "data_source": (semconv.RETRIEVAL_COLLECTION, *genai.CONTENT["data_source"]),
}
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES


def recognizes(span: SpanView) -> bool:
    return semconv.STEP_KIND in span.attributes


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.text(semconv.STEP_KIND), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        return kinds.SDK
    return ROLES.get(span.text(semconv.STEP_ROLE), kinds.NO_ROLE) or genai.role(span, kind)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.RUN and (parent_id := span.text(semconv.RUN_PARENT_ID)):
        labels["parent_run_id"] = parent_id


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    return genai.tool_requests(span, found)


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    return genai.content(span, kind, logs)
