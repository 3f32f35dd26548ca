"""OpenInference spans as steps.

Source: Arize-ai/openinference, spec/semantic_conventions.md; the LangChain/LangGraph (0.1.80) and
OpenAI Agents instrumentors from captures, whose typing of spans needs correcting (`kind`, `role`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds, messages, sources
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, as_text

NAME: Final = "openinference"
SPAN_KIND: Final = "openinference.span.kind"
LANGCHAIN: Final = "openinference.instrumentation.langchain"
OPENAI_AGENTS: Final = "openinference.instrumentation.openai_agents"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider": ("llm.provider", "llm.system"),
    "model": (
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
        "reranker.model_name",
    ),
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "cache_read_tokens": ("llm.token_count.prompt_details.cache_read",),
    "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
    "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
    "finish_reasons": ("llm.finish_reason",),
    "reported_cost": ("llm.cost.total",),
    "agent_name": ("agent.name", "graph.node.id"),
    "tool_name": ("tool.name",),
    "tool_call_id": ("tool_call.id", "tool.id"),
    "input": ("input.value",),
    "output": ("output.value",),
    "prompt_name": ("prompt.id",),
    "prompt_version": ("llm.prompt_template.version",),
    "tags": ("tag.tags",),
    "metadata": ("metadata",),
}

PREFIXES: Final[Mapping[str, str]] = {
    "llm.output_messages.": "flat_output",
    "retrieval.documents.": "flat_documents",
    "reranker.output_documents.": "flat_documents",
}
"""Flattened keys: that one is there is enough to know that they are worth reading."""

ALSO_READ: Final = frozenset({SPAN_KIND, "input.value"})

KINDS: Final[Mapping[str, Kind]] = {
    "LLM": kinds.MODEL,
    "EMBEDDING": kinds.MODEL,
    "TOOL": kinds.TOOL,
    "RETRIEVER": kinds.RETRIEVE,
    "RERANKER": kinds.RETRIEVE,
    "GUARDRAIL": kinds.VALIDATE,
    "EVALUATOR": kinds.VALIDATE,
    "AGENT": kinds.RUN,
}
"""Span kind -> step kind; CHAIN, PROMPT and UNKNOWN are OTHER."""

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input.value",),
    "output": ("output.value",),
    "prompt_name": ("prompt.id",),
    "prompt_version": ("llm.prompt_template.version",),
    "prompt_variables": ("llm.prompt_template.variables",),
    "embedding_model": ("embedding.model_name",),
    "top_k": ("reranker.top_k",),
    "parameters": ("llm.invocation_parameters",),
}
CONTENT_PREFIXES: Final = (
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.tools.",
    "retrieval.documents.",
    "reranker.",
)

HANDOFF_NAME: Final = re.compile(r"handoff to (.+)")
RESPONSE_ID: Final = re.compile(r'"id": ?"((?:chatcmpl|resp|msg|cmpl)[-_][^"\s]{1,120})"')
DOCUMENT: Final = re.compile(
    r"(?:retrieval\.documents|reranker\.output_documents)\.(\d+)\.document\.(id|content|score|metadata)"
)
OWN_METADATA: Final = ("langgraph_", "ls_", "lc_", "checkpoint_", "thread_id", "run_id")
"""Metadata keys that LangChain writes itself; the rest are the application's."""


def recognizes(span: SpanView) -> bool:
    return SPAN_KIND in span.attributes


def kind(span: SpanView) -> Kind:
    stated = span.text(SPAN_KIND).upper()
    found = KINDS.get(stated, kinds.OTHER)
    if span.scope == LANGCHAIN:
        if stated == "AGENT":
            # Every run whose name holds "agent" is typed AGENT: tools, graph nodes, parsers.
            if span.has("tool.name"):
                return kinds.TOOL
            return kinds.OTHER if _is_node(span) else kinds.RUN
        if stated == "CHAIN" and _is_graph(span):
            return kinds.RUN
    return found


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        if span.scope == OPENAI_AGENTS and not span.text("agent.name", "graph.node.id"):
            return kinds.WORKFLOW  # the trace span
        return kinds.AGENT if span.text(SPAN_KIND).upper() == "AGENT" else kinds.WORKFLOW
    if kind is kinds.TOOL:
        return (
            kinds.HANDOFF
            if HANDOFF_NAME.fullmatch(span.name) and not span.has("tool.name")
            else kinds.NO_ROLE
        )
    if (
        kind is kinds.OTHER
        and span.scope == LANGCHAIN
        and "langgraph_node" in span.text("metadata")
    ):
        return kinds.NODE
    return kinds.NO_ROLE


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
    metadata = _json_object(text)
    return bool(metadata.get("checkpoint_ns") != metadata.get("langgraph_checkpoint_ns", ""))


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.MODEL:
        if "provider" in found:
            found["provider"] = found["provider"].lower()
        sent = found.get("output")
        if isinstance(sent, str) and (matched := RESPONSE_ID.search(sent)):
            found["response_id"] = matched.group(1)
    elif kind is kinds.TOOL:
        _derive_tool(span, found)
    elif kind is kinds.RETRIEVE and "flat_documents" in found:
        found["hit_count"] = len(_documents(span))
    elif kind is kinds.RUN:
        _derive_run(span, found, labels)


