"""Spans that Logfire makes of the OpenAI Agents SDK (`logfire.instrument_openai_agents`).

Source: pydantic/logfire 5.2.0, logfire/_internal/integrations/openai_agents.py; openai-agents
0.24.0, agents/tracing/span_data.py; capture tests/captures/logfire-openai-agents.

One span per trace, task, agent, turn, model call, tool, handoff and guardrail, told apart by the
message's template; `name` is whatever that is the name of.  Tasks and turns have sums of their
model calls' usage.  A value that is not there is the text `null`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import answers, genai, kinds, logfire, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.handoffs import tool_for
from otel_agentrun.dialects.labels import chosen
from otel_agentrun.dialects.raw_usage import counts, load
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage, as_text

NAME: Final = "logfire_agents"
CHECKED: Final = (
    "logfire 5.2.0 with openai-agents 0.24.0 (Responses API and chat completions, streamed, too)"
)
CANNOT_TELL: Final[tuple[str, ...]] = (
    "The cause of a tool's error (redacted by the Agents SDK), and tool call ids.",
    "What an agent was given and what it answered, other than by its model calls.",
    "Tokens of streamed chat completions that were not asked for their usage.",
)

SCOPE: Final = "logfire.openai_agents"
TEMPLATE: Final = logfire.TEMPLATE
NOTHING: Final = "null"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider": genai.KEYS["provider"],
    "model": genai.KEYS["model"],
    "input_tokens": ("gen_ai.usage.input_tokens",),
    "output_tokens": ("gen_ai.usage.output_tokens",),
    "raw_usage": ("gen_ai.usage.raw", "usage"),
    "reported_cost": ("operation.cost",),
    "response_id": ("response_id",),
    "named": ("name",),
    "agent_name": ("agent_name",),
    "handoff_from": ("from_agent",),
    "handoff_to": ("to_agent",),
    "error": ("error",),
    "group": ("group_id",),
    "metadata": ("metadata",),
    "input": ("raw_input", "input"),
    "output": ("response", "output"),
}
ALSO_READ: Final = frozenset({TEMPLATE, logfire.PENDING, "input"})

TEMPLATES: Final[tuple[tuple[str, Kind], ...]] = (
    ("OpenAI Agents trace", kinds.RUN),
    ("Agent run", kinds.RUN),
    ("Responses API", kinds.MODEL),
    ("Chat completion", kinds.MODEL),
    ("Function", kinds.TOOL),
    ("Handoff", kinds.TOOL),
    ("Guardrail", kinds.VALIDATE),
)
"""Beginning of the template -> kind; tasks, turns, speech and lists of MCP tools are OTHER."""
AGENT: Final = "Agent run"

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "parameters": ("model_settings", "model_config"),
}
CONTENT_PREFIXES: Final[tuple[str, ...]] = ()


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE and logfire.PENDING not in span.attributes


def kind(span: SpanView) -> Kind:
    said = span.text(TEMPLATE) or span.name
    return next((kind for text, kind in TEMPLATES if said.startswith(text)), kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is not kinds.RUN:
        return kinds.NO_ROLE
    is_agent = (span.text(TEMPLATE) or span.name).startswith(AGENT)
    return kinds.AGENT if is_agent else kinds.WORKFLOW


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    for field in ("input", "output", "response_id", "group", "metadata", "error"):
        if found.get(field) in (NOTHING, ""):
            del found[field]
    if "error" in found:
        found["error_message"] = _explained(found["error"])
    name = as_text(found.get("named", ""))
    if kind is kinds.TOOL:
        _derive_tool(name, found)
    elif kind is kinds.RUN and role(span, kind) is kinds.AGENT:
        found["agent_name"] = name
    elif kind is kinds.RUN:
        labels.setdefault("workflow_name", name)
        _label(found, labels)


def _derive_tool(name: str, found: Found) -> None:
    if "handoff_to" in found:
        found["tool_name"] = tool_for(found["handoff_to"])
        found.setdefault("agent_name", found.get("handoff_from", ""))
        return
    found["tool_name"] = name
    for field, sent in (("arguments", "input"), ("result", "output")):
        if sent in found:
            found[field] = found[sent]


def _label(found: Found, labels: Labels) -> None:
    """A trace's group, and what the application says of it."""
    if "group" in found:
        labels.setdefault("session_id", as_text(found["group"]))
    for key, value in load(found.get("metadata")).items():
        if isinstance(value, str | int | float) and value != "":
            labels.setdefault(chosen(key), as_text(value))


def _explained(sent: Any) -> str:
    """`{message, data}`: the cause is in the data, where there is one."""
    error = load(sent)
    data = error.get("data")
    cause = data.get("error") if isinstance(data, Mapping) else None
    return as_text(cause or error.get("message") or sent)


def usage(span: SpanView, found: Found) -> Usage | None:
    if kind(span) is not kinds.MODEL:
        return None  # sums over model calls
    for field, count in counts(load(found.get("raw_usage", ""))).items():
        found.setdefault(field, count)
    if not found.get("input_tokens") and not found.get("output_tokens"):
        return None  # the SDK's zeros, where the model did not say
    return table_usage(span, found)


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    sent = found.get("output", "")
    if type(sent) is str and '"name"' not in sent:
        return ()
    return answers.tool_requests(_answer(arguments.parse(sent) if type(sent) is str else sent))


def _answer(sent: Any) -> Any:
    """A chat completion's messages or a response; a streamed one is a response in a list."""
    only = sent[0] if isinstance(sent, list) and len(sent) == 1 else None
    return only if isinstance(only, Mapping) and "output" in only else sent


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    sent_in, sent_out = (_sent(span, *KEYS[field]) for field in ("input", "output"))
    out: dict[str, Any] = {}
    if kind is kinds.MODEL:
        sent_out = _answer(sent_out)
        if isinstance(sent_out, Mapping):
            out["system_instructions"] = sent_out.get("instructions")
            out["tools_offered"] = sent_out.get("tools")
        out["messages_in"] = messages.parse({"input": sent_in}) if sent_in else None
        out["messages_out"] = answers.said(sent_out) if sent_out else None
    elif kind is kinds.TOOL:
        out["arguments"], out["result"] = sent_in, sent_out
    return {field: value for field, value in out.items() if value not in ("", None, [], {})}


def _sent(span: SpanView, *keys: str) -> Any:
    sent = span.text(*keys)
    return None if sent == NOTHING else arguments.parse(sent)
