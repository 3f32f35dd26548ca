"""Tools that answer with an error instead of failing: `{"status": "error", ...}`.

Google ADK asks tools to report so (adk-docs, tools/function-tools), and does it itself for calls
it cannot make (`{"error": "..."}`) and, by `ReflectAndRetryToolPlugin`, for those that raised;
their spans end as if all was well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects.tables import Found
from otel_agentrun.step import as_text
from otel_agentrun.typed_errors import typed_error

FAILED: Final = frozenset({"error", "failed", "failure"})
REFLECTED: Final = "ERROR_HANDLED_BY_REFLECT_AND_RETRY_PLUGIN"
"""`response_type` of an answer that ADK's plugin gives for a tool that raised."""
MESSAGE_KEYS: Final = ("error_message", "error", "error_details", "message", "report")
NOTHING: Final = (None, "", False, 0)
TOOL_ERROR: Final = "tool_error"
"""The type of an error that says nothing more."""


def soft_error(found: Found) -> None:
    """Make the error that a tool's result reports the step's own."""
    sent = found.get("result")
    if sent is None or (type(sent) is str and "error" not in sent and "fail" not in sent):
        return
    answer = arguments.parse(sent) if isinstance(sent, str) else sent
    if not isinstance(answer, Mapping):
        return
    status, error = answer.get("status"), answer.get("error")
    raised = as_text(answer.get("error_type") or "") if _is_reflected(answer) else ""
    failed = raised != "" or (isinstance(status, str) and status.lower() in FAILED)
    if not failed and (error in NOTHING or "result" in answer or status is not None):
        return
    message = _message(answer)
    found["status"] = "error"
    found.setdefault("error_message", message)
    found.setdefault("error_type", typed_error(raised, message) or raised or TOOL_ERROR)


def _is_reflected(answer: Mapping[str, Any]) -> bool:
    return answer.get("response_type") == REFLECTED


def _message(answer: Mapping[str, Any]) -> str:
    return next((as_text(answer[key]) for key in MESSAGE_KEYS if answer.get(key)), "")
