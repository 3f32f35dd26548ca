"""May this call be made?  Answered from what is in memory: directives in force, the rules, and the
run's budgets as they were last folded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from collector.api.orders import Authorize
from collector.api.values import Document
from collector.control.control import Control
from collector.control.open_runs import OpenRuns
from collector.control.state import RunFacts
from collector.errors import ForbiddenError
from collector.runs.events import DECISION, make_event
from collector.runs.judge import RulesInForce, run_names
from collector.runs.run import Run
from otel_agentrun import semconv
from otel_agentrun.rules import Budget, BudgetUse, Policy, Rule, Ruleset, Selected
from otel_agentrun.rules.conduct import PolicyRule
from otel_agentrun.rules.finding import due, kind_of
from otel_agentrun.step import Event
from otel_agentrun.stops import stop_of_finding

__all__ = ["Asks", "Authorizer"]

log = logging.getLogger(__name__)

COUNTS: Final[Mapping[str, frozenset[str]]] = {
    "model": frozenset({"steps", "model_calls"}),
    "tool": frozenset({"steps", "tool_calls"}),
    "retrieve": frozenset({"steps", "retrievals"}),
}
"""Kind of call -> measures that it adds one to: the call that would go past a limit is refused."""
CALLS: Final = ("approval", "forbidden_tool")
DECIDED: Final[Mapping[str, tuple[str, str]]] = {
    "block": ("policy", "block"),
    "pause": ("pause", "block"),
    "ask": ("approval", "ask"),
}
"""Decision -> kind and outcome of the event that records it."""


class Asks(Protocol):
    """`collector.control.approvals.Approvals`."""

    def request(
        self,
        run_id: str,
        question: str,
        *,
        tool_name: str = "",
        tool_call_id: str = "",
        rule: str = "",
        rules_version: str = "",
        reason: str = "",
        actor: str = "",
        trace_id: str = "",
        workspace: str = "",
    ) -> Document: ...

    def list(self, *, state: str = "", run_id: str = "", workspace: str = "") -> list[Document]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one thing says about a call; the severest counts."""

    decision: str = "allow"
    reason: str = ""
    rule: str = ""
    stop_reason: str = ""
    approval_id: str = ""
    directive_id: str = ""
    is_new: bool = True
    """Whether to record it: an approval that is waited for was recorded when it was asked."""


