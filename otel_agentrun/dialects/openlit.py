"""OpenLIT spans as steps: its instrumentations, and functions under `@openlit.trace`.

Source: openlit/openlit, sdk/python/src/openlit (`semcov`, `instrumentation/{openai,langchain,
langgraph}`), 1.45; capture tests/captures/openlit.  The convention's keys, but: a graph's nodes
are `invoke_agent`, its usage is that of its last call, and links lead to where an agent was made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.tables import TOKENS, Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest

NAME: Final = "openlit"
CHECKED: Final = "openlit 1.45 (decorators, OpenAI 2.54, LangChain/LangGraph 1.x)"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "Reasoning tokens.",
    "What a function under `@openlit.trace` is: one that a model asked for by its name is a tool, "
    "without arguments.",
    "LangChain: the model's id of a tool call that failed.",
    "A cost of 0 means that OpenLIT has no price, and is not read.",
)

SCOPE: Final = "openlit"
SCOPES: Final = "openlit.instrumentation."
LANGCHAIN: Final = "openlit.instrumentation.langchain"
LANGGRAPH: Final = "openlit.instrumentation.langgraph"
LINKS_JOIN: Final = False
"""Every run of an agent is linked to the span that created the agent."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "reasoning_tokens": (
        *genai.KEYS["reasoning_tokens"],
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
    ),
    "cache_read_tokens": (
        *genai.KEYS["cache_read_tokens"],
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
    ),
    "cache_write_tokens": (
        *genai.KEYS["cache_write_tokens"],
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
    ),
    "arguments": (*genai.KEYS["arguments"], "gen_ai.tool.args"),
    "input": (*genai.KEYS["input"], "gen_ai.workflow.input", "function.args"),
    "output": (*genai.KEYS["output"], "gen_ai.workflow.output"),
}
ALSO_READ: Final = genai.ALSO_READ
EVENTS: Final = genai.EVENTS

KINDS: Final[Mapping[str, Kind]] = {
    **genai.KINDS,
    "image": kinds.MODEL,
    "audio": kinds.MODEL,
    "speech_to_text": kinds.MODEL,
    "text_to_speech": kinds.MODEL,
}

LABELS: Final[Mapping[str, str]] = {
    "gen_ai.session.id": "session_id",
    "gen_ai.user.id": "user_id",
    "gen_ai.request.user": "user_id",
    "gen_ai.application_name": "service_name",
    "gen_ai.environment": "environment",
}
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **{field: keys for field, keys in genai.CONTENT.items() if field != "result"},
    "messages_in": (*genai.CONTENT["messages_in"], "gen_ai.workflow.input"),
    "arguments": (*genai.CONTENT["arguments"], "gen_ai.tool.args"),
}
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES

RUN_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""LangChain's id of a step, in the place of the model's call id."""
MESSAGE: Final = re.compile(
    r"content=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\[.*\])"
    r"(?: (?:additional_kwargs|response_metadata)=\{.*\})?(?: name=.*)?",
    re.DOTALL,
)
"""`str()` of a LangChain message."""


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE or span.scope.startswith(SCOPES)


def kind(span: SpanView) -> Kind:
    operation = span.text(genai.OPERATION)
    if operation == "invoke_agent" and span.scope == LANGGRAPH:
        return kinds.OTHER  # a node
    return KINDS.get(operation, kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.OTHER and span.scope == LANGGRAPH:
        return kinds.NODE
    if kind is kinds.OTHER and span.scope == SCOPE and genai.OPERATION not in span.attributes:
        return kinds.FUNCTION
    return genai.role(span, kind)


def label(key: str) -> str:
    return LABELS.get(key, "")


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.TOOL:
        if span.scope == LANGCHAIN and RUN_ID.fullmatch(found.get("tool_call_id", "")):
            del found["tool_call_id"]
        if "result" in found:
            found["result"] = _said(found["result"])
    elif kind is not kinds.MODEL:
        for field in TOKENS:
            found.pop(field, None)  # of a graph's last call
        if kind is kinds.OTHER:
            found.pop("agent_name", None)  # a node's name


def _said(result: Any) -> Any:
    """What a tool said, out of the text of the LangChain message around it."""
    if not isinstance(result, str) or not result.startswith("content="):
        return result
    matched = MESSAGE.fullmatch(result)
    return arguments.parse(matched.group(1)) if matched else result


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    return genai.tool_requests(span, found)


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    if kind is kinds.TOOL:
        out["result"] = _said(span.text(*KEYS["result"])) or out.get("result")
    elif kind is kinds.RUN:
        said = arguments.parse(span.text("gen_ai.workflow.output"))
        listed = said.get("messages") if isinstance(said, Mapping) else None
        if isinstance(listed, list) and listed:
            out["output"] = _said(listed[-1])
    elif not span.has(genai.OPERATION):
        out["input"] = _first_argument(span.text("function.args"), span.text("function.kwargs"))
    return {field: value for field, value in out.items() if value}


def _first_argument(positional: str, named: str) -> Any:
    """What a decorated function was given, in `str()` of its arguments."""
    given, others = arguments.parse(positional), arguments.parse(named)
    if isinstance(given, tuple) and given and not others:
        return given[0] if isinstance(given[0], str) else list(given)
    return others if not given and isinstance(others, Mapping) else positional
