"""How a step ended, and with what error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun.dialects import kinds
from otel_agentrun.step import SpanView, Status, as_text
from otel_agentrun.typed_errors import class_name, typed_error

MESSAGE_CHARS_MAX: Final = 300
SCANNED_CHARS_MAX: Final = 4000

STATUSES: Final[Mapping[str, Status]] = {
    **{status.value: status for status in Status},
    "ok": kinds.SUCCESS,
    "failure": kinds.ERROR,
    "failed": kinds.ERROR,
    "canceled": kinds.CANCELLED,
}
NO_ERROR: Final = (kinds.SUCCESS, "", "")
TRACEBACK: Final = "Traceback (most recent call last)"
NAMED: Final = re.compile(r"([A-Za-z_][\w.]*)(?:\((['\"])(.*)\2,?\)|: (.*))", re.DOTALL)
CLASS: Final = re.compile(r"(?:[A-Z][a-z0-9]+){2,}$|.*(?:Error|Exception|Timeout|Exceeded)$")


def outcome(
    span: SpanView, stated: str = "", error: str = "", said: str = ""
) -> tuple[Status, str, str]:
    """(status, error type, error message) of a span.

    `stated` is what the emitter says in an attribute of its own, `error` its `error.type`, `said`
    a message that its dialect found.  An
    exception event alone is no failure (LangGraph passes control between agents by exceptions)
    unless it escaped a span whose status says nothing.
    """
    code = span.status_code
    if not stated and not error and code != "Error" and not (code == "Unset" and span.events):
        return NO_ERROR
    explicit = STATUSES.get(stated.lower()) if stated else None
    failed = code == "Error" or (error != "" and code != "Ok")
    if not failed and explicit in (None, kinds.SUCCESS, kinds.SKIPPED):
        if not (code == "Unset" and span.events and _escaped(span)):
            return (explicit or kinds.SUCCESS, "", "")
        failed = True
    exception = _exception(span)
    message, named = _unwrap(span.status_message)
    raised = as_text(exception.get("exception.message") or "")
    raised_type = as_text(exception.get("exception.type") or "")
    if raised_type == "Exception" and TRACEBACK in raised:  # LangSmith has the text of an error
        raised, raised_type = _unwrap(raised)
    if not message:
        message = first_line(raised or span.text("error.message") or said)
    name = class_name(error or raised_type or named)
    http = span.integer("http.response.status_code", "http.status_code", "error.code")
    typed = typed_error(name, message or span.status_message[:SCANNED_CHARS_MAX], http)
    status = explicit or kinds.ERROR
    if status is kinds.ERROR or (failed and explicit is kinds.SUCCESS):
        status = {"timeout": kinds.TIMEOUT, "cancelled": kinds.CANCELLED}.get(typed, kinds.ERROR)
    return (status, typed or name, message)


def _unwrap(text: str) -> tuple[str, str]:
    """(message, class name) of `Name('message')`, `Name: message` or a bare message."""
    text = text[:SCANNED_CHARS_MAX].partition(TRACEBACK)[0].strip()
    matched = NAMED.fullmatch(text)
    name = class_name(matched.group(1)) if matched else ""
    if matched is None or not CLASS.match(name):
        return (first_line(text), "")
    quoted, plain = matched.group(3), matched.group(4)
    inner = quoted.partition("\\n")[0] if quoted is not None else plain
    return (first_line(inner) or first_line(text), name)


def _escaped(span: SpanView) -> bool:
    return any(
        event.name == "exception"
        and str(event.attributes.get("exception.escaped", "")).lower() == "true"
        for event in span.events
    )


def _exception(span: SpanView) -> Mapping[str, Any]:
    for event in reversed(span.events):
        if event.name == "exception":
            return event.attributes
    return {}


def first_line(text: str) -> str:
    """The first line that says something, without a traceback, at most 300 characters; with those
    that follow where it ends with a colon."""
    text = text[:SCANNED_CHARS_MAX].partition(TRACEBACK)[0].strip()
    line = text.partition("\n")[0].strip()
    if line.endswith(":"):
        line = " ".join(text.split())
    return line[:MESSAGE_CHARS_MAX]
