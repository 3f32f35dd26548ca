"""Claude Code: its log events as spans (see `log_spans.py`), and the spans of its beta traces.

Source: code.claude.com/docs/en/monitoring-usage, events `claude_code.api_request`, `.api_error`,
`.tool_result`; spans `claude_code.interaction`, `.llm_request`, `.tool` as of 2.1.  Input tokens
are those that came from no cache, as in Anthropic's API: cached ones are added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, Role, SpanView, Usage

NAME: Final = "claude_code"
CHECKED: Final = "the documentation of Claude Code 2.1; no capture"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "reasoning tokens",
    "prompts, arguments and results, unless it is told to log them",
    "with log events alone: when a run began and ended, and which tools the model asked for",
)
EVENT: Final = "claude_code.event"
SPANS: Final = "claude_code."
SCOPES: Final = ("com.anthropic.claude_code",)

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider": ("gen_ai.system", "gen_ai.provider.name"),
    "model": ("gen_ai.response.model", "model", "gen_ai.request.model"),
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("cache_read_tokens",),
    "cache_write_tokens": ("cache_creation_tokens",),
    "reported_cost": ("cost_usd",),
    "response_id": ("gen_ai.response.id", "request_id"),
    "finish_reasons": ("stop_reason",),
    "agent_name": ("agent.name",),
    "tool_name": ("tool_name",),
    "tool_call_id": ("tool_use_id", "gen_ai.tool.call.id"),
    "arguments": ("tool_input", "tool_parameters"),
    "result": ("tool_output",),
    "input": ("user_prompt",),
}
ALSO_READ: Final = frozenset({EVENT, "span.type", "success", "error", "prompt.id"})
KINDS: Final[Mapping[str, Kind]] = {
    "claude_code.api_request": kinds.MODEL,
    "claude_code.api_error": kinds.MODEL,
    "claude_code.tool_result": kinds.TOOL,
    "claude_code.interaction": kinds.RUN,
    "claude_code.llm_request": kinds.MODEL,
    "claude_code.tool": kinds.TOOL,
}
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("user_prompt",),
    "arguments": ("tool_input", "tool_parameters"),
    "result": ("tool_output",),
}


def recognizes(span: SpanView) -> bool:
    return EVENT in span.attributes or (
        "span.type" in span.attributes and span.scope.startswith(SCOPES)
    )


def kind(span: SpanView) -> Kind:
    return KINDS.get(span.name, kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.AGENT if kind is kinds.RUN else kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.MODEL:
        found["provider"] = "anthropic"
    elif kind is kinds.RUN:
        found.setdefault("agent_name", "Claude Code")
    if kind in (kinds.MODEL, kinds.TOOL) and span.text("success").lower() == "false":
        found.setdefault("status", "error")
        if error := span.text("error"):
            found.setdefault("error_type", error)


def usage(span: SpanView, found: Found) -> Usage | None:
    stated: Any = table_usage(span, found)
    if stated is not None and stated.input_tokens is not None:
        stated.input_tokens += (stated.cache_read_tokens or 0) + (stated.cache_write_tokens or 0)
    return stated  # type: ignore[no-any-return]  # it was `Any` to be changed before it is given out
