"""What was decided about a run, in words: `agentrun runs show` below the tree of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import semconv
from otel_agentrun.rules.finding import LOCAL

__all__ = ["in_words"]

RULES: Final = "rule"
"""Actor of what the collector's rules decide."""
DONE: Final[Mapping[tuple[str, str], str]] = {
    ("stop", "block"): "stopped",
    ("approval", "approved"): "approved",
    ("approval", "refused"): "refused",
    ("approval", "expired"): "approval expired",
}


def in_words(name: str, said: Mapping[str, Any]) -> str:
    """One line about an event that control is made of; "" for others."""
    if name == semconv.DIRECTIVE_EVENT and (action := _text(said, semconv.DIRECTIVE_ACTION)):
        status = _text(said, semconv.DIRECTIVE_STATUS)
        if status == "requested":
            return f"{action} requested{_by(said)}{_because(said)}"
        error = _text(said, semconv.ERROR_MESSAGE)
        return f"{action} {status} by the application{': ' if error else ''}{error}"
    if name == semconv.APPROVAL_REQUESTED_EVENT:
        question = _text(said, semconv.APPROVAL_QUESTION) or _text(said, semconv.GEN_AI_TOOL_NAME)
        approval = _text(said, semconv.APPROVAL_ID)
        return f"approval requested{_by(said)}: {question} (approval {approval})"
    if name == semconv.DECISION_EVENT and (kind := _text(said, semconv.DECISION_KIND)):
        outcome = _text(said, semconv.DECISION_OUTCOME)
        what = DONE.get((kind, outcome)) or f"{kind} {outcome}".strip()
        return f"{what}{_by(said)}{_because(said)}"
    if name in (semconv.RUN_PAUSED_EVENT, semconv.RUN_RESUMED_EVENT):
        what = "paused" if name == semconv.RUN_PAUSED_EVENT else "resumed"
        return f"{what}{_by(said)}{_because(said)}"
    return ""


def _by(said: Mapping[str, Any]) -> str:
    actor = _text(said, semconv.ACTOR)
    rule = _text(said, semconv.DECISION_RULE)
    where = " in the application" if actor == LOCAL else ""
    if rule and actor in ("", RULES, LOCAL, rule):
        return f" by rule `{rule}`{where}"
    by = f" by {actor}" if actor else ""
    return f"{by} (rule `{rule}`)" if rule else by


def _because(said: Mapping[str, Any]) -> str:
    reason = _text(said, semconv.DECISION_REASON)
    return f": {reason}" if reason else ""


def _text(said: Mapping[str, Any], name: str) -> str:
    return str(said.get(name) or "")
