"""Spans of Strands Agents, both conventions.

Source: strands-agents 1.62.0, strands/telemetry/tracer.py.  By default content is in span events
named as in semantic-conventions v1.36; with `gen_ai_latest_experimental` it is in
`gen_ai.client.inference.operation.details` events, tool content also in attributes; with
`gen_ai_span_attributes_only` the events' attributes are the span's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.tables import Found
from otel_agentrun.step import Kind, Role, SpanView, Usage

NAME: Final = "strands"
CHECKED: Final = "strands-agents 1.62.0; the latest conventions by its source"
CANNOT_TELL: Final = (
    "Reasoning tokens are not sent.",
    "The provider is not sent: every span names `strands-agents`.",
    "A response has no id.",
)
SCOPE: Final = "strands.telemetry.tracer"

KEYS: Final[Mapping[str, tuple[str, ...]]] = genai.KEYS
ALSO_READ: Final = genai.ALSO_READ
EVENTS: Final = genai.EVENTS
KINDS: Final[Mapping[str, Kind]] = {**genai.KINDS, "memory.search": kinds.RETRIEVE}
"""Adding to, extracting into and injecting from a memory are no retrievals of their own."""
CONTENT: Final[Mapping[str, tuple[str, ...]]] = genai.CONTENT
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE and genai.OPERATION in span.attributes


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.text(genai.OPERATION), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.NODE if kind is kinds.OTHER else genai.role(span, kind)


def usage(span: SpanView, found: Found) -> Usage | None:
    """Input includes cached tokens, but in older versions it is what the provider said: Bedrock
    and Anthropic count them apart, which shows when there are more of them than of input."""
    sent = found.get("input_tokens")
    if sent is not None:
        cached = found.get("cache_read_tokens", 0) + found.get("cache_write_tokens", 0)
        if cached > sent:
            found["input_tokens"] = sent + cached
    return table_usage(span, found)


derive = genai.derive
tool_requests = genai.tool_requests
content = genai.content
