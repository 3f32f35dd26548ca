"""Rules that act in the application, the collector reachable or not.

Every run has a `WatchedRun`: it is told of each step that ended, and asked before each that begins.
What its rules find is told at once (`agentrun.finding`, with the id that the collector gives the
same finding), and a `kill` or `pause` becomes the run's verdict.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_agentrun import arguments, dialects, enforcement, lifecycle, runtime, semconv
from otel_agentrun.calls import Call
from otel_agentrun.current import RunScope
from otel_agentrun.dialects import kinds
from otel_agentrun.rules import Ending, Finding, Ruleset, Seen, Selected, Spent, Watch, action
from otel_agentrun.rules import severity as severity_of
from otel_agentrun.rules.budgets import (
    CALL_MEASURES,
    NO_UNKNOWN,
    Drawn,
    Price,
    Unknown,
    amount_of,
    limit_for,
)
from otel_agentrun.rules.finding import LOCAL
from otel_agentrun.rules.schema import ACTIONS, Policy, Rule
from otel_agentrun.sketch import sketch
from otel_agentrun.span_view import raw
from otel_agentrun.step import SpanView, Step
from otel_agentrun.stops import stop_of_finding
from otel_agentrun.tool_gate import ToolGate
from otel_agentrun.verdicts import Verdict

__all__ = ["Demand", "LocalRules", "WatchedRun"]

NANO: Final = 1_000_000_000
SPANS_MAX: Final = 64
"""Span ids of one finding that are told."""
STEPS_MAX: Final = 4096
"""Steps of one run that are kept; of a longer one the newest, and what was found out before."""
PAUSE_SECS: Final = 3600.0
"""How long a run that a rule paused waits for an operator."""

NAMES: Final[Mapping[str, str]] = {
    "agent_id": semconv.AGENT_ID,
    "agent_role": semconv.AGENT_ROLE,
    "agent_type": semconv.AGENT_TYPE,
    "agent_version": semconv.AGENT_VERSION,
    "workflow_name": semconv.GEN_AI_WORKFLOW_NAME,
    "task_type": semconv.TASK_TYPE,
    "workspace": semconv.WORKSPACE,
    "department": semconv.DEPARTMENT,
    "virtual_key": semconv.VIRTUAL_KEY,
    "user_id": semconv.USER_ID,
    "session_id": semconv.SESSION_ID,
    "conversation_id": semconv.CONVERSATION_ID,
    "trigger": semconv.RUN_TRIGGER,
    "execution": semconv.RUN_EXECUTION,
    "service_name": "service.name",
    "environment": "deployment.environment.name",
    "app_version": "service.version",
}
"""Name in a rule's `match` -> attribute of the run's span, of its spans, or of the resource."""
BY_WORDS: Final = frozenset({"near_duplicate", "reworded", "no_progress"})
"""Patterns that look at the words of arguments."""
METERED: Final = frozenset(
    {
        "steps", "model_calls", "tool_calls", "retrievals", "retries", "plan_steps", "tokens",
        "input_tokens", "output_tokens", "cost_usd",
    }
)  # fmt: skip


class Demand:
    """A call that is about to begin needs a person's approval."""

    __slots__ = ("call", "rule", "span_id")

    def __init__(self, rule: Policy, call: Call, span_id: str) -> None:
        self.rule = rule
        self.call = call
        self.span_id = span_id
        """The model call that asked for it; "" not known."""


class LocalRules:
    """The rules in force in this process."""

    def __init__(self, ruleset: Ruleset, price: Price | None = None) -> None:
        self.ruleset = ruleset
        self._price = price

    def watch(self, scope: RunScope, span: ReadableSpan) -> WatchedRun:
        """Begin to watch a run, at its first span."""
        resource = span.resource.attributes if span.resource is not None else {}
        said = {**resource, **scope.stamps, **raw(span)}
        names: dict[str, object] = {}
        if self.ruleset.names:
            names = {name: said[key] for name, key in NAMES.items() if key in said}
            names["agent_name"] = scope.agent_name or said.get(semconv.GEN_AI_AGENT_NAME, "")
            prefix = semconv.TAG_PREFIX
            names["tags"] = {k[len(prefix) :]: v for k, v in said.items() if k.startswith(prefix)}
        selected = self.ruleset.select(names)
        environment = str(said.get("deployment.environment.name", ""))
        return WatchedRun(scope, selected, span.start_time or 0, environment, self._price)


