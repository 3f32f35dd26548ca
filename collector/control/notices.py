"""What a webhook tells: notices made of control events and of runs that ended, and their bodies.

Pure.  A notice's id follows from what it is about: read again from the journal, or by another
collector, the same thing is the same notice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from collector.runs.document import rfc3339
from collector.runs.events import APPROVAL_REQUESTED, DECISION, DIRECTIVE, FINDING
from collector.runs.run import Run
from otel_agentrun import semconv
from otel_agentrun.rules.schema import ACTIONS
from otel_agentrun.step import Event

__all__ = ["Notice", "Wanted", "json_body", "notice_of_event", "notice_of_run", "slack_body"]

OPEN: Final = frozenset({"initiated", "running", "paused"})
NEWS_NS: Final = 86_400 * 1_000_000_000
"""A run that ended longer ago is history: old spans were imported, or a run was judged anew."""
SLACK_CHARS: Final = 2900
"""A section takes 3000 characters."""

KEYS: Final[Mapping[str, str]] = {
    "rule": semconv.DECISION_RULE,
    "reason": semconv.DECISION_REASON,
    "actor": semconv.ACTOR,
    "tool": semconv.GEN_AI_TOOL_NAME,
    "tool_call_id": semconv.GEN_AI_TOOL_CALL_ID,
    "approval_id": semconv.APPROVAL_ID,
    "directive_id": semconv.DIRECTIVE_ID,
    "agent_name": semconv.GEN_AI_AGENT_NAME,
    "workspace": semconv.WORKSPACE,
    "rules_version": semconv.RULES_VERSION,
    "policy_version": semconv.POLICY_VERSION,
    "stop_reason": semconv.STOP_REASON,
}
"""Field of a notice -> attribute of the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one webhook wants to hear of."""

    events: frozenset[str]
    """finding, approval, stop, run_ended"""
    finding_action: str = "warn"
    """The mildest action of a finding that is told."""
    statuses: frozenset[str] = frozenset()
    """Of runs that ended; none: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell.  `data` is JSON-ready, flat, and without empty values."""

    notice_id: str
    type: str
    """finding, approval.requested, approval.answered, stop.requested, stop.acknowledged,
    stop.failed, run.ended"""
    at_ns: int
    run_id: str
    data: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        return {
            "id": self.notice_id,
            "type": self.type,
            "at": rfc3339(self.at_ns),
            "run_id": self.run_id or None,
            "data": dict(self.data),
        }


def notice_of_event(event: Event, wanted: Wanted) -> Notice | None:
    """`None` where the webhook does not want to hear of it."""
    said = event.attributes
    run_id = event.run_id or said.get(semconv.RUN_ID, "")
    data: dict[str, Any] = {name: said[key] for name, key in KEYS.items() if said.get(key)}
    if event.name == FINDING and "finding" in wanted.events:
        return _finding(event, run_id, data, wanted)
    if event.name == APPROVAL_REQUESTED and "approval" in wanted.events:
        expires = said.get(semconv.APPROVAL_EXPIRES_UNIX_NS, "")
        data["question"] = said.get(semconv.APPROVAL_QUESTION, "")
        data["expires_at"] = rfc3339(int(expires)) if expires.isdecimal() else None
        return _notice(event.event_id, "approval.requested", event, run_id, data)
    if event.name == DECISION and semconv.APPROVAL_ID in said and "approval" in wanted.events:
        outcome = said.get(semconv.DECISION_OUTCOME, "")
        if outcome in ("approved", "refused", "expired"):
            data["outcome"] = outcome
            return _notice(event.event_id, "approval.answered", event, run_id, data)
    if event.name == DIRECTIVE and "stop" in wanted.events:
        status = said.get(semconv.DIRECTIVE_STATUS, "")
        if said.get(semconv.DIRECTIVE_ACTION) == "kill" and status in (
            "requested", "acknowledged", "failed",
        ):  # fmt: skip
            data["scope"] = said.get(semconv.DIRECTIVE_SCOPE, "")
            data["error"] = said.get(semconv.ERROR_MESSAGE, "")
            return _notice(event.event_id, f"stop.{status}", event, run_id, data)
    return None


def notice_of_run(run: Run, wanted: Wanted, now_ns: int) -> Notice | None:
    """`None` for a run that has not ended, ended long ago, or has another status than wanted."""
    if (
        "run_ended" not in wanted.events
        or run.status in OPEN
        or run.ended_at_ns < now_ns - NEWS_NS
        or (wanted.statuses and run.status not in wanted.statuses)
    ):
        return None
    known = run.cost_confidence != "unknown"
    data = {
        "status": run.status,
        "stop_reason": run.stop_reason,
        "outcome": run.outcome,
        "failure_mode": run.failure_mode,
        "error_type": run.error_type,
        "error_message": run.error_message,
        "agent_name": run.agent_name,
        "workspace": run.workspace,
        "parent_run_id": run.parent_run_id,
        "started_at": rfc3339(run.started_at_ns),
        "ended_at": rfc3339(run.ended_at_ns),
        "steps": run.own.steps,
        "cost_usd": run.own.cost_nano_usd / 1e9 if known else None,
    }
    return Notice(
        notice_id=_digest("run", run.run_id, run.workspace, run.status),
        type="run.ended",
        at_ns=run.ended_at_ns,
        run_id=run.run_id,
        data=_without_empty(data),
    )


def json_body(document: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """`document` is a notice's; `run` what is known of its run."""
    return {**document, "run": dict(run) or None}