def _derive_tool(span: SpanView, found: Found) -> None:
    handoff = HANDOFF_NAME.fullmatch(span.name) if "tool_name" not in found else None
    if handoff:
        # OpenAI Agents: `input.value` and `output.value` name the agents; the model had asked for
        # `transfer_to_<agent>`, with spaces as underscores.
        found["handoff_to"] = handoff.group(1)
        found["tool_name"] = "transfer_to_" + re.sub(r"\W", "_", handoff.group(1).lower())
        found.pop("input", None)
        found.pop("output", None)
        return
    found.setdefault("tool_name", span.name.removesuffix(".__call__"))
    if "input" in found:
        found["arguments"] = found["input"]
    sent = found.get("output")
    if sent is not None:
        found["result"] = sent
        if "tool_call_id" not in found and isinstance(sent, str) and '"tool_call_id"' in sent:
            data = _json_object(sent).get("data")
            if isinstance(data, Mapping) and data.get("tool_call_id"):
                found["tool_call_id"] = as_text(data["tool_call_id"])


def _derive_run(span: SpanView, found: Found, labels: Labels) -> None:
    if "agent_name" not in found:
        name = span.name.removesuffix(".run").removesuffix("._execute_core")
        if span.scope == OPENAI_AGENTS:
            labels.setdefault("workflow_name", name)
        else:
            found["agent_name"] = name
    metadata = found.get("metadata")
    if metadata and "{" in metadata:
        for key, value in _json_object(metadata).items():
            if not key.startswith(OWN_METADATA) and isinstance(value, str | int | float):
                labels.setdefault(f"tags.{key}", as_text(value))


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    if "flat_output" not in found:
        return ()
    return messages.tool_requests(sources.from_flat(span.attributes, "llm.output_messages.") or ())


def _documents(span: SpanView) -> dict[int, dict[str, Any]]:
    by_index: dict[int, dict[str, Any]] = {}
    for key, value in span.attributes.items():
        if matched := DOCUMENT.fullmatch(key):
            by_index.setdefault(int(matched.group(1)), {})[matched.group(2)] = value
    return by_index


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out: dict[str, Any] = {}
    sent_in, sent_out = span.text("input.value"), span.text("output.value")
    if kind in (kinds.MODEL, kinds.RUN):
        out["messages_in"] = sources.from_flat(
            span.attributes, "llm.input_messages."
        ) or messages.parse(sent_in)
        out["messages_out"] = sources.from_flat(
            span.attributes, "llm.output_messages."
        ) or messages.parse(sent_out)
        out["tools_offered"] = [
            value for key, value in span.attributes.items() if key.startswith("llm.tools.")
        ]
    elif kind is kinds.TOOL:
        if not HANDOFF_NAME.fullmatch(span.name):  # there they name the two agents
            out["arguments"], out["result"] = sent_in, sent_out
    elif kind is kinds.RETRIEVE:
        out["query"] = _query(span.text("reranker.query") or sent_in)
        listed = arguments.parse(sent_out) if sent_out else None
        listed = listed.get("documents") if isinstance(listed, Mapping) else listed
        ids = [one.get("id") if isinstance(one, Mapping) else None for one in listed or ()]
        out["documents"] = [
            {"id": ids[index] if index < len(ids) else None, **document}
            for index, document in sorted(_documents(span).items())
        ] or listed
    return {field: value for field, value in out.items() if value}


def _query(text: str) -> str:
    """The query itself, also where it comes in an object (Haystack, LlamaIndex)."""
    value = arguments.parse(text)
    for key in ("query_bundle", "query", "query_str", "text"):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
    return value if isinstance(value, str) else text