class WatchedRun:
    """One run under its rules.  Threads may share one."""

    def __init__(
        self,
        scope: RunScope,
        selected: Selected,
        started_ns: int,
        environment: str,
        price: Price | None,
    ) -> None:
        self.scope = scope
        self.selected = selected
        self.started_ns = started_ns
        self.above: WatchedRun | None = scope.parent.watched if scope.parent is not None else None
        self.gate = ToolGate(selected.policies)
        self._forbidden = [p for p in selected.policies if p.policy.policy == "forbidden_model"]
        self._watch = Watch(selected, price=price, approved=self.gate.approved)
        self._lock = threading.RLock()
        self._budgets = [
            (budget, limit, limit * min(budget.escalate.values()))
            for budget in selected.budgets
            if budget.per == "run"
            for limit in (limit_for(budget, environment),)
        ]
        self._wall = [each for each in self._budgets if each[0].measure == "wall_secs"]
        self._told: dict[str, int] = {}
        """Finding id -> the action that was told, as its place in ACTIONS."""
        self._counts: dict[str, int] = {}
        """Policy -> calls that it was enforced against."""
        self._unknown_below: Unknown = NO_UNKNOWN
        self._depth = 1
        self._fan_out = 0
        self._children = 0
        self._compares_words = bool(selected.floors.keys() & BY_WORDS)
        self.reads_arguments = self.gate.judges_arguments
        self._fails_closed = [rule for rule in selected.by_name.values() if rule.fail == "closed"]
        level, above = 1, self.above
        if above is not None:
            above._children += 1
            above._fan_out = max(above._fan_out, above._children)
        while above is not None:
            level += 1
            above._depth = max(above._depth, level)
            above = above.above

    # ------------------------------------------------------------------ before a step

    def before(self, stated: Mapping[str, Any], now_ns: int) -> None:
        """A step of the run is about to begin: what is due by now becomes its verdict."""
        try:
            run: WatchedRun | None = self
            while run is not None:
                if run._wall:
                    run._late(now_ns)
                run = run.above
            if self._forbidden and (model := stated.get(semconv.GEN_AI_REQUEST_MODEL)):
                self._judge_model(str(model))
        except Exception as trouble:
            self._failed(trouble)

    def demand(self, call: Call) -> Demand | None:
        """A call is about to begin: what is due becomes the run's verdict, but for an approval,
        which is the caller's to ask for."""
        try:
            return self._judge_call(call) if self.gate else None
        except Exception as trouble:
            self._failed(trouble)
            return None

    def unasked(self, demand: Demand) -> None:
        """Waiting for an answer would block an event loop here: the rule's fallback."""
        rule, name = demand.rule, demand.call.name
        with self._lock:
            amount = self._counts[rule.name] = self._counts.get(rule.name, 0) + 1
            text = f"`{name}` needs approval, and waiting for it would block an event loop"
            finding = _violation(rule, amount, text, demand.span_id)
            if rule.pause_fallback == "kill":
                self._act(finding, rule, "kill")
            else:
                self._tell(finding, rule, "pause", finding.finding_id(self.scope.run_id))

    def _late(self, now_ns: int) -> None:
        took = (now_ns - self.started_ns) / NANO
        for budget, limit, threshold in self._wall:
            if took > threshold:
                with self._lock:
                    self._report([Drawn(budget, limit, took, False)], None)

    def _judge_model(self, model: str) -> None:
        for rule in self._forbidden:
            if rule.models.match(model):
                self._enforce(rule.policy, f"model `{model}` is forbidden", "")

    def _judge_call(self, call: Call) -> Demand | None:
        with self._lock:
            found = self.gate.admit(call)
        if found is None:
            return None
        policy, name, span_id = found
        if policy.policy == "approval" and self._due(policy) == "pause":
            return Demand(policy, call._replace(name=name), span_id)
        what = "it is forbidden" if policy.policy == "forbidden_tool" else "it needs approval"
        self._enforce(policy, f"`{name}` was about to run; {what}", span_id)
        return None

    def _due(self, policy: Policy) -> str:
        amount = self._counts.get(policy.name, 0) + 1
        return action(_violation(policy, amount, "", ""), policy)

    def _enforce(self, policy: Policy, text: str, span_id: str) -> None:
        with self._lock:
            amount = self._counts[policy.name] = self._counts.get(policy.name, 0) + 1
            finding = _violation(policy, amount, text, span_id)
            self._act(finding, policy, action(finding, policy))

    # ------------------------------------------------------------------ after a step

    def after(
        self,
        step: Step,
        cost_nano_usd: int | None,
        view: SpanView | None,
        given: Mapping[str, object] | None = None,
    ) -> None:
        """A step of the run ended; `view` where its text can be read, `given` the real arguments
        of a tool of ours."""
        try:
            with self._lock:
                seen = self._seen(step, cost_nano_usd, view, given)
                before = self._watch.unknown
                self._watch.add((seen,))
                if len(self._watch) > STEPS_MAX:
                    self._watch.forget()
                if step.tool_requests:
                    self._fan_out = max(self._fan_out, len(step.tool_requests))
                    if self.gate:
                        self.gate.asked(seen)
                unknown = self._watch.unknown
                self._report(self._drawn(), step)
            above = self.above
            while above is not None:
                with above._lock:
                    if unknown is not before:
                        above._unknown_below += _minus(unknown, before)
                    if drawn := above._drawn():
                        above._report(drawn, step)
                above = above.above
        except Exception as trouble:
            self._failed(trouble)

    def ended(self, completed: bool, span_id: str, at_ns: int) -> None:
        """The run ended: what only its end shows."""
        try:
            if self.above is not None:
                self.above._children -= 1
            with self._lock:
                ending = Ending(completed=completed, span_id=span_id, at_ns=at_ns)
                found = self._watch.findings(
                    self._drawn(), started_ns=self.started_ns, ending=ending
                )
                self._tell_all(found, acts=False)
        except Exception as trouble:
            runtime.warn_of("rules_not_evaluated", trouble)

    def _seen(
        self,
        step: Step,
        cost_nano_usd: int | None,
        view: SpanView | None,
        given: Mapping[str, object] | None,
    ) -> Seen:
        if given is not None and step.kind is kinds.TOOL:
            # What its span holds may be redacted, or only the structure of it.
            words = sketch(given) if self._compares_words else ""
            return Seen(step, cost_nano_usd, given, sketch=words)
        if view is None or not self.reads_arguments:
            return Seen(step, cost_nano_usd)
        if step.kind is kinds.TOOL:
            text = _arguments_text(view)
            parsed = arguments.parse(text) if text else None
            return Seen(step, cost_nano_usd, parsed if isinstance(parsed, Mapping) else None)
        if step.tool_requests:
            return Seen(step, cost_nano_usd, requested=_requested(view))
        return Seen(step, cost_nano_usd)

    def _drawn(self) -> list[Drawn]:
        """The budgets that are past their threshold."""
        due: list[Drawn] = []
        meter = self.scope.meter
        unknown = self._watch.unknown
        if self._unknown_below is not NO_UNKNOWN:
            unknown += self._unknown_below
        for budget, limit, threshold in self._budgets:
            measure = budget.measure
            guessed = False
            if unknown.calls and measure in CALL_MEASURES:
                spent = Spent(
                    cost_nano_usd=meter.used("cost_nano_usd"),
                    input_tokens=meter.used("input_tokens"),
                    output_tokens=meter.used("output_tokens"),
                    unknown=unknown,
                )
                used, guessed = amount_of(budget, spent)
            elif measure == "cost_usd":
                used = meter.used("cost_nano_usd") / NANO
            elif measure == "tokens":
                used = float(meter.used("input_tokens") + meter.used("output_tokens"))
            elif measure in METERED:
                used = float(meter.used(measure))
            elif measure == "wall_secs":
                used = (time.time_ns() - self.started_ns) / NANO
            else:
                used = float(self._depth if measure == "depth" else self._fan_out)
            if used > threshold:
                due.append(Drawn(budget, limit, used, guessed))
        return due

    # ------------------------------------------------------------------ what was found

    def _report(self, drawn: list[Drawn], step: Step | None) -> None:
        found = self._watch.findings(drawn, started_ns=self.started_ns)
        self._tell_all(found, acts=True, step=step)

    def _tell_all(self, found: list[Finding], *, acts: bool, step: Step | None = None) -> None:
        by_name = self.selected.by_name
        for finding in found:
            rule = by_name[finding.rule]
            due = action(finding, rule)
            finding_id = finding.finding_id(self.scope.run_id)
            place = ACTIONS.index(due)
            if place <= self._told.get(finding_id, -1):
                continue
            self._told[finding_id] = place
            waits = (
                isinstance(rule, Policy)
                and rule.policy in ("approval", "forbidden_tool")
                and step is not None
                and step.kind is kinds.MODEL
            )
            if acts and not waits:  # a call that was asked for is refused when it begins
                self._act(finding, rule, due)
            else:
                self._tell(finding, rule, due, finding_id)

    def _act(self, finding: Finding, rule: Rule, due: str) -> None:
        self._tell(finding, rule, due, finding.finding_id(self.scope.run_id))
        if due not in ("kill", "pause"):
            return
        now_ns = time.time_ns()
        verdict = Verdict(
            action="kill" if due == "kill" else "pause",
            stop_reason=stop_of_finding(finding.kind, finding.what),
            reason=finding.explanation,
            rule=rule.name,
            rules_version=self.selected.version,
            span_ids=finding.span_ids[:SPANS_MAX],
            actor=LOCAL,
            at_ns=now_ns,
            expires_ns=now_ns + round(PAUSE_SECS * NANO) if due == "pause" else 0,
            fallback=rule.pause_fallback,
        )
        runtime.active().verdicts.decide(self.scope, verdict)

    def _tell(self, finding: Finding, rule: Rule, due: str, finding_id: str) -> None:
        said: dict[str, Any] = {
            semconv.FINDING_ID: finding_id,
            semconv.FINDING_RULE: finding.rule,
            semconv.FINDING_KIND: finding.kind,
            semconv.FINDING_SEVERITY: severity_of(finding, rule),
            semconv.FINDING_ACTION: due,
            semconv.FINDING_EXPLANATION: finding.explanation,
            semconv.FINDING_SPAN_IDS: ",".join(finding.span_ids[:SPANS_MAX]),
            semconv.FINDING_AMOUNT: float(finding.amount),
            semconv.RULES_VERSION: self.selected.version,
            semconv.ACTOR: LOCAL,
        }
        if finding.kind == "budget":
            said[semconv.BUDGET_RULE] = finding.rule
            said[semconv.BUDGET_KIND] = finding.what
            said[semconv.BUDGET_LIMIT] = float(finding.limit)
            said[semconv.BUDGET_USED] = float(finding.amount)
            said[semconv.BUDGET_REMAINING] = float(max(finding.limit - finding.amount, 0.0))
        if finding.cost_nano_usd:
            said[semconv.FINDING_COST_USD] = finding.cost_nano_usd / NANO
        if finding.process_failure:
            said[semconv.FINDING_PROCESS_FAILURE] = True
        if rule.dry_run:
            said[semconv.FINDING_DRY_RUN] = True
        enforcement.tell(self.scope, semconv.FINDING_EVENT, said)
        if lifecycle.has("finding"):
            lifecycle.fire("finding", self.scope.handle, finding, due)

    def _failed(self, trouble: Exception) -> None:
        """A rule could not be evaluated: a bug of ours.  The run goes on, unless one says no."""
        runtime.warn_of("rules_not_evaluated", trouble)
        if self._fails_closed:
            rule = self._fails_closed[0]
            verdict = Verdict(
                action="kill",
                stop_reason="policy",
                reason=f"rule `{rule.name}` could not be evaluated, and it fails closed",
                rule=rule.name,
                rules_version=self.selected.version,
                actor=LOCAL,
                at_ns=time.time_ns(),
            )
            runtime.active().verdicts.decide(self.scope, verdict)


