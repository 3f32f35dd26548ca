"""Spans of Strands Agents, both conventions.

Source: strands-agents 1.62.0, strands/telemetry/tracer.py.  By default content is in span events
named as in semantic-conventions v1.36; with `gen_ai_latest_experimental` it is in
`gen_ai.client.inference.operation.details` events, tool content also in attributes (but the result
of a failed tool); with `gen_ai_span_attributes_only` the events' attributes are the span's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, Usage

NAME: Final = "strands"
CHECKED: Final = "strands-agents 1.62.0, default and latest conventions, also as attributes only"
CANNOT_TELL: Final = (
    "Reasoning tokens are not sent.",
    "The provider is not sent: every span names `strands-agents`.",
    "A response has no id.",
    "That a swarm stopped at its limit of handoffs: its span ends like any other.",
)
SCOPE: Final = "strands.telemetry.tracer"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "hit_count": ("memory.result.count",),
}
CANCELLATION: Final = "strands.cancellation.type"
ALSO_READ: Final = genai.ALSO_READ | {CANCELLATION}
EVENTS: Final = genai.EVENTS | {"memory.query"}
KINDS: Final[Mapping[str, Kind]] = {**genai.KINDS, "memory.search": kinds.RETRIEVE}
"""Adding to, extracting into and injecting from a memory are no retrievals of their own."""
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.CONTENT,
    # Of a search: as attributes only, its results take the place of its query.
    "documents": (*genai.CONTENT["documents"], "content"),
    "top_k": (*genai.CONTENT["top_k"], "memory.max_search_results"),
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, "memory.store.names")

STOPS: Final[Mapping[str, str]] = {
    "limit_turns": "max_iterations",
    "limit_total_tokens": "budget_tokens",
    "limit_output_tokens": "budget_tokens",
    "cancelled": "cancelled",
}
"""Finish reasons of agents that did not finish -> stop reason of the run."""
REDACTED: Final = "[REDACTED]"
"""Instead of any content that `gen_ai_unredacted_attributes` does not name."""


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE and genai.OPERATION in span.attributes


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.text(genai.OPERATION), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.NODE if kind is kinds.OTHER else genai.role(span, kind)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.TOOL:
        # Messages that say again what the attributes say.
        found.pop("input", None)
        sent = found.pop("output", None)
        if "result" not in found and (result := _result(span, sent)) is not None:
            found["result"] = result
        for field in ("arguments", "result"):
            if found.get(field) == REDACTED:  # equal digests would make all calls look alike
                del found[field]
    elif kind is kinds.RUN:
        for reason in genai.finish_reasons(span, found):
            if reason in STOPS:
                labels.setdefault("stop_reason", STOPS[reason])
        if CANCELLATION in span.attributes:
            found["status"] = "cancelled"
    elif kind is kinds.RETRIEVE:
        for event in span.events:
            if event.name == "memory.query" and event.attributes.get("content"):
                found.setdefault("query", event.attributes["content"])


def _result(span: SpanView, sent: Any) -> Any:
    """What a tool answered, from its output message: the attribute is of successful ones only."""
    for event in span.events:
        if event.name == messages.DETAILS:
            sent = event.attributes.get(messages.OUTPUT_MESSAGES, sent)
    said = arguments.parse(sent) if isinstance(sent, str) else sent
    if said == REDACTED:
        return said
    for one in said if isinstance(said, list) else ():
        for part in one.get("parts", ()) if isinstance(one, Mapping) else ():
            if isinstance(part, Mapping) and "response" in part:
                return part["response"]
    return None


def usage(span: SpanView, found: Found) -> Usage | None:
    """Input includes cached tokens, but in older versions it is what the provider said: Bedrock
    and Anthropic count them apart, which shows when there are more of them than of input."""
    sent = found.get("input_tokens")
    if sent is not None:
        cached = found.get("cache_read_tokens", 0) + found.get("cache_write_tokens", 0)
        if cached > sent:
            found["input_tokens"] = sent + cached
    return table_usage(span, found)


tool_requests = genai.tool_requests


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    if kind is kinds.TOOL:
        result = _result(span, span.get(messages.OUTPUT_MESSAGES))
        if result is not None:
            out.setdefault("result", result)
    elif kind is kinds.RETRIEVE:
        stores = arguments.parse(span.text("memory.store.names"))
        if isinstance(stores, list):
            out["data_source"] = ", ".join(map(str, stores))
        for event in span.events:
            if event.name == "memory.query":
                out["query"] = event.attributes.get("content")
            elif event.name == "memory.results":
                out["documents"] = event.attributes.get("content")
    return out
