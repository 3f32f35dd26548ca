"""Model Context Protocol: requests between a client and a server.

Source: open-telemetry/semantic-conventions-genai, docs/gen-ai/mcp.md (commit 0393513).  A
client's `tools/call` is told of as a tool call: it counts in a run that has no tool spans, as a
framework mostly has a span of its own around it.  A server's span is the other end of the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Event, Kind, Role, SpanView, Step

NAME: Final = "mcp"
CHECKED: Final = "the conventions for MCP, commit 0393513; mcp (Python) 2.3.0; no capture"
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
    """A framework may put the method on its own span of a tool call; the protocol's is plumbing."""
    own = span.kind not in ("Client", "Server") and span.text(genai.OPERATION) == "execute_tool"
    return kinds.TOOL if own else kinds.OTHER


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.TRANSPORT if kind is kinds.OTHER else kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)


def told(span: SpanView, step: Step) -> Sequence[Told]:
    """The tool call that a client's `tools/call` is, in a run whose framework shows none."""
    if step.kind is not kinds.OTHER or span.kind == "Server" or span.text(METHOD) != TOOLS_CALL:
        return ()
    name = span.text("gen_ai.tool.name") or span.name.rpartition(TOOLS_CALL)[2].strip()
    return [
        Told(
            kind=kinds.TOOL,
            name=name,
            arguments=span.get("gen_ai.tool.call.arguments"),
            result=span.get("gen_ai.tool.call.result"),
            failed=step.failed,
        )
    ]


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    return genai.content(span, kind, logs)
