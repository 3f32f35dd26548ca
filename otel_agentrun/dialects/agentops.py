"""AgentOps spans as steps: decorators and instrumentations.

Source: AgentOps-AI/agentops, agentops/semconv, agentops/sdk/decorators and
agentops/instrumentation/providers/openai/wrappers/chat.py, 0.4.21; capture tests/captures/agentops.
A session is the process's or one run's; `tool_call.X` below a model span is the model's request,
not the tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages, requests
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest

NAME: Final = "agentops"
CHECKED: Final = "agentops 0.4.21 (decorators, OpenAI chat completions)"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "OpenAI chat completions: cached and reasoning tokens.",
    "Tool call ids of tools under `@tool`; the request has one, in a span of its own.",
    "What a model asked for, in its own span: requests are spans below it.",
    "That a run failed, unless its last call shows it: sessions and agents are not marked, and "
    "`agentops.session.end_state` is not reliable.",
    "The service: its name is `agentops` whatever the application says.",
)

SPAN_KIND: Final = "agentops.span.kind"
SCOPE: Final = "agentops"
SCOPES: Final = "agentops.instrumentation."
OPENAI: Final = "openai"
REQUEST_TYPE: Final = "gen_ai.request.type"
REQUEST_NAME: Final = "tool_call."
WHOLE_PROCESS: Final = "session"
"""Name of the session that `agentops.init` opens; one of the application's has its own name."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "finish_reasons": (
        *genai.KEYS["finish_reasons"],
        "gen_ai.completion.0.finish_reason",
        "gen_ai.response.stop_reason",
    ),
    "reported_cost": ("gen_ai.usage.total_cost", *genai.KEYS["reported_cost"]),
    "agent_name": (*genai.KEYS["agent_name"], "agent.name"),
    "agent_id": (*genai.KEYS["agent_id"], "agent.id"),
    "tool_name": (*genai.KEYS["tool_name"], "tool.name"),
    "tool_call_id": (*genai.KEYS["tool_call_id"], "tool.call.id"),
    "arguments": (*genai.KEYS["arguments"], "agentops.tool.input", "tool.parameters"),
    "result": (*genai.KEYS["result"], "agentops.tool.output", "tool.result"),
    "input": (
        *genai.KEYS["input"],
        "agentops.agent.input",
        "agentops.workflow.input",
        "agentops.session.input",
        "agentops.task.input",
        "agentops.operation.input",
        "agentops.entity.input",
        "workflow.input",
    ),
    "output": (
        *genai.KEYS["output"],
        "agentops.agent.output",
        "agentops.workflow.output",
        "agentops.session.output",
        "agentops.task.output",
        "agentops.operation.output",
        "agentops.entity.output",
        "workflow.output",
        "workflow.final_output",
    ),
    "entity_name": ("operation.name", "agentops.entity.name"),
    "tags": (*genai.KEYS["tags"], "agentops.tags"),
}
PREFIXES: Final[Mapping[str, str]] = {"gen_ai.completion.": "flat_output"}
ALSO_READ: Final = frozenset(
    {genai.OPERATION, SPAN_KIND, REQUEST_TYPE, "operation.name", "gen_ai.request.model"}
)
EVENTS: Final = genai.EVENTS

KINDS: Final[Mapping[str, Kind]] = {
    "session": kinds.RUN,
    "workflow": kinds.RUN,
    "team": kinds.RUN,
    "agent": kinds.RUN,
    "llm": kinds.MODEL,
    "llm.call": kinds.MODEL,
    "tool": kinds.TOOL,
    "tool.usage": kinds.TOOL,
    "guardrail": kinds.VALIDATE,
    "agent.thinking": kinds.PLAN,
}
"""Others (`task`, `operation`, `chain`, `text`, `http`, `workflow.step`) are OTHER."""
REQUESTS: Final[Mapping[str, Kind]] = {
    "chat": kinds.MODEL,
    "completion": kinds.MODEL,
    "embedding": kinds.MODEL,
    "rerank": kinds.RETRIEVE,
}

LABELS: Final[Mapping[str, str]] = {
    "gen_ai.user": "user_id",
    "workflow.user_id": "user_id",
    "workflow.session_id": "session_id",
    "workflow.name": "workflow_name",
}
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.CONTENT,
    "messages_in": (messages.INPUT_MESSAGES,),
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, "gen_ai.request.functions.")


def recognizes(span: SpanView) -> bool:
    attributes, scope = span.attributes, span.scope
    if SPAN_KIND in attributes or scope == SCOPE or scope.startswith(SCOPES):
        return True
    return scope == OPENAI and (REQUEST_TYPE in attributes or "gen_ai.request.model" in attributes)


def kind(span: SpanView) -> Kind:
    stated = span.text(SPAN_KIND)
    if span.name.startswith(REQUEST_NAME):
        return kinds.OTHER  # what a model asked for
    if stated == "session" and span.text("operation.name") in ("", WHOLE_PROCESS):
        return kinds.OTHER  # whatever runs there are in it are runs of their own
    found = KINDS.get(stated)
    if found is not None:
        return found
    if genai.OPERATION in span.attributes:
        return genai.kind(span)
    return REQUESTS.get(span.text(REQUEST_TYPE), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        return kinds.AGENT if span.text(SPAN_KIND) == "agent" else kinds.WORKFLOW
    return kinds.NO_ROLE


def label(key: str) -> str:
    return LABELS.get(key, "")


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    name = found.get("entity_name", "")
    if kind is kinds.RUN:
        if span.text(SPAN_KIND) == "agent":
            found.setdefault("agent_name", name or span.name.removesuffix(".agent"))
        elif name:
            labels.setdefault("workflow_name", name)
    elif kind is kinds.TOOL:
        found.setdefault("tool_name", name or span.name.removesuffix(".tool"))
        for field, other in (("arguments", "input"), ("result", "output")):
            sent = found.pop(other, None)  # of a decorator that calls every kind an entity
            if sent is not None:
                found.setdefault(field, sent)


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    if "output" in found or "flat_output" not in found:
        return genai.tool_requests(span, found)
    return requests.in_flat(span.attributes, "gen_ai.completion.")


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    if kind is not kinds.MODEL:
        is_tool = kind is kinds.TOOL or span.name.startswith(REQUEST_NAME)
        fields = ("arguments", "result") if is_tool else ("input", "output")
        for field, shown in zip(fields, ("input", "output"), strict=True):
            sent = span.text(*KEYS[field], *(KEYS[shown] if is_tool else ()))
            value = arguments.unwrap(arguments.parse(sent))
            out[field if kind is kinds.TOOL else shown] = value
    return {field: value for field, value in out.items() if value}
