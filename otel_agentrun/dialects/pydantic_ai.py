"""Spans of Pydantic AI, instrumentation versions 1 to 5.

Source: pydantic-ai-slim 2.68.0, pydantic_ai/_instrumentation.py and
capabilities/instrumentation.py; 1.107.0, pydantic_ai/models/instrumented.py.  Version 1 keeps
messages in one attribute of JSON events, 2 (the default of 1.x) in `gen_ai.*.messages` and names
spans `agent run` and `running tool`, later ones follow the conventions; before 2.x agent spans
repeat the usage of their calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, SpanView, ToolRequest

NAME: Final = "pydantic_ai"
CHECKED: Final = "pydantic-ai 2.68.0, and 1.107.10 in its versions 1 and 2"
CANNOT_TELL: Final = (
    "A conversation id is new for every run and sub-agent, unless the application gives one.",
    "A call of a tool that does not exist, and an answer that its schema refuses, have no span.",
    "Versions before 2.x make no span for a call with arguments that do not fit.",
)
SCOPE: Final = "pydantic-ai"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "agent_name": (*genai.KEYS["agent_name"], "agent_name"),
    "input": (*genai.KEYS["input"], "all_messages_events"),
    "output": (*genai.KEYS["output"], "final_result"),
    "retry_cause": ("pydantic_ai.tool.retry.cause",),
    "output_retry_cause": ("pydantic_ai.output.retry.cause",),
    "deferral": ("pydantic_ai.tool.deferral.name",),
}
EVENTS_JSON: Final = "events"
ALSO_READ: Final = genai.ALSO_READ | {EVENTS_JSON}
EVENTS: Final = genai.EVENTS
CONTENT: Final[Mapping[str, tuple[str, ...]]] = genai.CONTENT
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES
PARAMETERS: Final = "model_request_parameters"

OUTPUT_TOOL: Final = "final_result"
"""What a model calls to give a structured answer, unless the application renames it: no tool."""
TYPES: Final[Mapping[str, str]] = {
    "validation_error": "validation_error",
    "unknown_tool": "unknown_tool",
    "unavailable_tool": "unknown_tool",
}
"""Cause of a retry -> typed error; `model_retry` is the tool's own wish."""
INVALID: Final = '{"INVALID_JSON"'
"""How arguments begin that are no JSON: the text itself follows."""
DEFERRED: Final = ("CallDeferred", "ApprovalRequired")


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE and genai.OPERATION in span.attributes


kind = genai.kind
role = genai.role


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is not kinds.TOOL:
        return
    if found.get("deferral") in DEFERRED:
        found["status"] = "skipped"  # somebody else runs it, or has to approve it first
    elif str(found.get("arguments", ""))[:16].startswith(INVALID):
        found["error_type"] = "malformed_call"
    elif "output_retry_cause" in found:
        found["error_type"] = "output_parse_error"
    elif "retry_cause" in found and (typed := TYPES.get(found["retry_cause"])):
        is_output = typed == "validation_error" and found.get("tool_name") == OUTPUT_TOOL
        found["error_type"] = "output_parse_error" if is_output else typed


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    sent = span.attributes.get(EVENTS_JSON)
    if sent is None or "output" in found:
        asked = genai.tool_requests(span, found)
    elif type(sent) is str and '"tool_calls"' not in sent:
        return ()
    else:
        # Version 1: what was said before, then the answer.
        said = arguments.parse(sent) if isinstance(sent, str) else sent
        last = said[-1:] if isinstance(said, list | tuple) else []
        asked = messages.tool_requests(messages.parse(last) or ())
    if any(one.name == OUTPUT_TOOL for one in asked):
        return tuple(one for one in asked if one.name != OUTPUT_TOOL)
    return asked


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    if not span.has("gen_ai.tool.definitions") and (offered := span.get(PARAMETERS)):
        parsed = arguments.parse(offered) if isinstance(offered, str) else offered
        if isinstance(parsed, Mapping):
            out["tools_offered"] = parsed.get("function_tools")
    return out
