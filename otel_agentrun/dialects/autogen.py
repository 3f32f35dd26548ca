"""Spans of AutoGen: the GenAI spans of autogen-core and the messages of its runtime.

Source: autogen-core 0.7.5, autogen_core/_telemetry/; autogen-agentchat 0.7.5, messages.py and
teams/_group_chat/_events.py.  No span is made for a model call.  In a team every message of an
agent passes through the runtime, and the span that hands it to the team's manager holds it as JSON
(`{"message": {...}}`): one that has `models_usage` is what one model call answered, told here and
counted where no instrumented client has a span of it.  What follows a message lies in another
trace, tied by a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages
from otel_agentrun.dialects.tables import Found, Labels, as_count
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, as_text

NAME: Final = "autogen"
CHECKED: Final = "autogen-agentchat 0.7.5"
CANNOT_TELL: Final = (
    "Model calls of an agent outside a team, of a team's own manager and of what fails have no "
    "span; in a team a call is seen when its answer is passed on, not when it ran.",
    "The model, its provider and why it stopped are not sent, nor cached and reasoning tokens.",
    "Arguments and results of tools are not sent; a call of an unknown tool has no span.",
)
CORE: Final = "autogen-core"
RUNTIME: Final = "autogen "
"""Scopes of runtimes are `autogen <class of the runtime>`."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = genai.KEYS
MESSAGE: Final = "message"
ALSO_READ: Final = genai.ALSO_READ | {MESSAGE}
CONTENT: Final[Mapping[str, tuple[str, ...]]] = genai.CONTENT
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES


def recognizes(span: SpanView) -> bool:
    return span.scope == CORE or span.scope.startswith(RUNTIME)


def kind(span: SpanView) -> Kind:
    if span.scope == CORE:
        return genai.kind(span)
    sent = span.attributes.get(MESSAGE)
    if type(sent) is str and sent.startswith('{"message"') and '"models_usage":{' in sent:
        return kinds.MODEL
    return kinds.OTHER


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.OTHER:
        return kinds.NO_ROLE if span.scope == CORE else kinds.TRANSPORT
    if kind is kinds.MODEL:
        return kinds.TOLD  # where the client is instrumented, its own span counts
    return genai.role(span, kind)


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is not kinds.MODEL:
        return
    said = _said(span)
    tokens = said.get("models_usage")
    if isinstance(tokens, Mapping):
        for field, key in (
            ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"),
        ):  # fmt: skip
            count = as_count(tokens.get(key))
            if count is not None:
                found[field] = count
    for field, key in (("agent_name", "source"), ("response_id", "id")):
        if isinstance(said.get(key), str):
            found[field] = said[key]
    found["output"] = said.get("content")


def _said(span: SpanView) -> Mapping[str, Any]:
    """The agent's message that a span passed on."""
    sent = span.attributes.get(MESSAGE)
    passed = arguments.parse(sent) if isinstance(sent, str) else sent
    said = passed.get("message") if isinstance(passed, Mapping) else None
    return said if isinstance(said, Mapping) else {}


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    return messages.tool_requests([_answer(found.get("output"))])


def _answer(said: Any) -> messages.Message:
    """What an agent said as a message: text, or the calls it asked for."""
    if isinstance(said, list | tuple):
        return messages.with_calls({"role": "assistant"}, said)
    return {"role": "assistant", "content": as_text(said or "")}


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    if kind is kinds.MODEL:
        return {"messages_out": [_answer(_said(span).get("content"))]}
    return genai.content(span, kind, logs)
