"""Spans of the Langfuse SDKs: decorators, the OpenAI wrapper, the LangChain callback.

Source: langfuse/langfuse-python, langfuse/_client/attributes.py and constants.py (3.15.0, 5.0.4),
langfuse/openai.py, langfuse/langchain/CallbackHandler.py (meaning of usage, types of observations);
langfuse/langfuse-js, packages/core (the same names); captures
tests/captures/langfuse and langfuse-v3-untyped.

A LangChain model call under both the callback and the wrapped client comes as two nested
generations whose counts mean different things; what is nested is one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import answers, genai, kinds, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.labels import chosen
from otel_agentrun.dialects.raw_usage import counts, load, parsed
from otel_agentrun.dialects.tables import Found, Labels, as_count, as_nano_usd, unquoted
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage, as_text

NAME: Final = "langfuse"
CHECKED: Final = (
    "langfuse (Python) 5.0.4: decorators, OpenAI wrapper, LangChain callback; 3.15.0 likewise"
)
CANNOT_TELL: Final[tuple[str, ...]] = (
    "The id of the model's answer, and why it ended.",
    "The provider, except of models that LangChain calls.",
    "Tool call ids, except of tools that LangChain calls.",
    "The class of an error: only its message is sent.",
    "What a function under `@observe()` without a type is: one that a model asked for by its name "
    "is a tool.",
)

SCOPE: Final = "langfuse-sdk"
TYPE: Final = "langfuse.observation.type"
INPUT: Final = "langfuse.observation.input"
OUTPUT: Final = "langfuse.observation.output"
METADATA: Final = "langfuse.observation.metadata."
TRACE_METADATA: Final = "langfuse.trace.metadata."
NODE: Final = METADATA + "langgraph_node"
CHECKPOINT: Final = METADATA + "checkpoint_ns"
GRAPH_CHECKPOINT: Final = METADATA + "langgraph_checkpoint_ns"
LANGCHAIN_ROOT: Final = METADATA + "is_langchain_root"
APP_ROOT: Final = ("langfuse.internal.is_app_root", "langfuse.internal.as_root")

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "provider": (*genai.KEYS["provider"], METADATA + "ls_provider"),
    "model": ("langfuse.observation.model.name", *genai.KEYS["model"]),
    "usage_details": ("langfuse.observation.usage_details",),
    "cost_details": ("langfuse.observation.cost_details",),
    "tool_call_id": (*genai.KEYS["tool_call_id"], METADATA + "tool_call_id"),
    "status": ("langfuse.observation.level",),
    "error_message": ("langfuse.observation.status_message",),
    "prompt_name": ("langfuse.observation.prompt.name",),
    "prompt_version": ("langfuse.observation.prompt.version",),
    "input": (INPUT, *genai.KEYS["input"], "langfuse.trace.input"),
    "output": (OUTPUT, *genai.KEYS["output"], "langfuse.trace.output"),
    "tags": ("langfuse.trace.tags", "langfuse.tags"),
}
ALSO_READ: Final = frozenset(
    {
        TYPE, INPUT, genai.OPERATION, NODE, CHECKPOINT, GRAPH_CHECKPOINT, LANGCHAIN_ROOT,
        *APP_ROOT,
    }
)  # fmt: skip
EVENTS: Final = genai.EVENTS

KINDS: Final[Mapping[str, Kind]] = {
    "agent": kinds.RUN,
    "generation": kinds.MODEL,
    "embedding": kinds.MODEL,
    "tool": kinds.TOOL,
    "retriever": kinds.RETRIEVE,
    "evaluator": kinds.VALIDATE,
    "guardrail": kinds.VALIDATE,
}
"""Observation type -> kind; `span`, `chain` and `event` are OTHER, unless they are the root."""
WRAPPERS: Final = frozenset({"span", "chain"})

LABELS: Final[Mapping[str, str]] = {
    "langfuse.session.id": "session_id",
    "langfuse.user.id": "user_id",
    "langfuse.trace.name": "workflow_name",
    "langfuse.environment": "environment",
    "langfuse.release": "app_version",
    "langfuse.version": "agent_version",
}
OWN_METADATA: Final = ("langgraph_", "ls_", "lc_", "checkpoint_", "is_langchain_root")
"""Metadata keys that LangChain writes itself; the rest are the application's."""

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "parameters": ("langfuse.observation.model.parameters",),
    "prompt_name": ("langfuse.observation.prompt.name",),
    "prompt_version": ("langfuse.observation.prompt.version",),
}
CONTENT_PREFIXES: Final = ("langfuse.trace.input", "langfuse.trace.output")


