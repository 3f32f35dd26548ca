"""Spans of Pydantic Logfire: its client instrumentations and an application's own spans.

Source: pydantic/logfire, logfire/_internal/integrations/llm_providers/{llm_provider,openai,
anthropic,semconv,usage}.py and _internal/constants.py, in 5.2.0 and 3.25.0; capture
tests/captures/logfire.

A streamed call is two spans: the request, and when the stream ends a log beside it with what was
said.  Spans of an application have the attributes it gave them: those with a tool's name are tool
calls, those that say "agent" and name one are agents.  Spans of other libraries that Logfire
exports keep their scope, hence their dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.raw_usage import counts, load
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage

NAME: Final = "logfire"
CHECKED: Final = "logfire 5.2.0 (OpenAI chat completions and Responses API); 3.25.0 by its source"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "What a span of the application is, other than by the names of its attributes: `tool_name` "
    "makes a tool call; `agent_name`, or `name` in a message that says agent, an agent.",
    "How long a streamed call took, and the id of its answer: it counts when its stream ends.",
    "Streamed calls before version 4: tokens.",
    "Results of tools and a run's answer, unless the application records them.",
)

SCOPE: Final = "logfire"
SPAN_TYPE: Final = "logfire.span_type"
TEMPLATE: Final = "logfire.msg_template"
PENDING: Final = "logfire.pending_parent_id"
REQUEST: Final = "request_data"
RESPONSE: Final = "response_data"
TOOL_NAMES: Final = ("tool_name", "gen_ai.tool.name")
AGENT_NAMES: Final = ("gen_ai.agent.name", "agent_name", "agent", "name")
SAYS_AGENT: Final = re.compile(r"(?<![a-z])agent(?![a-z])", re.IGNORECASE)

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "raw_usage": ("gen_ai.usage.raw",),
    "response_data": (RESPONSE,),
    "tool_name": TOOL_NAMES[::-1],
    "tool_call_id": (*genai.KEYS["tool_call_id"], "tool_call_id"),
    "arguments": (*genai.KEYS["arguments"], "arguments", "args", "tool_args"),
    "result": (*genai.KEYS["result"], "result", "output"),
    "input": (*genai.KEYS["input"], "prompt", "task", "input"),
    "tags": ("logfire.tags",),
}
ALSO_READ: Final = frozenset(
    {genai.OPERATION, SPAN_TYPE, TEMPLATE, PENDING, REQUEST, *AGENT_NAMES, *TOOL_NAMES}
)
EVENTS: Final = genai.EVENTS

TEMPLATES: Final[tuple[tuple[str, Kind], ...]] = (
    ("Chat Completion with ", kinds.MODEL),
    ("Responses API with ", kinds.MODEL),
    ("Completion with ", kinds.MODEL),
    ("Embedding Creation with ", kinds.MODEL),
    ("Message with ", kinds.MODEL),
    ("streaming response from ", kinds.MODEL),
)
"""Beginning of a message -> kind, of versions without `gen_ai.operation.name`."""
ANSWERED: Final = (messages.OUTPUT_MESSAGES, "gen_ai.usage.input_tokens", RESPONSE)
"""One of them is on every model call that was answered, except the request of a stream."""
OWN_TAGS: Final = frozenset({"LLM"})

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.CONTENT,
    "input": ("prompt", "task", "input"),
    "output": (*genai.CONTENT["output"], "result", "output"),
    "arguments": (*genai.CONTENT["arguments"], "arguments", "args", "tool_args"),
    "result": (*genai.CONTENT["result"], "result", "output"),
    "parameters": (REQUEST,),
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, RESPONSE)


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE or span.scope.startswith("logfire.") or PENDING in span.attributes


def kind(span: SpanView) -> Kind:
    attributes = span.attributes
    if PENDING in attributes:
        return kinds.OTHER  # announces a span that comes when it has ended
    if span.scope != SCOPE and (found := _model_kind(span)) is not None:
        return found
    if genai.OPERATION in attributes:
        return genai.kind(span)
    if attributes.get(SPAN_TYPE) == "log":
        return kinds.OTHER
    if any(name in attributes for name in TOOL_NAMES):
        return kinds.TOOL
    return kinds.RUN if _agent(span) else kinds.OTHER


def _model_kind(span: SpanView) -> Kind | None:
    """Of a call through an instrumented client; the request of a stream is no call yet."""
    found = _stated(span)
    if found is kinds.MODEL and span.status_code != "Error":
        attributes = span.attributes
        if not any(key in attributes for key in ANSWERED):
            return kinds.OTHER
    return found


def _stated(span: SpanView) -> Kind | None:
    if genai.OPERATION in span.attributes:
        return genai.kind(span)
    said = span.text(TEMPLATE)
    return next((kind for text, kind in TEMPLATES if said.startswith(text)), None)


def _agent(span: SpanView) -> str:
    """The agent that a span of the application says it is."""
    named = span.text("gen_ai.agent.name", "agent_name")
    if named or not SAYS_AGENT.search(span.text(TEMPLATE) or span.name):
        return named
    return span.text(*AGENT_NAMES)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        return kinds.AGENT
    if span.scope == SCOPE or PENDING in span.attributes:
        return kinds.NO_ROLE
    if kind is kinds.MODEL:
        return kinds.CLOSING if span.attributes.get(SPAN_TYPE) == "log" else kinds.NO_ROLE
    return kinds.OPENING if _stated(span) is kinds.MODEL else kinds.NO_ROLE


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if "tags" in found:
        found["tags"] = tuple(tag for tag in found["tags"] if tag not in OWN_TAGS)
    if kind is kinds.MODEL and "output" not in found and "response_data" in found:
        found["output"] = found["response_data"]
    genai.derive(span, kind, found, labels)
    if kind is kinds.RUN:
        found["agent_name"] = _agent(span)


def usage(span: SpanView, found: Found) -> Usage | None:
    raw = load(found["raw_usage"]) if "raw_usage" in found else _in_response(found)
    for field, count in counts(raw).items():
        found.setdefault(field, count)
    if "raw_usage" not in found and "cache_read_input_tokens" in raw:
        # 3.x: Anthropic's own count, which leaves cached tokens out.
        found["input_tokens"] = counts(raw).get("input_tokens", found.get("input_tokens"))
    return table_usage(span, found)


def _in_response(found: Found) -> Mapping[str, Any]:
    """Versions before 4: the usage object is in `response_data`."""
    sent = found.get("response_data")
    if not isinstance(sent, str) or '"usage"' not in sent:
        return {}
    return load(load(sent).get("usage"))


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    asked = genai.tool_requests(span, found)
    if not asked and "response_data" in found:
        return messages.tool_requests(_said(found["response_data"]))
    return asked


def _said(sent: Any) -> list[messages.Message]:
    """The message in `response_data`: `{message, usage}`, or a stream's combined text."""
    answer = load(sent)
    inner = answer.get("message")
    if isinstance(inner, Mapping):
        said = messages.message({"role": "assistant", **inner})
        return [said] if said is not None else []
    text = answer.get("combined_chunk_content") or answer.get("text")
    return [{"role": "assistant", "content": text}] if isinstance(text, str) and text else []


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    if kind is kinds.MODEL:
        if span.has(RESPONSE):
            out.setdefault("messages_out", _said(span.get(RESPONSE)))
        asked = arguments.parse(span.text(REQUEST))
        if isinstance(asked, Mapping) and ("messages" in asked or "input" in asked):
            out.setdefault("messages_in", messages.parse(asked))
            out.setdefault("tools_offered", asked.get("tools"))
    return {field: value for field, value in out.items() if value not in ("", [], {})}