def _violation(policy: Policy, amount: int, text: str, span_id: str) -> Finding:
    return Finding(
        rule=policy.name,
        kind="policy",
        what=policy.policy,
        subject=f"call {amount}",
        amount=amount,
        limit=policy.limit,
        explanation=text,
        span_ids=(span_id,) if span_id else (),
        at_ns=time.time_ns(),
    )


def _arguments_text(view: SpanView) -> str:
    """The arguments of a tool call as its span has them."""
    keys = dialects.dialect_of(view).module.KEYS.get("arguments", ())
    return view.text(semconv.GEN_AI_TOOL_CALL_ARGUMENTS, *keys)


def _requested(view: SpanView) -> dict[str, Mapping[str, object]]:
    """Arguments of the calls that a model asked for, by call id."""
    found: dict[str, Mapping[str, object]] = {}
    for message in dialects.content(view).messages_out or ():
        for call in message.get("tool_calls", ()):
            given = call.get("arguments")
            given = arguments.parse(given) if isinstance(given, str) else given
            if call.get("id") and isinstance(given, Mapping):
                found[call["id"]] = given
    return found


def _minus(one: Unknown, other: Unknown) -> Unknown:
    return Unknown(
        calls=one.calls - other.calls,
        input_tokens=one.input_tokens - other.input_tokens,
        output_tokens=one.output_tokens - other.output_tokens,
        cost_nano_usd=one.cost_nano_usd - other.cost_nano_usd,
    )
