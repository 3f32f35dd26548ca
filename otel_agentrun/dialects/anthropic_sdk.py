"""Spans that the Anthropic SDK for Python makes itself.

Source: anthropic 2.11.0, anthropic/_tracing.py and lib/_tracing/.  One CLIENT span per API call,
its retries included; only `anthropic.messages.create` and its variants are model calls.  Where
another instrumentor describes the same call, the fold counts one: this span lies within its span
(OpenInference; Logfire, whose record of a stream's end is beside that) or beside it (OpenLLMetry)
and has the same response id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.tables import Found, Labels, as_count
from otel_agentrun.step import Event, Kind, Role, SpanView, Usage

NAME: Final = "anthropic_sdk"
CHECKED: Final = "anthropic 2.12.0 (streams, extended thinking, tool runner) and 2.11.0"
CANNOT_TELL: Final = (
    "By default there is no content: no messages and no tool requests.",
    "The SDK sees API calls: agents and most tools have no span of its own making.",
)
SCOPE: Final = "com.anthropic.sdk.python"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "finish_reasons": (*genai.KEYS["finish_reasons"], "anthropic.message.stop_reason"),
    "result": (*genai.KEYS["result"], "anthropic.tool_result.content"),
    "compaction_input": ("anthropic.usage.compaction.input_tokens",),
    "compaction_output": ("anthropic.usage.compaction.output_tokens",),
}
ALSO_READ: Final = genai.ALSO_READ
EVENTS: Final = genai.EVENTS
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.CONTENT,
    "result": KEYS["result"],
}
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE


def kind(span: SpanView) -> Kind:
    return genai.kind(span)


def role(span: SpanView, kind: Kind) -> Role:
    """Calls of other endpoints (files, models, batches, ...) are plumbing."""
    return kinds.TRANSPORT if kind is kinds.OTHER else genai.role(span, kind)


def label(key: str) -> str:
    return "session_id" if key == "anthropic.session.id" else ""


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)


def usage(span: SpanView, found: Found) -> Usage | None:
    """Input includes cached tokens; those of compactions within the call are billed on top."""
    for field, extra in (
        ("input_tokens", "compaction_input"),
        ("output_tokens", "compaction_output"),
    ):
        if extra in found:
            more = as_count(found[extra])
            if more is not None:
                found[field] = found.get(field, 0) + more
    return table_usage(span, found)


tool_requests = genai.tool_requests


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    if span.has(KEYS["compaction_input"][0]):
        out["context_compacted"] = True
    return out
