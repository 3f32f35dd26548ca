"""What a collector tells this application to do, and what is done about it.

| action | what happens |
|---|---|
| `kill`, `pause` | a verdict about the runs in scope that are open here |
| `resume` | the same runs go on |
| `approve`, `refuse` | what waits for the approval is answered |
| `flag`, `warn`, `throttle` | the hook `directive` is called, and a line is logged |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_agentrun import lifecycle, semconv
from otel_agentrun.verdicts import OpenRun, Verdict, Verdicts

if TYPE_CHECKING:
    from otel_agentrun.control_pb2 import Directive

__all__ = ["Directed", "Directives"]

REMEMBERED_MAX: Final = 1024
"""Directives whose answer is remembered: they come again after a reconnection."""
Answers = tuple[Mapping[str, Any], ...]
NOT_HERE: Final = "no such run is open in this process"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directed:
    """What the hook `directive` gets of a directive that stops nothing."""

    action: str
    """`flag`, `warn` or `throttle`."""
    run_ids: tuple[str, ...]
    """Runs here that it is about."""
    reason: str = ""
    rule: str = ""
    actor: str = ""


class Directives:
    """Carries them out.  Only one thread may call it."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._answers: dict[str, Answers] = {}

    def carry_out(self, directive: Directive, now_ns: int) -> Answers:
        """Do it, and give the attributes of the events that answer it, one for each run that it
        concerned; (): it is about runs that are elsewhere."""
        known = self._answers.get(directive.id)
        if known is not None:
            return known
        scope = directive.WhichOneof("scope") or ""
        try:
            run_ids, error = self._do(directive, scope, now_ns)
        except Exception as trouble:
            _log.exception("directive_failed action=%s", directive.action)
            run_ids, error = (), f"the SDK failed: {type(trouble).__name__}"
        if not run_ids and not error:
            if scope != "run_id":
                return ()
            error = NOT_HERE
        named = run_ids or (directive.run_id,)
        answers = tuple(_answer(directive, scope, run_id, error) for run_id in named)
        if directive.id and error != NOT_HERE:  # the run may begin in a moment
            while len(self._answers) >= REMEMBERED_MAX:
                del self._answers[next(iter(self._answers))]
            self._answers[directive.id] = answers
        return answers

    def _do(self, directive: Directive, scope: str, now_ns: int) -> tuple[tuple[str, ...], str]:
        """Runs that it concerned, and why it failed."""
        if directive.expires_unix_ns and now_ns >= directive.expires_unix_ns:
            return (), "it had expired when it arrived"
        action = directive.action
        if action in ("kill", "pause", "refuse"):
            return self._give(directive, scope), ""
        if action not in ("resume", "approve", "flag", "warn", "throttle"):
            return (), f"this version of the SDK knows no action {action!r}"
        found = [run.run_id for run in self._open(directive, scope)]
        if action == "resume":
            return tuple(run_id for run_id in found if self._verdicts.lift(run_id)), ""
        if action == "approve":
            asked = found or [directive.run_id]
            if self._verdicts.lift(asked[0], approval_id=directive.approval_id):
                return (asked[0],), ""
            return (), "nothing here waits for this approval"
        if found:
            _tell(directive, tuple(found))
        return tuple(found), ""

    def _give(self, directive: Directive, scope: str) -> tuple[str, ...]:
        is_pause = directive.action == "pause"
        is_refusal = directive.action == "refuse"
        stop_reason = directive.stop_reason
        if stop_reason not in semconv.STOP_REASON_VALUES:
            stop_reason = "rejected" if is_refusal else "killed_by_operator"
        verdict = Verdict(
            action="pause" if is_pause else "kill",
            stop_reason="" if is_pause else stop_reason,
            reason=directive.reason,
            rule=directive.rule,
            rules_version=directive.rules_version,
            span_ids=tuple(directive.span_ids),
            actor=directive.actor,
            directive_id=directive.id,
            approval_id=directive.approval_id if is_refusal else "",
            at_ns=directive.at_unix_ns,
        )
        if directive.workspace_limit:
            # One by one: only those that the giver may reach.
            return tuple(
                run_id
                for run in self._open(directive, scope)
                for run_id in self._verdicts.give(verdict, run_id=run.run_id)
            )
        target: dict[str, Any] = {scope: getattr(directive, scope)} if scope else {}
        return self._verdicts.give(verdict, **target, before_ns=directive.at_unix_ns)

    def _open(self, directive: Directive, scope: str) -> list[OpenRun]:
        """Runs here that it is about.  A scope wider than a run is about those that had begun when
        it was given."""
        limit, before_ns = directive.workspace_limit, directive.at_unix_ns
        found = []
        for run in self._verdicts.open_runs():
            if limit and run.workspace != limit:
                continue
            if scope == "run_id":
                is_meant = run.run_id == directive.run_id
            else:
                is_meant = (not before_ns or run.started_ns < before_ns) and (
                    (scope == "agent" and run.agent == directive.agent)
                    or (scope == "workspace" and run.workspace == directive.workspace)
                    or (scope == "everything" and directive.everything)
                )
            if is_meant:
                found.append(run)
        return found


def _tell(directive: Directive, run_ids: tuple[str, ...]) -> None:
    lifecycle.fire(
        "directive",
        Directed(
            action=directive.action, run_ids=run_ids, reason=directive.reason,
            rule=directive.rule, actor=directive.actor,
        ),
    )  # fmt: skip
    level = logging.INFO if directive.action == "flag" else logging.WARNING
    _log.log(
        level, "run_directed action=%s runs=%s rule=%s actor=%s reason=%s",
        directive.action, ",".join(run_ids), directive.rule, directive.actor, directive.reason,
    )  # fmt: skip


def _answer(directive: Directive, scope: str, run_id: str, error: str) -> dict[str, Any]:
    said = {
        semconv.DIRECTIVE_ID: directive.id,
        semconv.DIRECTIVE_ACTION: directive.action,
        semconv.DIRECTIVE_STATUS: "failed" if error else "acknowledged",
        semconv.DIRECTIVE_SCOPE: "run" if scope == "run_id" else scope,
        semconv.RUN_ID: run_id,
        semconv.GEN_AI_AGENT_NAME: directive.agent,
        semconv.WORKSPACE: directive.workspace,
        semconv.APPROVAL_ID: directive.approval_id,
        semconv.DECISION_RULE: directive.rule,
        semconv.ACTOR: directive.actor,
        semconv.STOP_REASON: directive.stop_reason,
        semconv.ERROR_MESSAGE: error,
    }
    return {name: value for name, value in said.items() if value}
