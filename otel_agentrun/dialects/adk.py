"""Spans of Google's Agent Development Kit, both telemetry schemas.

Source: google-adk 2.13.0, telemetry/{tracing,node_tracing,_token_usage}.py and models/lite_llm.py;
google-adk 1.16.0, telemetry/tracing.py; in older releases agents are `agent_run [name]`
(agents/base_agent.py).  Schema 2 (`invoke_workflow`, `generate_content`) is the default of 2.x;
schema 1 has a root `invocation` without attributes and `call_llm` spans.  Content is on attributes
in schema 1, opt-in in schema 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects import genai, kinds, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.soft_errors import soft_error
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, Usage

NAME: Final = "adk"
CHECKED: Final = "google-adk 2.13.0 in all its content modes and both schemas; 1.16.0"
CANNOT_TELL: Final = (
    "By default there is no content: no arguments, no results, no messages; tools that answer "
    "with an error then look as if they had worked.",
    "With content in events alone: results of tools, so that those that answer with an error look "
    "as if they had worked.",
    "1.16: cached and reasoning tokens, and any tokens of streamed calls through LiteLLM.",
    "The user, other than in log records.",
    "The finish reason of a call that asks for tools is `stop`.",
)
SCOPE: Final = "gcp.vertex.agent"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "arguments": (*genai.KEYS["arguments"], "gcp.vertex.agent.tool_call_args"),
    "result": (*genai.KEYS["result"], "gcp.vertex.agent.tool_response"),
    "input": (*genai.KEYS["input"], "gcp.vertex.agent.llm_request"),
    "output": (*genai.KEYS["output"], "gcp.vertex.agent.llm_response"),
}
ALSO_READ: Final = genai.ALSO_READ
EVENTS: Final = genai.EVENTS
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.CONTENT,
    "messages_in": (*genai.CONTENT["messages_in"], "gcp.vertex.agent.llm_request"),
    "messages_out": (),  # see `content`
    "arguments": KEYS["arguments"],
    "result": KEYS["result"],
}
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES

BY_NAME: Final[Mapping[str, Kind]] = {"call_llm": kinds.MODEL, "invocation": kinds.RUN}
"""Spans of schema 1 that have no operation, some of them no attribute at all."""
AGENT_RUN: Final = "agent_run ["
EXECUTE_TOOL: Final = "execute_tool "
"""How names of spans begin that get their attributes at the end: never, where something raised."""
LIMIT: Final = "LlmCallsLimitExceededError"
"""Raised in the span of the call that was one too many, which is then not made."""
MERGED: Final = "(merged tools)"
"""Parallel calls end in one more `execute_tool` span, which ran nothing."""
NOT_SENT: Final = "{}"
"""What schema 1 sends for content that is off."""
DISJOINT: Final = ("gemini", "gemma", "claude")
"""Models that ADK itself speaks to, whose thoughts are counted apart from their answer."""
OWN_PATHS: Final = ("projects/", "models/", "tunedModels/", "apigee/gemini")


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE


def kind(span: SpanView) -> Kind:
    stated = span.attributes.get(genai.OPERATION)
    if stated is None:
        return _by_name(span)
    if stated == "execute_tool" and span.attributes.get("gen_ai.tool.name") == MERGED:
        return kinds.OTHER
    return genai.kind(span)


def _by_name(span: SpanView) -> Kind:
    name = span.name
    if name.startswith(EXECUTE_TOOL):
        return kinds.TOOL if not name.endswith("(merged)") else kinds.OTHER
    if name.startswith(AGENT_RUN):
        return kinds.RUN
    if name == "call_llm" and LIMIT in span.status_message:
        return kinds.OTHER
    return BY_NAME.get(name, kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.OTHER:
        return kinds.NODE
    if kind is kinds.RUN and span.name.startswith(AGENT_RUN):
        return kinds.AGENT
    return genai.role(span, kind)


def label(key: str) -> str:
    return "conversation_id" if key == "gcp.vertex.agent.session_id" else ""


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.RUN:
        if span.name.startswith(AGENT_RUN):
            found.setdefault("agent_name", span.name[len(AGENT_RUN) : -1])
        elif LIMIT in span.status_message:
            labels.setdefault("stop_reason", "max_iterations")
    if kind is not kinds.TOOL:
        return
    if "tool_name" not in found:
        found["tool_name"] = span.name[len(EXECUTE_TOOL) :]
    if found.get("result") == NOT_SENT:
        # Content is off: equal digests would make all calls look alike.
        found.pop("result")
        if found.get("arguments") == NOT_SENT:
            found.pop("arguments")
    soft_error(found)


def usage(span: SpanView, found: Found) -> Usage | None:
    """Output is answer plus thoughts.  Behind an OpenAI-like API (LiteLLM, OpenAI, Apigee) the
    answer's count has the thoughts in it already, so that ADK adds them a second time."""
    reasoning, output = found.get("reasoning_tokens"), found.get("output_tokens")
    if reasoning and output is not None and not _disjoint(found.get("model", "")):
        found["output_tokens"] = max(output - reasoning, 0)
    return table_usage(span, found)


def _disjoint(model: str) -> bool:
    return model.startswith(OWN_PATHS) or ("/" not in model and model.startswith(DISJOINT))


tool_requests = genai.tool_requests


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    sent = next((text for key in KEYS["output"] if (text := span.get(key)) is not None), None)
    if sent is not None and kind is kinds.MODEL:
        said = messages.parse(sent)
        if said is None:
            out["output"] = sent
        else:
            out["messages_out"] = said
    out["messages_out"] = _whole(out.get("messages_out"))
    if span.get(genai.OPERATION) == "compact_events":
        out["context_compacted"] = True
    return out


def _whole(said: Sequence[messages.Message] | None) -> list[messages.Message] | None:
    """A streamed answer without the pieces that it came in: they have no reason to end."""
    if not said or "finish_reason" not in said[-1]:
        return list(said) if said else None
    return [one for one in said if "finish_reason" in one]
