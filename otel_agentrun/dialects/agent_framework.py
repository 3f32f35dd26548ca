"""Spans of Microsoft Agent Framework.

Source: agent-framework-core 1.23.0, agent_framework/observability.py.  The GenAI conventions, v1.36
(content in log records) or the latest (content in attributes, too).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_agentrun.dialects import genai
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, SpanView

NAME: Final = "agent_framework"
CHECKED: Final = "agent-framework-core 1.23.0"
CANNOT_TELL: Final = (
    "On the Responses API the conversation id is the id of the previous response: it does not "
    "group the calls of a conversation.",
    "Arguments and results of tools are sent with the latest conventions and sensitive data only.",
)
SCOPE: Final = "agent_framework"

KEYS: Final[Mapping[str, tuple[str, ...]]] = genai.KEYS
ALSO_READ: Final = genai.ALSO_READ
EVENTS: Final = genai.EVENTS
CONTENT: Final[Mapping[str, tuple[str, ...]]] = genai.CONTENT
CONTENT_PREFIXES: Final = genai.CONTENT_PREFIXES
RESPONSE_IDS: Final = ("resp_", "resp-")


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE and genai.OPERATION in span.attributes


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if labels.get("conversation_id", "").startswith(RESPONSE_IDS):
        del labels["conversation_id"]
    if found.get("tool_call_id") == "unknown":
        del found["tool_call_id"]


kind = genai.kind
role = genai.role
tool_requests = genai.tool_requests
content = genai.content
