"""Spans of LangSmith: what its SDK exports over OpenTelemetry, and spans in its attributes.

Source: langchain-ai/langsmith-sdk, python/langsmith/_internal/otel/_otel_exporter.py (0.14.17);
docs.langchain.com/langsmith/trace-with-opentelemetry (attribute mapping), for spans that
applications make themselves; langchain-core 1.x for what its tracer puts into inputs and outputs;
capture tests/captures/langsmith.

`gen_ai.operation.name` is no guide here (a retriever is `embeddings`, a prompt template is `chat`):
`langsmith.span.kind` is.  A "session" of LangSmith's is a project, a "thread" is a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import answers, genai, kinds, messages, requests
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.labels import chosen
from otel_agentrun.dialects.raw_usage import counts, load
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage, as_text

NAME: Final = "langsmith"
CHECKED: Final = (
    "langsmith 0.14.17 (`@traceable`, OpenAI 3.x, LangChain/LangGraph 1.x); its documentation"
)
CANNOT_TELL: Final[tuple[str, ...]] = (
    "Which chain is an agent, other than the graphs of LangChain and LangGraph.",
    "Tokens of a model call under `@traceable` whose function does not return `usage_metadata`.",
    "LangChain: the model's id of a tool call that failed.",
)

SCOPE: Final = "langsmith"
TYPE: Final = "langsmith.span.kind"
PROMPT: Final = "gen_ai.prompt"
COMPLETION: Final = "gen_ai.completion"
METADATA: Final = "langsmith.metadata."
NODE: Final = METADATA + "langgraph_node"
CHECKPOINT: Final = METADATA + "checkpoint_ns"
GRAPH_CHECKPOINT: Final = METADATA + "langgraph_checkpoint_ns"
INTEGRATION: Final = METADATA + "ls_integration"
AGENT: Final = METADATA + "lc_agent_name"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "provider": (METADATA + "ls_provider", *genai.KEYS["provider"]),
    "token_usage": ("langsmith.usage_metadata", METADATA + "usage_metadata"),
    "input_details": ("gen_ai.usage.input_token_details",),
    "output_details": ("gen_ai.usage.output_token_details",),
    "lc_agent_name": (AGENT,),
    "tool_call_id": (*genai.KEYS["tool_call_id"], METADATA + "tool_call_id"),
    "input": (PROMPT, *genai.KEYS["input"]),
    "output": (COMPLETION, *genai.KEYS["output"]),
    "documents": ("retrieval.documents", *genai.KEYS["documents"]),
    "tags": ("langsmith.span.tags", *genai.KEYS["tags"]),
}
ALSO_READ: Final = frozenset(
    {TYPE, PROMPT, genai.OPERATION, NODE, CHECKPOINT, GRAPH_CHECKPOINT, INTEGRATION}
)
PREFIXES: Final[Mapping[str, str]] = {"gen_ai.completion.": "flat_output"}
EVENTS: Final = genai.EVENTS

KINDS: Final[Mapping[str, Kind]] = {
    "llm": kinds.MODEL,
    "embedding": kinds.MODEL,
    "tool": kinds.TOOL,
    "retriever": kinds.RETRIEVE,
    "agent": kinds.RUN,
}
"""Run type -> kind; `chain`, `prompt` and `parser` are OTHER, but for roots and graphs."""
GRAPHS: Final = frozenset({"langgraph", "langchain_create_agent"})
"""LangChain's names for what makes graphs."""

OWN_METADATA: Final = (
    "langgraph_", "ls_", "lc_", "checkpoint_", "LANGSMITH_", "LANGCHAIN_", "invocation_params",
    "usage_metadata", "tool_call_id", "run_id", "model", "stream", "_",
)  # fmt: skip
"""Metadata that LangChain or the SDK writes itself; the rest is the application's."""
OWN_TAG: Final = re.compile(r"(?:seq|graph|map|condition):.*|langsmith:\w+")

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    field: keys for field, keys in genai.CONTENT.items() if field not in ("arguments", "result")
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, PROMPT, COMPLETION)