SEVERITY: Final = ("allow", "warn", "ask", "pause", "block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The run a call is part of, as far as it is known."""

    run_id: str
    run: Run | None
    above: Sequence[Run]
    facts: RunFacts
    selected: Selected


class Authorizer:
    """`failing` says why runs are not folded at present, "" while they are: budgets cannot be
    evaluated then, and rules that fail closed block."""

    def __init__(
        self,
        control: Control,
        rules: RulesInForce,
        runs: OpenRuns,
        approvals: Asks,
        record: Callable[[Event], Event],
        *,
        failing: Callable[[], str] = str,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._control = control
        self._rules = rules
        self._runs = runs
        self._approvals = approvals
        self._record = record
        self._failing = failing
        self._now_ns = now_ns

    def __call__(self, asked: Authorize, *, actor: str, workspace: str = "") -> Document:
        """Raises ForbiddenError for a run of another workspace, RetryableError when a verdict other
        than allow cannot be recorded."""
        began = time.perf_counter()
        subject = self._subject(asked, workspace)
        verdicts = [
            *self._directives(subject),
            *self._policies(asked, subject, actor),
            *self._budgets(asked, subject),
        ]
        verdict = max(verdicts, key=lambda v: SEVERITY.index(v.decision), default=Verdict())
        if verdict.decision in DECIDED and verdict.is_new:
            self._decided(verdict, asked, subject, actor)
        decision = "allow" if verdict.decision == "warn" else verdict.decision
        self._control.stats.authorize(decision, time.perf_counter() - began)
        return {
            "decision": decision,
            "reason": verdict.reason or None,
            "rule": verdict.rule or None,
            "rules_version": subject.selected.version,
            "stop_reason": verdict.stop_reason or None,
            "approval_id": verdict.approval_id or None,
            "directive_id": verdict.directive_id or None,
            "run_id": subject.run_id,
            "warnings": [v.reason for v in verdicts if v.decision == "warn"],
            "budgets": [_budget(use) for use in (subject.run.budgets if subject.run else ())],
        }

    # ------------------------------------------------------------------ which run

    def _subject(self, asked: Authorize, workspace: str) -> Subject:
        run = self._runs.get(asked.run_id, asked.trace_id)
        run_id = run.run_id if run is not None else asked.run_id or asked.trace_id
        held = self._control.sessions.holds(run_id)
        own = run.workspace if run is not None else held.workspace if held is not None else None
        if workspace and own is not None and own != workspace:
            raise ForbiddenError(f"run {run_id!r} is not of workspace `{workspace}`")
        above = self._runs.above(run) if run is not None else []
        names: dict[str, object] = run_names(run) if run is not None else {}
        said: dict[str, object] = {
            **asked.labels,
            "agent_name": asked.agent or (held.agent if held is not None else ""),
            "environment": asked.environment,
            "workspace": workspace or (held.workspace if held is not None else ""),
        }
        # What the run is known to be wins over what the asker says of it.
        names = {**said, **{name: value for name, value in names.items() if value}}
        facts = RunFacts(
            run_id=run_id,
            agent=str(names["agent_name"] or ""),
            workspace=str(names["workspace"] or ""),
            # One that nobody knows begins now: no directive for earlier runs is about it.
            started_ns=(run.started_at_ns if run is not None else 0)
            or (held.started_ns if held is not None else 0)
            or self._now_ns(),
            above=tuple(each.run_id for each in above),
        )
        ruleset: Ruleset = self._rules.ruleset
        return Subject(
            run_id=run_id, run=run, above=above, facts=facts, selected=ruleset.select(names)
        )

    # ------------------------------------------------------------------ what says something

    def _directives(self, subject: Subject) -> Iterator[Verdict]:
        standing = self._control.standing(subject.facts)
        if standing is not None:
            killed = standing.action == "kill"
            yield Verdict(
                decision="block" if killed else "pause",
                reason=standing.reason
                or f"the run is {'stopped' if killed else 'paused'} by {standing.actor}",
                rule=standing.rule,
                stop_reason=standing.stop_reason,
                directive_id=standing.directive_id,
                approval_id=standing.approval_id,
            )

    def _policies(self, asked: Authorize, subject: Subject, actor: str) -> Iterator[Verdict]:
        for each in subject.selected.policies:
            policy = each.policy
            try:
                concerns = _concerns(each, asked, subject.facts.agent)
            except Exception as error:  # a bug of ours; the rule says what follows
                log.exception("policy_not_evaluated")
                yield from _unevaluated(policy, f"{type(error).__name__}")
                continue
            if not concerns:
                continue
            called = f"model `{asked.model}`" if asked.kind == "model" else f"`{asked.tool}`"
            before = sum(f.rule == policy.name for f in subject.run.findings) if subject.run else 0
            action = due(policy, (before + 1) / policy.limit)
            if policy.policy == "approval" and action == "pause" and not policy.dry_run:
                yield self._asked(policy, asked, subject, actor)
                continue
            needs = "needs approval" if policy.policy == "approval" else "is forbidden"
            yield _verdict(policy, action, f"{called} {needs}", "policy")

    def _budgets(self, asked: Authorize, subject: Subject) -> Iterator[Verdict]:
        budgets = {budget.name: budget for budget in subject.selected.budgets}
        trouble = self._failing()
        if trouble:
            for budget in budgets.values():
                yield from _unevaluated(budget, "runs are not folded at present")
            return
        for run in (subject.run, *subject.above):
            for use in run.budgets if run is not None else ():
                known = budgets.get(use.rule)
                if known is None:
                    continue
                after = use.used + (use.kind in COUNTS[asked.kind])
                share = after / use.limit if use.limit else float("inf") if after else 0.0
                whose = "the run" if run is subject.run else f"the run above it ({run.run_id})"  # type: ignore[union-attr]  # a run that has budgets
                yield _verdict(
                    known,
                    due(known, share),
                    f"{whose} has used {use.used:g} of {use.limit:g} {use.kind}",
                    stop_of_finding("budget", use.kind),
                )

    def _asked(self, policy: Policy, asked: Authorize, subject: Subject, actor: str) -> Verdict:
        """A person has to be asked, or was."""
        for known in self._approvals.list(run_id=subject.run_id):
            if known["tool"] != asked.tool or known["tool_call_id"] != (asked.tool_call_id or None):
                continue
            approval_id, by = known["approval_id"], known["answered_by"]
            match known["state"]:
                case "approved":
                    return Verdict(reason=f"approved by {by}", approval_id=approval_id)
                case "pending":
                    return Verdict(
                        decision="ask", reason="waits for approval", rule=policy.name,
                        approval_id=approval_id, is_new=False,
                    )  # fmt: skip
                case state:
                    reason = f"refused by {by}" if state == "refused" else "nobody approved in time"
                    return Verdict(
                        decision="block", reason=reason, rule=policy.name, approval_id=approval_id,
                        stop_reason="rejected" if state == "refused" else "approval_expired",
                    )  # fmt: skip
        run = subject.run
        reason = f"`{asked.tool}` needs approval"
        approval = self._approvals.request(
            subject.run_id,
            asked.question or f"May {subject.facts.agent or 'the agent'} call `{asked.tool}`?",
            tool_name=asked.tool,
            tool_call_id=asked.tool_call_id,
            rule=policy.name,
            rules_version=subject.selected.version,
            reason=reason,
            actor=actor,
            trace_id=run.trace_ids[0] if run is not None and run.trace_ids else asked.trace_id,
            workspace=subject.facts.workspace,
        )
        return Verdict(
            decision="ask", reason=reason, rule=policy.name, approval_id=approval["approval_id"]
        )

    # ------------------------------------------------------------------ recording

    def _decided(self, verdict: Verdict, asked: Authorize, subject: Subject, actor: str) -> None:
        kind, outcome = DECIDED[verdict.decision]
        run = subject.run
        attributes = {
            semconv.RUN_ID: subject.run_id,
            semconv.DECISION_KIND: "stop" if verdict.directive_id and kind == "policy" else kind,
            semconv.DECISION_OUTCOME: outcome,
            semconv.DECISION_REASON: verdict.reason,
            semconv.DECISION_RULE: verdict.rule,
            semconv.RULES_VERSION: subject.selected.version,
            semconv.ACTOR: actor,
            semconv.APPROVAL_ID: verdict.approval_id,
            semconv.DIRECTIVE_ID: verdict.directive_id,
            semconv.WORKSPACE: subject.facts.workspace,
            semconv.GEN_AI_AGENT_NAME: subject.facts.agent,
            semconv.GEN_AI_TOOL_NAME: asked.tool,
            semconv.GEN_AI_TOOL_CALL_ID: asked.tool_call_id,
            semconv.GEN_AI_REQUEST_MODEL: asked.model,
        }
        event = make_event(
            DECISION,
            self._now_ns(),
            trace_id=run.trace_ids[0] if run is not None and run.trace_ids else asked.trace_id,
            run_id=subject.run_id,
            attributes={key: text for key, text in attributes.items() if text},
        )
        self._control.heard([self._record(event)])


def _concerns(rule: PolicyRule, asked: Authorize, agent: str) -> bool:
    policy = rule.policy
    if policy.policy == "forbidden_model":
        return asked.kind == "model" and bool(rule.models.match(asked.model))
    if policy.policy in CALLS and asked.kind != "model" and asked.tool:
        return rule.asks_about(asked.tool, agent, asked.arguments)
    return False


def _verdict(rule: Rule, action: str | None, reason: str, stop_reason: str) -> Verdict:
    if rule.dry_run or action not in ("pause", "kill"):
        return Verdict(decision="warn" if action else "allow", reason=reason, rule=rule.name)
    decision = "block" if action == "kill" else "pause"
    return Verdict(decision=decision, reason=reason, rule=rule.name, stop_reason=stop_reason)


def _unevaluated(rule: Rule, why: str) -> Iterator[Verdict]:
    """A rule that fails closed blocks; one that fails open says nothing."""
    acts = not rule.dry_run and rule.escalate.keys() & {"pause", "kill"}
    if rule.fail == "closed" and acts:
        measure = rule.measure if isinstance(rule, Budget) else ""
        yield Verdict(
            decision="block",
            reason=f"rule `{rule.name}` cannot be evaluated ({why}) and fails closed",
            rule=rule.name,
            stop_reason=stop_of_finding(kind_of(rule), measure),
        )


def _budget(use: BudgetUse) -> dict[str, Any]:
    return {
        "rule": use.rule,
        "kind": use.kind,
        "limit": use.limit,
        "used": use.used,
        "remaining": use.remaining,
    }
