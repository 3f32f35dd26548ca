"""Codex CLI: its log events as spans (see `log_spans.py`).

Source: openai/codex, docs on `[otel]` (pull request 2103): events `codex.sse_event` of kind
`response.completed`, `codex.api_request`, `codex.tool_result`.  Its own spans describe its insides
and no calls; cached tokens are part of the input, reasoning ones of the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, Role, SpanView

NAME: Final = "codex_cli"
CHECKED: Final = "the documentation of Codex CLI; no capture"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "runs within a conversation: one conversation is one run",
    "prompts, unless it is told to log them, and answers",
    "the id of the model's answer, and which tools the model asked for",
)
EVENT: Final = "codex.event"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model",),
    "input_tokens": ("input_token_count",),
    "output_tokens": ("output_token_count",),
    "cache_read_tokens": ("cached_token_count",),
    "cache_write_tokens": ("cache_write_token_count",),
    "reasoning_tokens": ("reasoning_token_count",),
    "tool_name": ("tool_name",),
    "tool_call_id": ("call_id",),
    "arguments": ("arguments",),
    "result": ("output",),
}
CONVERSATION: Final = "conversation.id"
ALSO_READ: Final = frozenset({EVENT, CONVERSATION})
KINDS: Final[Mapping[str, Kind]] = {
    "codex.sse_event": kinds.MODEL,
    "codex.api_request": kinds.MODEL,
    "codex.tool_result": kinds.TOOL,
}
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "arguments": ("arguments",),
    "result": ("output",),
}


def recognizes(span: SpanView) -> bool:
    return EVENT in span.attributes


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.name, kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    found["agent_name"] = "Codex"
    if conversation := span.text(CONVERSATION):
        labels.setdefault("conversation_id", conversation)
    if kind is kinds.MODEL:
        found["provider"] = "openai"