def recognizes(span: SpanView) -> bool:
    return TYPE in span.attributes or span.scope == SCOPE


def kind(span: SpanView) -> Kind:
    stated = span.text(TYPE).lower()
    if not stated:
        return genai.kind(span)
    found = KINDS.get(stated, kinds.OTHER)
    if found is kinds.OTHER and stated == "chain" and _is_run(span):
        return kinds.RUN
    return found


def _is_run(span: SpanView) -> bool:
    """A chain that is the root, or a graph: not one of its nodes and what they call."""
    attributes = span.attributes
    if not span.parent_span_id:
        return True
    if attributes.get(INTEGRATION) not in GRAPHS:
        return False
    # A graph in a node runs where its checkpoints are; nodes and their parts have none, or others.
    return NODE not in attributes or (
        CHECKPOINT in attributes and attributes[CHECKPOINT] == attributes.get(GRAPH_CHECKPOINT)
    )


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        named = span.attributes.get(AGENT)
        is_agent = span.text(TYPE).lower() == "agent" or (named is not None and named == span.name)
        return kinds.AGENT if is_agent else kinds.WORKFLOW
    if kind is kinds.OTHER and NODE in span.attributes:
        return kinds.NODE
    return kinds.NO_ROLE


def label(key: str) -> str:
    name = key[len(METADATA) :] if key.startswith(METADATA) else ""
    if not name or name.startswith(OWN_METADATA):
        return ""
    return "app_version" if name == "revision_id" else chosen(name)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if "tags" in found:
        found["tags"] = _tags(found["tags"])
    if kind is kinds.MODEL:
        if "output" in found:
            _derive_answer(found)
    elif kind is kinds.TOOL:
        _derive_tool(span, found)
    elif kind is kinds.RETRIEVE:
        if "input" in found:
            found.setdefault("query", found["input"])
        listed = _documents(found.get("output"))
        if listed is not None:
            found["hit_count"] = len(listed)
    elif kind is kinds.RUN:
        if role(span, kind) is kinds.AGENT:
            found.setdefault("agent_name", span.name)
        else:
            labels.setdefault("workflow_name", span.name)
    genai.derive(span, kind, found, labels)


def _tags(sent: Sequence[str]) -> tuple[str, ...]:
    """One text with commas, as the exporter joins them; without LangChain's own."""
    split = (tag.strip() for text in sent for tag in text.split(","))
    return tuple(tag for tag in split if tag and not OWN_TAG.fullmatch(tag))


def _derive_answer(found: Found) -> None:
    """What only the answer says, whichever client gave it."""
    answer = found["answer"] = load(found["output"])
    said = _langchain_message(answer)
    metadata = said.get("response_metadata") or NOTHING
    if "response_id" not in found:
        response_id = answers.response_id(answer) or metadata.get("id")
        if type(response_id) is str and response_id:
            found["response_id"] = response_id
    if "finish_reasons" not in found:
        reason = metadata.get("finish_reason") or metadata.get("stop_reason")
        stated = (reason,) if type(reason) is str else ()
        found["finish_reasons"] = answers.finish_reasons(answer) or stated
    model = answer.get("model") or metadata.get("model_name") or metadata.get("model")
    if type(model) is str and model:  # the request names an alias
        found["model"] = model
    used = said.get("usage_metadata") or answers.usage(answer)
    if type(used) is dict and used:
        found["used"] = used