def slack_body(document: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """`text` for notifications, `blocks` for reading; an open question says how to answer it."""
    data, run_id = document["data"], document["run_id"] or ""
    title = _title(document["type"], data)
    agent = data.get("agent_name") or run.get("agent_name") or ""
    where = " · ".join(
        part
        for part in (
            f"agent {_escaped(agent)}" if agent else "",
            f"run `{_escaped(run_id)}`" if run_id else "",
            _escaped(str(run.get("environment") or "")),
            _escaped(str(document["at"] or "")),
        )
        if part
    )
    said = [data.get("question"), data.get("explanation"), data.get("error_message")]
    if document["type"] != "finding":
        said.append(data.get("reason"))
    words = "\n".join(_escaped(str(text)) for text in said if text)
    blocks = [_section(f"*{_escaped(title)}*" + (f"\n{words}" if words else ""))]
    if document["type"] == "approval.requested":
        approval = data.get("approval_id", "")
        blocks.append(
            _section(
                "Answer with"
                f"\n`agentrun runs approve {_escaped(run_id)} --approval {_escaped(approval)}`"
                f"\n`agentrun runs refuse {_escaped(run_id)} --approval {_escaped(approval)}`"
                f"\nor `POST /v1/runs/{_escaped(run_id)}/approve`"
                + (f", until {_escaped(str(data['expires_at']))}" if "expires_at" in data else "")
            )
        )
    blocks.append(
        {"type": "context", "elements": [{"type": "mrkdwn", "text": where or "agentrun"}]}
    )
    return {"text": _escaped(title), "blocks": blocks}


def _finding(event: Event, run_id: str, data: dict[str, Any], wanted: Wanted) -> Notice | None:
    said = event.attributes
    action = said.get(semconv.FINDING_ACTION, "")
    if (
        action not in ACTIONS
        or ACTIONS.index(action) < ACTIONS.index(wanted.finding_action)
        or semconv.FINDING_DRY_RUN in said
        or semconv.FINDING_WITHDRAWN in said
    ):
        return None
    spans = said.get(semconv.FINDING_SPAN_IDS, "")
    data |= {
        "rule": said.get(semconv.FINDING_RULE, ""),
        "kind": said.get(semconv.FINDING_KIND, ""),
        "severity": said.get(semconv.FINDING_SEVERITY, ""),
        "action": action,
        "explanation": said.get(semconv.FINDING_EXPLANATION, ""),
        "span_ids": spans.split(",") if spans else None,
    }
    # A finding grows, with an event each time: it is told once for each action it calls for.
    finding_id = said.get(semconv.FINDING_ID) or event.event_id
    return _notice(_digest("finding", finding_id, action), "finding", event, run_id, data)


def _notice(
    notice_id: str, type_: str, event: Event, run_id: str, data: Mapping[str, Any]
) -> Notice:
    return Notice(
        notice_id=notice_id,
        type=type_,
        at_ns=event.at_ns,
        run_id=run_id,
        data=_without_empty(data),
    )


def _without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value not in ("", None)}


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _title(type_: str, data: Mapping[str, Any]) -> str:
    match type_:
        case "finding":
            return f"Rule {data.get('rule', '')} calls for {data.get('action', '')}"
        case "approval.requested":
            tool = f": {data['tool']}" if data.get("tool") else ""
            return f"An agent asks for approval{tool}"
        case "approval.answered":
            by = f" by {data['actor']}" if data.get("actor") else ""
            return f"The request for approval was {data.get('outcome', '')}{by}"
        case "run.ended":
            why = f" ({data['stop_reason']})" if data.get("stop_reason") else ""
            return f"A run {data.get('status', 'ended').replace('_', ' ')}{why}"
    what = {"requested": "is to be stopped", "acknowledged": "was stopped"}
    scope = "A run" if data.get("scope") in ("run", None) else f"Runs ({data['scope']})"
    return f"{scope} {what.get(type_.partition('.')[2], 'could not be stopped')}"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SLACK_CHARS]}}


def _escaped(text: str) -> str:
    """Slack's three control characters; a backtick would end the code around an id."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")
