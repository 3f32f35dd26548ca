"""Spans of Semantic Kernel (Python) as steps.

Source: microsoft/semantic-kernel, python/semantic_kernel/utils/telemetry and
functions/kernel_function.py, 1.45; capture tests/captures/semkernel.  The convention's keys, with
messages in log records that carry their name as an attribute, and tools named `Plugin-function`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects import genai, handoffs, kinds
from otel_agentrun.dialects.tables import Found, Labels, as_count
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage

NAME: Final = "semantic_kernel"
CHECKED: Final = "semantic-kernel 1.45 (agents; OpenAI chat completions)"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "Cached and reasoning tokens, unless log records are sent, too (level INFO): they are only in "
    "the wording of one that the OpenAI connector writes.",
    "Messages and arguments, unless sensitive diagnostics are switched on.",
    "That auto-invocation stopped at its limit: the run ends like any other.",
)

SCOPES: Final = "semantic_kernel."
LOOP: Final = "AutoFunctionInvocationLoop"
"""A span around all model and tool calls of one request."""

USAGE_LOG: Final = "OpenAI usage: CompletionUsage("
"""How the body of a log record begins that says what a call used: `repr` of the answer's usage.

It has the ids of the model span and no event name (semantic_kernel/connectors/ai/open_ai/services/
open_ai_handler.py, `store_usage`).
"""
USED: Final[Mapping[str, re.Pattern[str]]] = {
    "input_tokens": re.compile(r"prompt_tokens=(\d+)"),
    "output_tokens": re.compile(r"completion_tokens=(\d+)"),
    "cache_read_tokens": re.compile(r"cached_tokens=(\d+)"),
    "cache_write_tokens": re.compile(r"cache_write_tokens=(\d+)"),
    "reasoning_tokens": re.compile(r"reasoning_tokens=(\d+)"),
}

KEYS: Final[Mapping[str, tuple[str, ...]]] = genai.KEYS
ALSO_READ: Final = genai.ALSO_READ
EVENTS: Final = genai.EVENTS

KINDS: Final[Mapping[str, Kind]] = {
    **genai.KINDS,
    "chat.completions": kinds.MODEL,
    "chat.streaming_completions": kinds.MODEL,
    "text.completions": kinds.MODEL,
    "text.streaming_completions": kinds.MODEL,
}
"""With the operation names of versions before 1.30."""

CONTENT: Final[Mapping[str, tuple[str, ...]]] = genai.CONTENT
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES


def recognizes(span: SpanView) -> bool:
    return span.scope.startswith(SCOPES)


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.text(genai.OPERATION), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.TOOL and handoffs.is_handoff(_function(span.text("gen_ai.tool.name"))):
        return kinds.HANDOFF
    return kinds.NODE if span.name == LOOP else genai.role(span, kind)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.RUN and found.get("input") == "[]":
        del found["input"]  # an agent span hides what it was asked
    elif kind is kinds.TOOL and "tool_name" in found:
        function = _function(found["tool_name"])
        if handoffs.is_handoff(function):
            found["handoff_to"] = handoffs.target(function, found.get("arguments"))


def _function(tool_name: str) -> str:
    """`Handoff-transfer_to_refund_agent` is a function of the plugin `Handoff`."""
    return tool_name.partition("-")[2] or tool_name


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    return genai.tool_requests(span, found)


def log_fields(event: Event) -> Mapping[str, Any]:
    """Step fields that a usage log record adds to its span."""
    if not event.body.startswith(USAGE_LOG):
        return {}
    counts = {
        field: as_count(matched.group(1))
        for field, pattern in USED.items()
        if (matched := pattern.search(event.body)) is not None
    }
    return {"usage": Usage(**counts)} if counts else {}


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    return genai.content(span, kind, logs)
