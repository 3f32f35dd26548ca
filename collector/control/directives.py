"""Directives: what an application is told to do, as values, as events and as documents.

A directive is an event `agentrun.directive` with the status `requested`; every answer to it is
another such event with the same id (`acknowledged`, or `failed` and why).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from collector.runs.document import rfc3339
from collector.runs.events import DIRECTIVE, make_event
from otel_agentrun import semconv
from otel_agentrun.step import Event

__all__ = ["Action", "Answer", "Directive", "Scope", "answer_of", "directive_of", "event_of"]

Action = Literal["flag", "warn", "throttle", "pause", "resume", "kill", "approve", "refuse"]
ACTIONS: Final = frozenset(get_args(Action))
Scope = Literal["run", "agent", "workspace", "everything"]
SCOPES: Final = frozenset(get_args(Scope))
REQUESTED: Final = "requested"
ANSWERS: Final = frozenset({"acknowledged", "failed"})
STOPPED: Final = "killed_by_operator"
"""Stop reason of a run that a person stopped."""
TEXTS: Final[Mapping[str, str]] = {
    "reason": semconv.DECISION_REASON,
    "stop_reason": semconv.STOP_REASON,
    "rule": semconv.DECISION_RULE,
    "rules_version": semconv.RULES_VERSION,
    "policy_version": semconv.POLICY_VERSION,
    "actor": semconv.ACTOR,
    "approval_id": semconv.APPROVAL_ID,
    "tool_call_id": semconv.GEN_AI_TOOL_CALL_ID,
    "tool_name": semconv.GEN_AI_TOOL_NAME,
    "finding_id": semconv.FINDING_ID,
    "workspace_limit": semconv.DIRECTIVE_WORKSPACE_LIMIT,
}
"""Field -> attribute of the event, where the value is one text."""
TARGETS: Final[Mapping[str, str]] = {
    "run": semconv.RUN_ID,
    "agent": semconv.GEN_AI_AGENT_NAME,
    "workspace": semconv.WORKSPACE,
}
"""Scope -> attribute that says whom it concerns; `everything` needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What an application has to do; see schemas/control.proto for the fields."""

    action: Action
    scope: Scope = "run"
    target: str = ""
    """Run id, agent or workspace, by scope; "" for everything."""
    directive_id: str = ""
    """"" lets `Control.direct` choose one."""
    reason: str = ""
    stop_reason: str = ""
    rule: str = ""
    rules_version: str = ""
    policy_version: str = ""
    span_ids: tuple[str, ...] = ()
    actor: str = ""
    approval_id: str = ""
    tool_call_id: str = ""
    tool_name: str = ""
    finding_id: str = ""
    workspace_limit: str = ""
    trace_id: str = ""
    """Of the run, where it is known; with `workspace` it ties the event to the run."""
    workspace: str = ""
    """Of the run, where it is known."""
    at_ns: int = 0
    expires_ns: int = 0
    """0: when it has been remembered for long enough."""

    @property
    def run_id(self) -> str:
        """ "" for a wider scope."""
        return self.target if self.scope == "run" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an application said to a directive, for one of the runs that it concerned."""

    directive_id: str
    status: str
    """acknowledged or failed"""
    run_id: str = ""
    at_ns: int = 0
    error: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id or None,
            "status": self.status,
            "at": rfc3339(self.at_ns),
            "error": self.error or None,
        }


def event_of(directive: Directive) -> Event:
    """The event that a directive is, status `requested`."""
    attributes = {
        semconv.DIRECTIVE_ID: directive.directive_id,
        semconv.DIRECTIVE_ACTION: directive.action,
        semconv.DIRECTIVE_STATUS: REQUESTED,
        semconv.DIRECTIVE_SCOPE: directive.scope,
    }
    if directive.scope in TARGETS:
        attributes[TARGETS[directive.scope]] = directive.target
    for name, key in TEXTS.items():
        if value := getattr(directive, name):
            attributes[key] = value
    if directive.run_id and directive.workspace:
        attributes[semconv.WORKSPACE] = directive.workspace
    if directive.span_ids:
        attributes[semconv.FINDING_SPAN_IDS] = ",".join(directive.span_ids)
    if directive.expires_ns:
        attributes[semconv.DIRECTIVE_EXPIRES_UNIX_NS] = str(directive.expires_ns)
    return make_event(
        DIRECTIVE,
        directive.at_ns,
        trace_id=directive.trace_id,
        run_id=directive.run_id,
        attributes=attributes,
    )


def directive_of(event: Event) -> Directive | None:
    """The directive that an event is; `None` for an answer and for what cannot be one."""
    said = event.attributes
    action = said.get(semconv.DIRECTIVE_ACTION, "")
    scope = said.get(semconv.DIRECTIVE_SCOPE, "run")
    directive_id = said.get(semconv.DIRECTIVE_ID, "")
    target = said.get(TARGETS[scope], "") if scope in TARGETS else ""
    if (
        event.name != DIRECTIVE
        or said.get(semconv.DIRECTIVE_STATUS) != REQUESTED
        or action not in ACTIONS
        or scope not in SCOPES
        or not directive_id
        or (scope in TARGETS and not target)
    ):
        return None
    spans = said.get(semconv.FINDING_SPAN_IDS, "")
    return Directive(
        action=cast("Action", action),
        scope=cast("Scope", scope),
        target=target,
        directive_id=directive_id,
        span_ids=tuple(spans.split(",")) if spans else (),
        trace_id=event.trace_id,
        workspace=said.get(semconv.WORKSPACE, "") if scope == "run" else "",
        at_ns=event.at_ns,
        expires_ns=_int(said.get(semconv.DIRECTIVE_EXPIRES_UNIX_NS, "")),
        **{name: said.get(key, "") for name, key in TEXTS.items()},
    )


def answer_of(event: Event) -> Answer | None:
    """The answer that an event is; `None` for a directive itself."""
    said = event.attributes
    status = said.get(semconv.DIRECTIVE_STATUS, "")
    directive_id = said.get(semconv.DIRECTIVE_ID, "")
    if event.name != DIRECTIVE or status not in ANSWERS or not directive_id:
        return None
    return Answer(
        directive_id=directive_id,
        status=status,
        run_id=event.run_id or said.get(semconv.RUN_ID, ""),
        at_ns=event.at_ns,
        error=said.get(semconv.ERROR_MESSAGE, ""),
    )


def _int(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 20 else 0