def _langchain_message(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The serialized message in an `LLMResult`; empty for answers of other clients."""
    said: Any = answer.get("generations") or answer.get("output")
    while type(said) is list and said:
        said = said[0]
    said = said.get("message", said) if type(said) is dict else NOTHING
    inner = said.get("kwargs") if type(said) is dict and said.get("lc") == 1 else NOTHING
    return inner if type(inner) is dict else NOTHING


NOTHING: Final[Mapping[str, Any]] = {}


def _derive_tool(span: SpanView, found: Found) -> None:
    found.setdefault("tool_name", span.name)
    if "input" in found:
        found.setdefault("arguments", _arguments(found["input"]))
    if "output" not in found:
        return
    result = _only(found["output"], "output")
    message = _message(result)
    if message is None:
        found.setdefault("result", result)
        return
    found["result"] = message.get("content")
    if call_id := message.get("tool_call_id"):
        found.setdefault("tool_call_id", as_text(call_id))
    if message.get("status") == "error":
        found["status"] = "error"
        found.setdefault("error_message", messages.text_of(message.get("content")) or "")


def _arguments(sent: Any) -> Any:
    """LangChain's tracer sends them as text in `input`, a traced function by their names."""
    given = _only(sent, "input")
    return given if given is not None else sent


def _only(sent: Any, name: str) -> Any:
    """What is in an object with one member of this name, else the value as it came."""
    if type(sent) is str and f'"{name}"' not in sent:
        return sent
    value = load(sent)
    return value[name] if value.keys() == {name} else sent


def _message(result: Any) -> Mapping[str, Any] | None:
    """LangChain's message around a tool's result, serialized or as a plain object."""
    if type(result) is not dict:
        return None
    inner = result.get("kwargs")
    if result.get("lc") == 1 and type(inner) is dict and "tool_call_id" in inner:
        return inner
    return result if result.get("type") == "tool" and "tool_call_id" in result else None


def _documents(sent: Any) -> list[Any] | None:
    """The list of a retriever's answer, alone or as its `documents` or `output`."""
    value = arguments.parse(sent) if isinstance(sent, str) else sent
    if isinstance(value, Mapping):
        value = next((v for k in ("documents", "output") if (v := value.get(k))), None)
    return value if isinstance(value, list) else None


def usage(span: SpanView, found: Found) -> Usage | None:
    """The SDK's own counts, else those of the answer, else the attributes of the convention."""
    stated = found.get("token_usage") or found.get("used")
    if stated is not None:
        found |= counts(load(stated))
    elif "input_details" in found or "output_details" in found:
        found |= counts(_details(found))
    return table_usage(span, found)


def _details(found: Found) -> Mapping[str, Any]:
    """The usage object whose parts came in attributes of their own, in Python's repr."""
    return {
        name: load(found[field])
        for field, name in (
            ("input_details", "input_token_details"),
            ("output_details", "output_token_details"),
        )
        if field in found
    }


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    if "answer" in found and (asked := answers.tool_requests(found["answer"])):
        return asked
    if "flat_output" in found:
        return requests.in_flat(span.attributes, "gen_ai.completion.")
    return genai.tool_requests(span, found)


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    sent_in = arguments.parse(span.text(PROMPT))
    sent_out = arguments.parse(span.text(COMPLETION))
    if kind is kinds.TOOL:
        result = _only(sent_out, "output")
        message = _message(result)
        out["arguments"] = _arguments(sent_in)
        out["result"] = result if message is None else message.get("content")
    elif kind is kinds.RETRIEVE:
        asked = _only(sent_in, "query")
        out["query"] = asked if isinstance(asked, str) else as_text(asked)
        out["documents"] = _documents(sent_out)
    else:
        if kind is kinds.MODEL or _has_messages(sent_in):
            out.setdefault("messages_in", messages.parse(sent_in))
        if kind is kinds.MODEL:
            out.setdefault("messages_out", answers.said(sent_out))
        elif _has_messages(sent_out):
            out.setdefault("messages_out", messages.parse(sent_out))
        if isinstance(sent_in, Mapping) and kind is kinds.MODEL:
            out["parameters"] = sent_in
            out["tools_offered"] = sent_in.get("tools")
        out["input"], out["output"] = _value(sent_in), _value(sent_out)
    return {field: value for field, value in out.items() if value not in ("", None, [], {})}


def _has_messages(sent: Any) -> bool:
    return isinstance(sent, Mapping) and isinstance(sent.get("messages"), list)


def _value(sent: Any) -> Any:
    """The one text that a traced function was given or gave, without its name."""
    if isinstance(sent, Mapping) and len(sent) == 1:
        (value,) = sent.values()
        return value if isinstance(value, str) else sent
    return sent
