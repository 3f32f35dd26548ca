"""Spans of Google's Agent Development Kit, both telemetry schemas.

Source: google-adk 2.13.0, telemetry/{tracing,node_tracing,_token_usage}.py and models/lite_llm.py;
google-adk 1.16.0, telemetry/tracing.py.  Schema 2 (`invoke_workflow`, `generate_content`) is the
default of 2.x; schema 1 has a root `invocation` without attributes and `call_llm` spans.  Content
is on attributes in schema 1, opt-in in schema 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.soft_errors import soft_error
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Event, Kind, Role, SpanView, Usage

NAME: Final = "adk"
CHECKED: Final = "google-adk 2.13.0 with its default settings; content and schema 1 by its source"
CANNOT_TELL: Final = (
    "By default there is no content: no arguments, no results, no messages; tools that answer "
    "with an error then look as if they had worked.",
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
    "messages_out": (*genai.CONTENT["messages_out"], "gcp.vertex.agent.llm_response"),
    "arguments": KEYS["arguments"],
    "result": KEYS["result"],
}
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES

BY_NAME: Final[Mapping[str, Kind]] = {"call_llm": kinds.MODEL, "invocation": kinds.RUN}
"""Spans of schema 1 that have no operation, some of them no attribute at all."""
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
        return BY_NAME.get(span.name, kinds.OTHER)
    if stated == "execute_tool" and span.attributes.get("gen_ai.tool.name") == MERGED:
        return kinds.OTHER
    return genai.kind(span)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.OTHER:
        return kinds.NODE
    return genai.role(span, kind)


def label(key: str) -> str:
    return "conversation_id" if key == "gcp.vertex.agent.session_id" else ""


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is not kinds.TOOL:
        return
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
    if span.get(genai.OPERATION) == "compact_events":
        out["context_compacted"] = True
    return out
