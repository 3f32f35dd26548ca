"""OpenInference spans as steps.

Source: Arize-ai/openinference, spec/semantic_conventions.md (semantic conventions 0.1.42).  What an
instrumentor does differently is in a module of `instrumentors/`, found by the span's scope.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import instrumentors, kinds, messages, requests, sources
from otel_agentrun.dialects.handoffs import tool_for
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Event, Kind, Role, SpanView, Step, ToolRequest, as_text

NAME: Final = "openinference"
CHECKED: Final = "openinference-semantic-conventions 0.1.42"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "tool call ids on tool spans (LangGraph: in the result)",
    "how long an answer took to begin",
)
SPAN_KIND: Final = "openinference.span.kind"
BY_SCOPE: Final = instrumentors.BY_SCOPE

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
    "agent_name": ("agent.name", "graph.node.name", "agno.agent", "agno.team", "graph.node.id"),
    "agent_id": ("agno.agent.id", "agno.team.id"),
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
    "crew_tasks",
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
    stated = _stated(span)
    own = BY_SCOPE.get(span.scope)
    if own is not None and own.kind is not None:
        corrected = own.kind(span, stated)
        if corrected is not None:
            return corrected
    return KINDS.get(stated, kinds.OTHER)


def _stated(span: SpanView) -> str:
    stated = span.attributes.get(SPAN_KIND)
    return stated.upper() if type(stated) is str else ""


def role(span: SpanView, kind: Kind) -> Role:
    own = BY_SCOPE.get(span.scope)
    if own is not None and own.role is not None:
        corrected = own.role(span, kind)
        if corrected is not None:
            return corrected
    if kind is kinds.RUN:
        return kinds.AGENT if _stated(span) == "AGENT" else kinds.WORKFLOW
    if kind is kinds.TOOL and HANDOFF_NAME.fullmatch(span.name) and not span.has("tool.name"):
        return kinds.HANDOFF
    return kinds.NO_ROLE


def _json_object(text: str) -> Mapping[str, Any]:
    value = arguments.parse(text)
    return value if isinstance(value, Mapping) else {}


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.MODEL:
        if "provider" in found:
            found["provider"] = found["provider"].lower()
        sent = found.get("output")
        if isinstance(sent, str) and (matched := RESPONSE_ID.search(sent)):
            found["response_id"] = matched.group(1)
    elif kind is kinds.TOOL:
        _derive_tool(span, found)
    elif kind is kinds.RETRIEVE:
        if "input" in found:
            found["query"] = found["input"]
        if "flat_documents" in found:
            found["hit_count"] = len(_documents(span))
    elif kind is kinds.RUN:
        _derive_run(span, found, labels)
    own = BY_SCOPE.get(span.scope)
    if own is not None and own.derive is not None:
        own.derive(span, kind, found, labels)


def _derive_tool(span: SpanView, found: Found) -> None:
    handoff = HANDOFF_NAME.fullmatch(span.name) if "tool_name" not in found else None
    if handoff:
        # OpenAI Agents: `input.value` and `output.value` name the agents; the model had asked for
        # `transfer_to_<agent>`, with spaces as underscores.
        found["handoff_to"] = handoff.group(1)
        found["tool_name"] = tool_for(handoff.group(1))
        found.pop("input", None)
        found.pop("output", None)
        return
    if "tool_name" not in found:
        found["tool_name"] = span.name.removesuffix(".__call__").removesuffix(".acall")
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
        name = span.name
        for suffix in (".run", ".arun", ".run_async", "._execute_core", ".forward", ".aforward"):
            name = name.removesuffix(suffix)
        found["agent_name"] = name
    metadata = found.get("metadata")
    if metadata and "{" in metadata:
        for key, value in _json_object(metadata).items():
            if not key.startswith(OWN_METADATA) and isinstance(value, str | int | float):
                labels.setdefault(f"tags.{key}", as_text(value))


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    if "flat_output" not in found:
        return ()
    return requests.in_flat(span.attributes, "llm.output_messages.")


def told(span: SpanView, step: Step) -> Sequence[Told]:
    """Calls that this span tells of and that may have no span of their own."""
    own = BY_SCOPE.get(span.scope)
    return own.told(span, step) if own is not None and own.told is not None else ()


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
    found = {field: value for field, value in out.items() if value}
    own = BY_SCOPE.get(span.scope)
    if own is not None and own.content is not None:
        found |= own.content(span, kind)
    return found


def _query(text: str) -> str:
    """The query itself, also where it comes in an object (Haystack, LlamaIndex)."""
    value = arguments.parse(text)
    for key in ("query_bundle", "query", "query_str", "text"):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
    return value if isinstance(value, str) else text
