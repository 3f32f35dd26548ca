"""`agentrun runs show` tells what was decided about a run, and who decided it, in words."""

from __future__ import annotations

import pytest

from collector.cli.decisions import in_words
from otel_agentrun import semconv

DIRECTIVE = semconv.DIRECTIVE_EVENT


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        (
            DIRECTIVE,
            {"action": "kill", "status": "requested", "rule": "cents", "actor": "rule",
             "reason": "too dear"},
            "kill requested by rule `cents`: too dear",
        ),
        (
            DIRECTIVE,
            {"action": "kill", "status": "requested", "actor": "ada"},
            "kill requested by ada",
        ),
        (
            DIRECTIVE,
            {"action": "kill", "status": "acknowledged", "actor": "ada"},
            "kill acknowledged by the application",
        ),
        (
            DIRECTIVE,
            {"action": "pause", "status": "failed", "error": "no such run"},
            "pause failed by the application: no such run",
        ),
        (
            semconv.DECISION_EVENT,
            {"kind": "stop", "outcome": "block", "actor": "local rules", "rule": "cents",
             "reason": "too dear"},
            "stopped by rule `cents` in the application: too dear",
        ),
        (
            semconv.DECISION_EVENT,
            {"kind": "approval", "outcome": "approved", "actor": "ada", "rule": "refunds"},
            "approved by ada (rule `refunds`)",
        ),
        (semconv.DECISION_EVENT, {"kind": "route", "outcome": "gpt-5"}, "route gpt-5"),
        (
            semconv.APPROVAL_REQUESTED_EVENT,
            {"question": "Refund?", "approval": "a-1", "rule": "refunds"},
            "approval requested by rule `refunds`: Refund? (approval a-1)",
        ),
        (semconv.RUN_PAUSED_EVENT, {"actor": "refunds", "reason": "asked"},
         "paused by refunds: asked"),
        (semconv.RUN_RESUMED_EVENT, {}, "resumed"),
        ("agentrun.feedback", {"reason": "fine"}, ""),
    ],
)  # fmt: skip
def test_what_was_decided_is_said_in_words(name: str, said: dict[str, str], words: str) -> None:
    keys = {
        "action": semconv.DIRECTIVE_ACTION,
        "status": semconv.DIRECTIVE_STATUS,
        "actor": semconv.ACTOR,
        "rule": semconv.DECISION_RULE,
        "reason": semconv.DECISION_REASON,
        "error": semconv.ERROR_MESSAGE,
        "kind": semconv.DECISION_KIND,
        "outcome": semconv.DECISION_OUTCOME,
        "question": semconv.APPROVAL_QUESTION,
        "approval": semconv.APPROVAL_ID,
    }
    assert in_words(name, {keys[key]: value for key, value in said.items()}) == words