def recognizes(span: SpanView) -> bool:
    return TYPE in span.attributes or span.scope == SCOPE


def kind(span: SpanView) -> Kind:
    stated = span.text(TYPE)
    if not stated:
        return genai.kind(span)
    found = KINDS.get(stated, kinds.OTHER)
    if found is kinds.RUN:
        return kinds.OTHER if _is_node(span) else kinds.RUN
    if found is kinds.OTHER and stated in WRAPPERS and _is_root(span):
        return kinds.RUN
    return found


def _is_root(span: SpanView) -> bool:
    attributes = span.attributes
    return not span.parent_span_id or any(key in attributes for key in APP_ROOT)


def _is_node(span: SpanView) -> bool:
    """Is this `agent` a node of LangGraph's?  Whatever has "agent" in its name is typed so.

    A sub-graph comes twice, as the node and as the graph in it; only in the graph's own span
    `checkpoint_ns` (where it runs) equals `langgraph_checkpoint_ns`.
    """
    get = span.attributes.get
    return NODE in span.attributes and get(CHECKPOINT) != get(GRAPH_CHECKPOINT)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        return kinds.WORKFLOW if span.text(TYPE) in WRAPPERS else kinds.AGENT
    if kind is kinds.OTHER:
        if NODE in span.attributes:
            return kinds.NODE
        if span.attributes.get(TYPE) == "span":
            return kinds.FUNCTION
    return kinds.NO_ROLE


def label(key: str) -> str:
    """Metadata of the application, whose names are its own."""
    name = key[len(TRACE_METADATA) :] if key.startswith(TRACE_METADATA) else ""
    if not name or name.startswith(OWN_METADATA):
        return LABELS.get(key, "")
    return chosen(name)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    for name, value in labels.items():
        labels[name] = unquoted(value)  # 5.x sends metadata as JSON, 3.x as it is
    if "provider" in found:
        found["provider"] = unquoted(found["provider"]).lower()
    if kind is kinds.MODEL:
        if "cost_details" in found and (cost := _cost(found["cost_details"])) is not None:
            found["reported_cost"] = cost
    elif kind is kinds.TOOL:
        _derive_tool(span, found)
    elif kind is kinds.RUN:
        if span.text(TYPE) in WRAPPERS:
            labels.setdefault("workflow_name", span.name)
        else:
            found.setdefault("agent_name", span.name)
    elif kind is kinds.RETRIEVE:
        if "input" in found:
            found.setdefault("query", found["input"])
        listed = _documents(found.get("output"))
        if listed is not None:
            found["hit_count"] = len(listed)
    elif "input" in found and span.attributes.get(TYPE) == "span":  # perhaps a tool
        found.setdefault("arguments", found["input"])


def _cost(sent: str) -> int | None:
    """Nano-USD; Langfuse's own total, or what its parts add up to."""
    details = load(sent)
    if "total" in details:
        return as_nano_usd(details["total"])
    parts = [as_nano_usd(part) for part in details.values()]
    return sum(part for part in parts if part is not None) if parts else None


def _derive_tool(span: SpanView, found: Found) -> None:
    found.setdefault("tool_name", span.name)
    if "tool_call_id" in found:
        found["tool_call_id"] = unquoted(found["tool_call_id"])
    if "input" in found:
        found.setdefault("arguments", found["input"])
    sent = found.get("output")
    if sent is None:
        return
    answer = _tool_message(sent)
    if answer is None:
        found.setdefault("result", sent)
        return
    found["result"] = answer.get("content")
    found.setdefault("tool_call_id", as_text(answer["tool_call_id"]))
    if answer.get("status") == "error":
        found["status"] = "error"


def _tool_message(sent: Any) -> Mapping[str, Any] | None:
    """LangChain's tool message, which is what a tool returns through its callback."""
    if type(sent) is str and '"tool_call_id"' not in sent:
        return None
    answer = arguments.parse(sent) if isinstance(sent, str) else sent
    if isinstance(answer, Mapping) and answer.get("type") == "tool" and answer.get("tool_call_id"):
        return answer
    return None


def _documents(sent: Any) -> list[Any] | None:
    listed = arguments.parse(sent) if isinstance(sent, str) else sent
    if isinstance(listed, Mapping):
        listed = next((v for k in ("documents", "results") if (v := listed.get(k))), None)
    return listed if isinstance(listed, list) else None


