"""OpenLLMetry spans as steps: the Traceloop SDK's decorators and its instrumentations.

Source: traceloop/openllmetry, packages/opentelemetry-semantic-conventions-ai and the `openai`,
`langchain` and `anthropic` instrumentations; 0.62 (GenAI names) and 0.33 (flattened messages,
`llm.request.type`).  Captures tests/captures/traceloop and traceloop-legacy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages, requests
from otel_agentrun.dialects.handoffs import tool_for
from otel_agentrun.dialects.labels import chosen
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest

NAME: Final = "traceloop"
CHECKED: Final = "traceloop-sdk 0.62.4 (OpenAI, LangChain/LangGraph 1.x), 0.33.12 (OpenAI)"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "LangChain: reasoning tokens (only what the nodes around a call returned has them); the tool "
    "call id of a tool call that failed.",
    "Decorated tools: tool call ids.",
    "A client's instrumentation knows no tools: without any span around its calls they are read "
    "from the next request; inside a workflow, tools need a decorator to be seen.",
    "OpenAI Agents: which agent a handoff goes to.",
    "Retrievals by functions of one's own: `@task` says nothing of their kind.",
    "0.33: cached and reasoning tokens (Anthropic: reasoning); response ids.",
    "0.33: a step that raised; its span is not sent, so that runs may lack their root and end by "
    "quiet, and the failed call is missing.",
)

SPAN_KIND: Final = "traceloop.span.kind"
REQUEST_TYPE: Final = "llm.request.type"
NEXT_AGENT: Final = "gen_ai.handoff.to_agent"
SCOPE: Final = "traceloop.tracer"
ASSOCIATION: Final = "traceloop.association.properties."

PACKAGE: Final = "opentelemetry.instrumentation."
CLIENTS: Final = frozenset(
    f"{PACKAGE}{name}"
    for name in (
        "agno", "alephalpha", "anthropic", "bedrock", "cohere", "crewai", "google_generativeai",
        "groq", "haystack", "langchain", "litellm", "llamaindex", "mistralai", "ollama",
        "openai.v0", "openai.v1", "openai_agents", "replicate", "sagemaker", "together",
        "transformers", "vertexai", "voyageai", "watsonx", "writer",
    )
)  # fmt: skip
"""Scopes of model and framework instrumentations."""
STORES: Final = frozenset(
    f"{PACKAGE}{name}"
    for name in ("chromadb", "lancedb", "marqo", "milvus", "pinecone", "qdrant", "weaviate")
)
"""Scopes of vector database instrumentations."""
SEARCHES: Final = frozenset({"query", "search", "search_batch", "hybrid_search", "fetch"})
HITS: Final = frozenset({"db.query.result", "db.search.result"})

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "finish_reasons": (
        *genai.KEYS["finish_reasons"],
        "gen_ai.completion.0.finish_reason",
        "llm.response.finish_reason",
        "llm.response.stop_reason",
    ),
    "arguments": ("gen_ai.tool.call.arguments", "traceloop.entity.input"),
    "result": ("gen_ai.tool.call.result", "traceloop.entity.output"),
    "status": ("gen_ai.task.status",),
    "entity_name": ("traceloop.entity.name",),
    "prompt_name": ("traceloop.prompt.key",),
    "prompt_version": ("traceloop.prompt.version",),
}
PREFIXES: Final[Mapping[str, str]] = {"gen_ai.completion.": "flat_output"}
ALSO_READ: Final = frozenset({genai.OPERATION, SPAN_KIND, REQUEST_TYPE, NEXT_AGENT})
EVENTS: Final = genai.EVENTS | HITS

HANDOFF: Final = "handoff"
KINDS: Final[Mapping[str, Kind]] = {
    "workflow": kinds.RUN,
    "agent": kinds.RUN,
    "tool": kinds.TOOL,
    HANDOFF: kinds.TOOL,
    "task": kinds.OTHER,
}
REQUESTS: Final[Mapping[str, Kind]] = {
    "chat": kinds.MODEL,
    "completion": kinds.MODEL,
    "embedding": kinds.MODEL,
    "rerank": kinds.RETRIEVE,
}
"""`llm.request.type` -> kind, of versions before `gen_ai.operation.name`."""

CONTENT: Final = {
    field: genai.CONTENT[field]
    for field in ("messages_in", "messages_out", "system_instructions", "tools_offered", "model")
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, "llm.request.functions.")

OWN_PROPERTIES: Final = ("langgraph_", "ls_", "lc_", "checkpoint_", "__")
"""Association properties that LangChain's metadata becomes; the rest are the application's."""
CALL_ID: Final = re.compile(r'"tool_call_id": ?"([^"\s]{1,200})"')
FUNCTION_NAME: Final = re.compile(r"llm\.request\.functions\.\d+\.name")


def recognizes(span: SpanView) -> bool:
    attributes, scope = span.attributes, span.scope
    if SPAN_KIND in attributes or scope == SCOPE or scope in STORES:
        return True
    return scope in CLIENTS and (genai.OPERATION in attributes or REQUEST_TYPE in attributes)


def kind(span: SpanView) -> Kind:
    stated = KINDS.get(span.text(SPAN_KIND))
    if stated is not None:
        return stated
    if genai.OPERATION in span.attributes:
        return genai.kind(span)
    if span.scope in STORES:
        searched = span.name.rpartition(".")[2] in SEARCHES
        return kinds.RETRIEVE if searched else kinds.OTHER
    return REQUESTS.get(span.text(REQUEST_TYPE), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    get = span.attributes.get
    if kind is kinds.RUN:
        stated, operation = get(SPAN_KIND), get(genai.OPERATION)
        if stated == "agent":
            return kinds.AGENT
        # LangGraph comes twice, nested: `invoke_agent X` without a span kind, then `X.workflow`.
        return kinds.AGENT if stated == "workflow" and operation else kinds.WORKFLOW
    return kinds.NODE if get(genai.OPERATION) == "execute_task" else kinds.NO_ROLE


def label(key: str) -> str:
    """Association properties: keys that the application chose."""
    if key == "traceloop.workflow.name":
        return "workflow_name"
    name = key[len(ASSOCIATION) :] if key.startswith(ASSOCIATION) else ""
    if not name or name.startswith(OWN_PROPERTIES):
        return ""
    return chosen(name)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.MODEL:
        if found.get("model") == "unknown":
            del found["model"]
    elif kind is kinds.TOOL:
        if span.attributes.get(SPAN_KIND) == HANDOFF:
            agent = span.text(NEXT_AGENT)  # OpenAI Agents 0.24 knows it once the span was made
            found["tool_name"] = tool_for(agent) if agent else HANDOFF
        found.setdefault("tool_name", found.get("entity_name") or span.name.removesuffix(".tool"))
        _derive_result(found)
    elif kind is kinds.RUN:
        name = found.get("entity_name")
        if name and span.attributes.get(SPAN_KIND) == "workflow":
            labels["workflow_name"] = name  # its own, not that of an agent inside it
        elif name:
            found.setdefault("agent_name", name)
        if "input" not in found and "arguments" in found:
            found["input"] = found.pop("arguments")
    elif kind is kinds.RETRIEVE and span.events:
        found["hit_count"] = sum(event.name in HITS for event in span.events)


def _derive_result(found: Found) -> None:
    """LangChain's callback wraps a result in `{"output": ..., "kwargs": ...}`."""
    sent = found.get("result")
    if isinstance(sent, str) and sent.startswith('{"output"'):
        if "tool_call_id" not in found and (matched := CALL_ID.search(sent)):
            found["tool_call_id"] = matched.group(1)
        found["result"] = _inside(arguments.parse(sent), "output")


def _inside(value: Any, *keys: str) -> Any:
    """What is under the first of `keys` that there is, else the value."""
    if isinstance(value, Mapping):
        for key in keys:
            if key in value:
                return value[key]
    return value


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    if "output" in found or "flat_output" not in found:
        return genai.tool_requests(span, found)
    return requests.in_flat(span.attributes, "gen_ai.completion.")


told = genai.told


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    sent_in = arguments.parse(span.text(*KEYS["arguments"]))
    sent_out = arguments.parse(span.text(*KEYS["result"]))
    if kind is kinds.TOOL:
        out["arguments"], out["result"] = sent_in, _inside(sent_out, "output")
    elif kind is kinds.RUN or kind is kinds.OTHER:
        asked, answered = _inside(sent_in, "inputs"), _inside(sent_out, "outputs")
        if kind is kinds.RUN and isinstance(answered, Mapping | list):
            out.setdefault("messages_in", messages.parse(asked))
            out.setdefault("messages_out", messages.parse(answered))
        out["input"], out["output"] = arguments.unwrap(asked), answered
    names = [value for key, value in span.attributes.items() if FUNCTION_NAME.fullmatch(key)]
    out["tools_offered"] = names
    return {field: value for field, value in out.items() if value}
