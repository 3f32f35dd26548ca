"""Model Context Protocol: requests between a client and a server.

Source: open-telemetry/semantic-conventions-genai, docs/gen-ai/mcp.md (commit 0393513).  A
`tools/call` is a tool call.  A server's span without a parent is no run: who asked is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView

NAME: Final = "mcp"
CHECKED: Final = "the conventions for MCP, commit 0393513; no capture"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "arguments and results of tools, unless the instrumentation is told to record them",
)
METHOD: Final = "mcp.method.name"

KEYS: Final[Mapping[str, tuple[str, ...]]] = genai.KEYS
ALSO_READ: Final = frozenset({METHOD, genai.OPERATION})
CONTENT: Final = genai.CONTENT
TOOLS_CALL: Final = "tools/call"


def recognizes(span: SpanView) -> bool:
    return METHOD in span.attributes


def kind(span: SpanView) -> Kind:
    """A framework may put the method on its own span of the tool call."""
    if span.text(METHOD) != TOOLS_CALL and span.text(genai.OPERATION) != "execute_tool":
        return kinds.OTHER
    return kinds.OTHER if span.kind == "Server" and not span.parent_span_id else kinds.TOOL


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.TRANSPORT if kind is kinds.OTHER else kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.TOOL and "tool_name" not in found:
        found["tool_name"] = span.name.removeprefix(TOOLS_CALL).strip()


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    return genai.content(span, kind, logs)