def usage(span: SpanView, found: Found) -> Usage | None:
    if "usage_details" in found:
        details = load(found["usage_details"])
        for field, count in (
            _apart(details) if "input" in details or "output" in details else counts(details)
        ).items():
            found[field] = count
    return table_usage(span, found)


def _apart(details: Mapping[str, Any]) -> dict[str, int]:
    """Counts in Langfuse's own names: parts that add up to what was read and written.

    The LangChain callback takes `input_cache_read`, `output_reasoning` and the like out of `input`
    and `output`.  An application may send sums that hold them; then those make up the total.
    """
    sums = {"input": 0, "output": 0}
    found: dict[str, int] = {}
    for name, value in details.items():
        side, field = _part(name)
        count = as_count(value) if side else None
        if count is None:
            continue
        sums[side] += count
        if field:
            found[field] = found.get(field, 0) + count
    total = as_count(details.get("total"))
    if total is not None and total != sums["input"] + sums["output"]:
        into, out = (as_count(details.get(side)) or 0 for side in sums)
        cached = found.get("cache_read_tokens", 0) + found.get("cache_write_tokens", 0)
        if total == into + out and cached <= into and found.get("reasoning_tokens", 0) <= out:
            sums = {"input": into, "output": out}
    for side, count in sums.items():
        if count or as_count(details.get(side)) is not None:
            found[f"{side}_tokens"] = count
    return found


@lru_cache(maxsize=1024)
def _part(name: str) -> tuple[str, str]:
    """(`input` or `output`, field of its own) of a part of usage; ("", "") for what adds nothing.

    Parts of a service tier and tiers of Anthropic's cache writes are in another part as well.
    """
    if "priority" in name or name.startswith("cache_creation_ephemeral"):
        return ("", "")
    if "cache" in name or "ephemeral" in name:
        is_write = any(word in name for word in ("creat", "write", "ephemeral"))
        return ("input", "cache_write_tokens" if is_write else "cache_read_tokens")
    if "reasoning" in name:
        return ("output", "reasoning_tokens")
    return next(((side, "") for side in ("input", "output") if name.startswith(side)), ("", ""))


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    sent = found.get("output")
    if type(sent) is not str or '"parts"' in sent:
        return genai.tool_requests(span, found)
    return answers.tool_requests(parsed(sent)) if '"name' in sent else ()


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    sent_in = arguments.parse(span.text(*KEYS["input"]))
    sent_out = arguments.parse(span.text(*KEYS["output"]))
    out: dict[str, Any] = {}
    if kind is kinds.MODEL:
        out["messages_in"] = _asked(sent_in)
        out["messages_out"] = answers.said(sent_out)
        out["tools_offered"] = _offered(sent_in)
    elif kind is kinds.TOOL:
        answer = _tool_message(sent_out)
        out["arguments"] = sent_in
        out["result"] = sent_out if answer is None else answer.get("content")
    elif kind is kinds.RETRIEVE:
        asked = arguments.unwrap(sent_in)
        out["query"] = asked.get("query") if isinstance(asked, Mapping) else asked
        out["documents"] = _documents(sent_out)
    else:
        if isinstance(sent_in, Mapping) and "messages" in sent_in:
            out["messages_in"] = messages.parse(sent_in)
        if isinstance(sent_out, Mapping) and "messages" in sent_out:
            out["messages_out"] = messages.parse(sent_out)
    if kind is not kinds.TOOL:
        out["input"], out["output"] = arguments.unwrap(sent_in), sent_out
    return {field: value for field, value in out.items() if value not in ("", None, [], {})}


def _asked(sent: Any) -> list[messages.Message] | None:
    """Messages of a request; LangChain lists the offered tools among them."""
    if isinstance(sent, list):
        sent = [one for one in sent if _tool_of(one) is None]
    if isinstance(sent, str) and sent:
        return [{"role": "user", "content": sent}]
    return messages.parse(sent)


def _offered(sent: Any) -> list[Any]:
    if isinstance(sent, Mapping):
        listed = sent.get("tools")
        return listed if isinstance(listed, list) else []
    listed = sent if isinstance(sent, list) else []
    return [tool for one in listed if (tool := _tool_of(one)) is not None]


def _tool_of(message: Any) -> Mapping[str, Any] | None:
    """A tool's definition that stands among the messages as one of the role `tool`."""
    inner = message.get("content") if isinstance(message, Mapping) else None
    defines = isinstance(inner, Mapping) and isinstance(inner.get("function"), Mapping)
    return inner if defines else None
