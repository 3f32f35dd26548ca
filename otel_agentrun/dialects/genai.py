"""Spans of the OpenTelemetry GenAI conventions, current and renamed older keys.

Source: open-telemetry/semantic-conventions-genai, model/gen-ai/{spans,registry,events}.yaml (commit
fe5608e), semantic-conventions v1.28-v1.41 for the older names; what opentelemetry-instrumentation-
openai-v2 2.4b0 (both modes), Pydantic AI 1.107 and 2.68, Strands, Microsoft Agent Framework and
others send as plain GenAI, from captures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments, plain_json
from otel_agentrun.dialects import kinds, messages, requests, sources
from otel_agentrun.dialects.handoffs import tool_for
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.dialects.told import Told, answered
from otel_agentrun.step import Event, Kind, Role, SpanView, Step, ToolRequest, as_text

NAME: Final = "genai"
CHECKED: Final = (
    "GenAI conventions at commit fe5608e and v1.28 to v1.41; "
    "opentelemetry-instrumentation-openai-v2 2.4b0 in both modes"
)
CANNOT_TELL: Final = (
    "openai-v2 sends no cached and no reasoning tokens, and no span for `responses.create`.",
    "google-genai's automatic function calling: all its calls of the model are one span, which has "
    "the tokens of the last one.",
    "A client's instrumentation knows no tools: without spans of the application's own, tool calls "
    "are read from the messages of the next call, in its log records or, when nothing is around "
    "it, in its span; how long they took is unknown.",
)
OPERATION: Final = "gen_ai.operation.name"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "model": ("gen_ai.response.model", "gen_ai.request.model"),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "gen_ai.aggregated_usage.input_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "gen_ai.aggregated_usage.output_tokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens",
        "gen_ai.aggregated_usage.cache_read.input_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.aggregated_usage.cache_write.input_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.aggregated_usage.details.reasoning_tokens",
    ),
    "response_id": ("gen_ai.response.id",),
    "finish_reasons": ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
    "reported_cost": ("gen_ai.usage.cost.amount", "operation.cost", "gen_ai.usage.cost"),
    "agent_name": ("gen_ai.agent.name",),
    "agent_id": ("gen_ai.agent.id",),
    "tool_name": ("gen_ai.tool.name",),
    "tool_call_id": ("gen_ai.tool.call.id",),
    "handoff_to": ("gen_ai.handoff.to_agent",),
    "arguments": ("gen_ai.tool.call.arguments", "tool_arguments"),
    "result": ("gen_ai.tool.call.result", "tool_response"),
    "status": ("gen_ai.tool.status",),
    "query": ("gen_ai.retrieval.query.text",),
    "documents": ("gen_ai.retrieval.documents",),
    "input": ("gen_ai.input.messages", "pydantic_ai.all_messages"),
    "output": ("gen_ai.output.messages",),
    "output_type": ("gen_ai.output.type",),
    "currency": ("gen_ai.usage.cost.currency",),
    "tags": ("tags",),
}
"""Step field -> keys, first present wins; a batch picks whole columns by this table."""

ALSO_READ: Final = frozenset({OPERATION})
EVENTS: Final = frozenset({messages.CHOICE, "gen_ai.tool.message", messages.DETAILS})
"""Span events that hold tool calls, arguments and results (Strands has no attributes of them)."""

KINDS: Final[Mapping[str, Kind]] = {
    "chat": kinds.MODEL,
    "generate_content": kinds.MODEL,
    "text_completion": kinds.MODEL,
    "embeddings": kinds.MODEL,
    "execute_tool": kinds.TOOL,
    "agent_handoff": kinds.TOOL,
    "retrieval": kinds.RETRIEVE,
    "search_memory": kinds.RETRIEVE,
    "plan": kinds.PLAN,
    "apply_guardrail": kinds.VALIDATE,
    "invoke_agent": kinds.RUN,
    "invoke_workflow": kinds.RUN,
    "invoke_swarm": kinds.RUN,
    "invoke_graph": kinds.RUN,
}
"""Operation -> kind; others (`create_agent`, `execute_event_loop_cycle`, ...) are OTHER."""

FRAMEWORKS: Final = frozenset(
    {
        "strands-agents", "microsoft.agent_framework", "gcp.vertex.agent", "langchain", "langgraph",
        "autogen",
    }
)  # fmt: skip
"""Provider names that are frameworks: no price list knows them."""

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "messages_in": (
        messages.INPUT_MESSAGES,
        "pydantic_ai.all_messages",
        "all_messages_events",
        "events",
    ),
    "messages_out": (messages.OUTPUT_MESSAGES,),
    "system_instructions": (messages.SYSTEM_INSTRUCTIONS,),
    "arguments": ("gen_ai.tool.call.arguments", "tool_arguments"),
    "result": ("gen_ai.tool.call.result", "tool_response"),
    "output": ("final_result",),
    "tools_offered": (TOOL_DEFINITIONS, "gen_ai.agent.tools"),
    "query": ("gen_ai.retrieval.query.text", "gen_ai.memory.query.text"),
    "data_source": ("gen_ai.data_source.id", "gen_ai.memory.store.id"),
    "top_k": ("gen_ai.retrieval.top_k",),
    "documents": ("gen_ai.retrieval.documents", "gen_ai.memory.records"),
    "context_compacted": ("gen_ai.conversation.compacted",),
    "model": ("gen_ai.request.model",),
}
CONTENT_PREFIXES: Final = ("gen_ai.prompt.", "gen_ai.completion.", "gen_ai.request.")


def recognizes(span: SpanView) -> bool:
    return OPERATION in span.attributes


def kind(span: SpanView) -> Kind:
    stated = span.attributes.get(OPERATION)
    return KINDS.get(stated, kinds.OTHER) if type(stated) is str else kinds.OTHER


def role(span: SpanView, kind: Kind) -> Role:
    """That a tool hands over, its name tells in every dialect: see `driver`."""
    if kind is kinds.RUN:
        return kinds.AGENT if span.text(OPERATION) == "invoke_agent" else kinds.WORKFLOW
    return kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if "provider" in found:
        provider = found["provider"].lower()
        found["provider"] = "" if provider in FRAMEWORKS else provider
    if "currency" in found and found["currency"] != "USD":
        found.pop("reported_cost", None)
    if kind is kinds.MODEL:
        reasons = found.get("finish_reasons") or finish_reasons(span, found)
        for reason in reasons:
            if (typed := BAD_ENDS.get(messages.finish_reason(reason))) is not None:
                found["status"], found["error_type"] = "error", typed
        return
    if kind is kinds.TOOL:
        if "handoff_to" in found:
            found.setdefault("tool_name", tool_for(found["handoff_to"]))
        if "arguments" not in found or "result" not in found:
            _from_events(span, found)
    elif kind is kinds.RUN:
        if "output_type" in found:
            labels.setdefault("output_type", found["output_type"])
    elif kind is kinds.RETRIEVE and "documents" in found and "hit_count" not in found:
        hits = _hits(found["documents"])
        if hits is not None:
            found["hit_count"] = hits


def finish_reasons(span: SpanView, found: Found) -> tuple[str, ...]:
    """Why a call ended, from its output messages or its events where no attribute says so."""
    sent = found.get("output")
    reasons = REASON.findall(sent) if type(sent) is str and '"finish_reason"' in sent else []
    for event in span.events:
        if event.name == messages.CHOICE and event.attributes.get("finish_reason"):
            reasons.append(as_text(event.attributes["finish_reason"]))
        elif event.name == messages.DETAILS:
            reasons += REASON.findall(as_text(event.attributes.get(messages.OUTPUT_MESSAGES, "")))
    if reasons:
        found["finish_reasons"] = tuple(reasons)
    return tuple(reasons)


REASON: Final = re.compile(r'"finish_reason":\s*"([^"\\]{1,64})"')
BAD_ENDS: Final[Mapping[str, str]] = {
    "malformed_function_call": "malformed_call",
    "malformed_tool_call": "malformed_call",
    "unexpected_tool_call": "unknown_tool",
}
"""Finish reasons (Gemini's) of calls that gave nothing to work with -> typed error."""


def _hits(documents: Any) -> int | None:
    if isinstance(documents, str):
        hits = plain_json.length(documents)
        if hits is not None:
            return hits
        documents = arguments.parse(documents)
    return len(documents) if isinstance(documents, list | tuple) else None


def _from_events(span: SpanView, found: Found) -> None:
    """A tool's arguments and result from its span events (Strands)."""
    for event in span.events:
        if event.name == "gen_ai.tool.message":
            given = event.attributes.get("content")
            if given is not None:
                found.setdefault("arguments", given)
        elif event.name == messages.CHOICE:
            answer = event.attributes.get("message")
            if answer is not None:
                found.setdefault("result", answer)


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    """Calls the model asked for, from its output messages or from its `gen_ai.choice` events."""
    sent = found.get("output")
    if sent is not None:
        return requests.in_messages(sent)
    for event in span.events:
        if event.name == messages.CHOICE:
            asked = requests.in_messages(event.attributes.get("message"))
        elif event.name == messages.DETAILS:
            asked = requests.in_messages(event.attributes.get(messages.OUTPUT_MESSAGES))
        else:
            continue
        if asked:
            return asked
    return ()


def told(span: SpanView, step: Step) -> Sequence[Told]:
    """Tools that an application ran without a span, from the results it gave to the next call.

    Only of calls without a parent: they are all that is seen of such an application, and for
    others a request is too large to be looked at.
    """
    if step.kind is not kinds.MODEL or span.parent_span_id:
        return ()
    return answered(span.text(messages.INPUT_MESSAGES))


def log_fields(event: Event) -> Mapping[str, Any]:
    """Step fields that a GenAI log record adds to its span: the model's requests, why it ended."""
    name = event.name or event.attributes.get("event.name", "")
    if name == messages.DETAILS:
        asked = requests.in_messages(event.attributes.get(messages.OUTPUT_MESSAGES))
        return {"tool_requests": asked} if asked else {}
    if name != messages.CHOICE:
        return {}
    exchange = sources.from_logs((event,))
    fields: dict[str, Any] = {}
    if asked := messages.tool_requests(exchange.messages_out):
        fields["tool_requests"] = asked
    reasons = [one["finish_reason"] for one in exchange.messages_out if one.get("finish_reason")]
    if reasons:
        fields["finish_reasons"] = tuple(messages.finish_reason(reason) for reason in reasons)
    return fields


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    """Messages from wherever this emitter put them, attributes first: several send them twice."""
    out: dict[str, Any] = {}
    events_json = messages.parse(span.get("events") or span.get("all_messages_events"))
    if events_json:
        # Pydantic AI 1.x, version=1: one JSON attribute that holds the answer as its last message.
        out["messages_in"] = events_json
        if kind is kinds.MODEL and events_json[-1]["role"] == "assistant":
            out["messages_in"], out["messages_out"] = events_json[:-1], events_json[-1:]
    for field, prefix in (
        ("messages_in", "gen_ai.prompt."),
        ("messages_out", "gen_ai.completion."),
    ):
        if flat := sources.from_flat(span.attributes, prefix):
            out.setdefault(field, flat)
    if kind is kinds.TOOL:
        sent: Found = {}
        _from_events(span, sent)
        return {**out, **sent}
    for exchange in (sources.from_events(span.events), sources.from_logs(logs)):
        for field, found in (
            ("messages_in", exchange.messages_in),
            ("messages_out", exchange.messages_out),
            ("system_instructions", "\n".join(exchange.system)),
        ):
            if found:
                out.setdefault(field, found)
    for record in logs:
        if offered := record.attributes.get(TOOL_DEFINITIONS):
            out.setdefault("tools_offered", offered)
    if kind is kinds.MODEL and _compacted(span, logs):
        out["context_compacted"] = True
    return out


COMPACTION: Final = re.compile(r'"(type|finish_reason)":\s*"compaction"')


def _compacted(span: SpanView, logs: Sequence[Event]) -> bool:
    """Whether a part of the history was replaced by a summary, before the call or by it."""
    if "compaction" in span.strings("gen_ai.response.finish_reasons"):
        return True
    places: list[Mapping[str, Any]] = [span.attributes]
    places += [event.attributes for event in span.events]
    places += [record.attributes for record in logs]
    sent = (place.get(key) for place in places for key in MESSAGES)
    return any(COMPACTION.search(as_text(text)) for text in sent if text)


MESSAGES: Final = (messages.INPUT_MESSAGES, messages.OUTPUT_MESSAGES)
