"""LangChain and LangGraph: spans typed by their name, graphs that come twice.

Source: Arize-ai/openinference, openinference-instrumentation-langchain 0.1.80; captures
tests/captures/langgraph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds
from otel_agentrun.step import Kind, Role, SpanView

SCOPES: Final = (
    "openinference.instrumentation.langchain",
    "@arizeai/openinference-instrumentation-langchain",
)
CHECKED: Final = "openinference-instrumentation-langchain 0.1.80 with LangGraph"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "tokens of streamed model calls, unless the application asks for them",
    "the id of a tool call that failed",
)


def kind(span: SpanView, stated: str) -> Kind | None:
    if stated == "AGENT":
        # Every run whose name holds "agent" is typed AGENT: tools, graph nodes, parsers.
        if span.has("tool.name"):
            return kinds.TOOL
        return kinds.OTHER if _is_node(span) else kinds.RUN
    return kinds.RUN if stated == "CHAIN" and _is_graph(span) else None


def role(span: SpanView, kind: Kind) -> Role | None:
    if kind is kinds.OTHER and "langgraph_node" in span.text("metadata"):
        return kinds.NODE
    return None


def _is_graph(span: SpanView) -> bool:
    """Is this CHAIN the outermost span of a LangGraph graph?"""
    metadata = span.text("metadata")
    if "langgraph_node" in metadata:
        return False
    return '"langgraph"' in metadata or span.name == "LangGraph"


def _is_node(span: SpanView) -> bool:
    """Is this AGENT a graph node, not a graph?

    A sub-graph comes as two nested spans of one name: the node, and the graph that runs in it.
    Only in the graph's own span `checkpoint_ns` (where it runs) equals `langgraph_checkpoint_ns`.
    """
    if span.name.endswith("OutputParser"):
        return True
    text = span.text("metadata")
    if "langgraph_node" not in text:
        return False
    parsed = arguments.parse(text)
    metadata: Mapping[str, Any] = parsed if isinstance(parsed, Mapping) else {}
    return bool(metadata.get("checkpoint_ns") != metadata.get("langgraph_checkpoint_ns", ""))
