"""Gemini CLI: its log events as spans (see `log_spans.py`).

Source: google-gemini/gemini-cli, docs/cli/telemetry.md: events `gemini_cli.api_response`,
`gemini_cli.api_error`, `gemini_cli.tool_call`.  Cached tokens are part of the input; thoughts are
not part of the output, and are added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, Role, SpanView, Usage

NAME: Final = "gemini_cli"
CHECKED: Final = "the documentation of Gemini CLI; no capture"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "when a run began and ended: a prompt is a run until nothing more comes",
    "results of tools, and which tools the model asked for",
)
EVENT: Final = "gemini_cli.event"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model", "model_name"),
    "input_tokens": ("input_token_count",),
    "output_tokens": ("output_token_count",),
    "cache_read_tokens": ("cached_content_token_count",),
    "reasoning_tokens": ("thoughts_token_count",),
    "finish_reasons": ("finish_reasons",),
    "tool_name": ("function_name",),
    "arguments": ("function_args",),
    "error_type": ("error_type",),
}
ALSO_READ: Final = frozenset({EVENT, "success", "error", "prompt_id"})
KINDS: Final[Mapping[str, Kind]] = {
    "gemini_cli.api_response": kinds.MODEL,
    "gemini_cli.api_error": kinds.MODEL,
    "gemini_cli.tool_call": kinds.TOOL,
}
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {"arguments": ("function_args",)}


def recognizes(span: SpanView) -> bool:
    return EVENT in span.attributes


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.name, kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    found["agent_name"] = "Gemini CLI"
    if kind is kinds.MODEL:
        found["provider"] = "google"


def usage(span: SpanView, found: Found) -> Usage | None:
    stated: Any = table_usage(span, found)
    if stated is not None and stated.output_tokens is not None:
        stated.output_tokens += stated.reasoning_tokens or 0
    return stated  # type: ignore[no-any-return]  # it was `Any` to be changed before it is given out
