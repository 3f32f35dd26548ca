"""Rules in the fold: findings become events, once, whatever order, restarts and late spans."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.runs.assembler import Assembler, Stored
from collector.runs.judge import RulesInForce
from collector.runs.run import Changes, Finding, Run
from otel_agentrun import semconv
from otel_agentrun.rules import DEFAULTS, Budget, Loop, Policy, Ruleset, RulesFile
from otel_agentrun.step import Event, Status, Step
from tests.rules.builders import a_file, call
from tests.runs.builders import TRACE, agent, model, tool, trace_groups
from tests.runs.test_fold_properties import PRICING, Group

LOOP = Loop(name="loop", pattern="repeated_call", limit=3, escalate={"flag": 1, "kill": 2})


def rules(*wanted: object) -> RulesInForce:
    return RulesInForce(Ruleset(a_file(*wanted), None))  # type: ignore[arg-type]  # any rules


class Collected:
    """An assembler whose verdicts come back to it, as through the journal."""

    def __init__(self, in_force: RulesInForce) -> None:
        self.assembler = Assembler(pricing=PRICING, rules=in_force)
        self.runs: dict[str, Run] = {}
        self.recorded: list[Event] = []
        self.new = 0

    def take(self, items: Iterable[Step | Event]) -> None:
        for item in items:
            if isinstance(item, Step):
                self.assembler.add([item], 1)
            else:
                self.assembler.add_event(item, 1)
        self.settle()

    def settle(self) -> None:
        for _ in range(5):
            changes = self.fold()
            for event, is_new in changes.findings:
                self.recorded.append(event)
                self.new += is_new
            if not changes.verdicts:
                return
            for event in changes.verdicts:
                assert self.assembler.add_event(event, 1)
        raise AssertionError("verdicts lead to verdicts without end")

    def fold(self) -> Changes:
        changes = self.assembler.changes()
        assert not self.assembler.failures
        for removed in changes.removed:
            self.runs.pop(removed.run_id, None)
        self.runs |= {run.run_id: run for run in changes.runs}
        return changes

    @property
    def findings(self) -> dict[str, tuple[Finding, ...]]:
        return {run_id: run.findings for run_id, run in self.runs.items()}


def looping(times: int, first: int = 2) -> list[Step]:
    return [call(n, parent_span_id=f"{1:016x}") for n in range(first, first + times)]


def test_a_finding_is_on_the_run_and_recorded_once() -> None:
    """Each later batch shows the loop again; the event is made when it begins, when it calls for
    more, and with the last figures."""
    collected = Collected(rules(LOOP))
    for step in looping(8):
        collected.take([step])
    [finding] = collected.runs[TRACE].findings
    assert (finding.rule, finding.kind, finding.severity) == ("loop", "loop", "critical")
    assert [e.attributes[semconv.FINDING_ACTION] for e in collected.recorded] == ["flag", "kill"]
    collected.take([agent(1, start=1)])

    [finding] = collected.runs[TRACE].findings
    assert "called 8 times in a row" in finding.explanation
    assert len(collected.recorded) == 3
    assert collected.new == 1


def test_a_late_span_can_withdraw_a_finding() -> None:
    """What was between the calls had not arrived: in the end there is no loop."""
    collected = Collected(rules(Loop(name="loop", pattern="repeated_call", limit=4)))
    steps = [call(n, parent_span_id=f"{1:016x}") for n in (2, 3, 5, 6)]
    collected.take(steps)
    assert collected.runs[TRACE].findings
    collected.take([call(4, digest="other", parent_span_id=f"{1:016x}"), agent(1, start=1)])

    assert collected.runs[TRACE].findings == ()
    assert semconv.FINDING_WITHDRAWN in collected.recorded[-1].attributes


def test_a_restart_makes_no_second_finding() -> None:
    """What the store has is not found again."""
    steps = [*looping(5), agent(1, start=1)]
    first = Collected(rules(LOOP))
    first.take(steps)
    second = Collected(rules(LOOP))
    second.take(steps[:1])
    second.assembler.restore(
        Stored(steps=tuple(steps), events=tuple(first.recorded), runs=tuple(first.runs.values())),
        2,
    )
    second.settle()

    assert second.recorded == []
    assert second.findings == first.findings


def test_a_finding_that_is_in_the_journal_twice_is_one() -> None:
    """A crash between journaling and folding: the same steps make the same event."""
    steps = looping(4)
    one, other = Collected(rules(LOOP)), Collected(rules(LOOP))
    one.take(steps)
    other.take(steps)
    assert [e.event_id for e in one.recorded] == [e.event_id for e in other.recorded]


def test_rules_of_today_are_not_for_runs_of_the_past() -> None:
    """Feedback on an old run does not make it break a rule that came later."""
    steps = [*looping(9), agent(1, start=1)]
    before = Collected(rules())
    before.take(steps)
    now = Collected(rules(LOOP))
    now.assembler.restore(Stored(steps=tuple(steps), events=(), runs=(before.runs[TRACE],)), 2)
    feedback = Event(event_id="f", name="agentrun.feedback", at_ns=5, trace_id=TRACE)
    now.take([feedback])

    assert now.recorded == []


def test_what_could_not_be_journaled_is_given_again() -> None:
    collected = Collected(rules(LOOP))
    for step in looping(4):
        collected.assembler.add([step], 1)
    collected.assembler.changes()
    collected.assembler.add(looping(2, first=6), 1)  # six: to be killed
    lost = collected.fold().verdicts
    assert lost
    assert collected.fold().verdicts == ()  # on its way
    collected.assembler.not_recorded()
    assert collected.fold().verdicts == lost


def test_live_runs_are_judged_before_the_flush() -> None:
    """S1.11: a run whose application can be told to stop is not kept waiting for the store; what
    is found then is found once."""
    collected = Collected(rules(LOOP))
    collected.assembler.add(looping(6), 1)
    assert collected.assembler.verdicts() == []  # nobody is there to be told
    started = Event(
        event_id="s", name=semconv.RUN_STARTED_EVENT, at_ns=5, trace_id=TRACE, run_id=TRACE
    )
    collected.assembler.add_event(started, 1)
    assert collected.assembler.is_urgent
    [verdict] = collected.assembler.verdicts()
    assert verdict.attributes[semconv.FINDING_ACTION] == "kill"
    assert not collected.assembler.is_urgent
    collected.take([verdict])

    assert collected.new == 1
    assert len(collected.runs[TRACE].findings) == 1


def test_new_rules_apply_to_open_runs() -> None:
    """Hot reload; a finding made under the old rules stays."""
    in_force = rules(LOOP)
    collected = Collected(in_force)
    collected.take(looping(4))
    in_force.ruleset = Ruleset(a_file(Budget(name="calls", measure="tool_calls", limit=4)))
    collected.take(looping(1, first=9))

    assert [f.rule for f in collected.runs[TRACE].findings] == ["loop", "calls"]


def test_remaining_budget_is_on_the_run_and_children_draw_from_their_parents() -> None:
    """S2.15: used and remaining; the child has used 1 of 4, and its parent has 1 left."""
    collected = Collected(rules(Budget(name="calls", measure="tool_calls", limit=4)))
    steps = [agent(1, start=1), tool(2, 1), tool(3, 1), tool(4, 1, name="ask")]
    steps += [agent(5, 4, name="helper"), model(6, 5)]
    collected.take(steps)
    parent = collected.runs[TRACE]
    child = next(run for run in collected.runs.values() if run.parent_run_id)

    assert [(u.limit, u.used, u.remaining) for u in parent.budgets] == [(4, 3, 1)]
    assert [(u.limit, u.used, u.remaining) for u in child.budgets] == [(4, 0, 1)]


def test_what_a_person_has_approved_is_no_violation() -> None:
    """The finding that asked for it is withdrawn; another call of the tool needs another answer."""
    collected = Collected(rules(Policy(name="ask", policy="approval", tools=("refund",))))
    collected.take([tool(2, name="refund", tool_call_id="c1")])
    assert [f.rule for f in collected.runs[TRACE].findings] == ["ask"]
    said = {
        semconv.DECISION_KIND: "approval",
        semconv.DECISION_OUTCOME: "approved",
        semconv.GEN_AI_TOOL_NAME: "refund",
        semconv.GEN_AI_TOOL_CALL_ID: "c1",
    }
    answer = Event(
        event_id="d", name=semconv.DECISION_EVENT, at_ns=5, trace_id=TRACE, attributes=said
    )
    collected.take([answer])
    assert collected.runs[TRACE].findings == ()
    collected.take([tool(3, name="refund", tool_call_id="c2")])
    assert [f.rule for f in collected.runs[TRACE].findings] == ["ask"]


def test_a_process_failure_is_the_outcome_of_a_completed_run() -> None:
    """S5.55, S5.80: kept apart from soft failures, which people judge."""
    failed = tool(2, 1, status=Status.ERROR, start=2, end=3)
    steps = [agent(1, start=1), failed, model(3, 1, start=4, end=5)]
    collected = Collected(rules(Policy(name="over", policy="unrecovered_error")))
    collected.take(steps)
    run = collected.runs[TRACE]

    assert (run.status, run.outcome) == ("completed", "process_failure")
    label = {"agentrun.feedback.name": "judged", "agentrun.feedback.label": "soft_failure"}
    judged = Event(
        event_id="f", name="agentrun.feedback", at_ns=5, trace_id=TRACE, attributes=label
    )
    collected.take([judged])
    assert collected.runs[TRACE].outcome == "soft_failure"


@settings(max_examples=150, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_findings_of_a_group_do_not_depend_on_arrival(group: Group, rng: random.Random) -> None:
    """Promise 3: one at a time in any order, runs that move, merge and end late included."""
    steps, events = group
    in_force = RulesInForce(
        Ruleset(
            a_file(
                Loop(name="r", pattern="repeated_call", limit=2),
                Loop(name="c", pattern="cycle", limit=2),
                Loop(name="s", pattern="retry_storm", limit=2),
                Budget(name="b", measure="tool_calls", limit=2),
                Budget(name="m", measure="cost_usd", limit=0.000001),
                Policy(name="u", policy="unrecovered_error"),
                similarity=0.9,
            )
        )
    )
    whole = Collected(in_force)
    whole.take([*steps, *events])
    arrived: list[Step | Event] = [*steps, *events]
    rng.shuffle(arrived)
    pieces = Collected(in_force)
    while arrived:
        size = rng.randrange(1, 6)
        pieces.take(arrived[:size])
        arrived = arrived[size:]

    assert told(pieces) == told(whole)
    assert {i: r.budgets for i, r in pieces.runs.items()} == {
        i: r.budgets for i, r in whole.runs.items()
    }


def told(collected: Collected) -> dict[str, set[tuple[str, str, tuple[str, ...]]]]:
    """Findings of ended runs; of open ones the figures may be those of when they were found."""
    return {
        run_id: {(f.rule, f.explanation, f.span_ids) for f in run.findings}
        for run_id, run in collected.runs.items()
        if run.ended_at_ns
    }


def test_the_default_rules_leave_an_ordinary_run_alone() -> None:
    collected = Collected(RulesInForce(Ruleset(RulesFile(), DEFAULTS)))
    collected.take([agent(1, start=1), model(2, 1), tool(3, 1), model(4, 1)])
    assert collected.recorded == []
    assert {use.rule for use in collected.runs[TRACE].budgets} == {
        "run-cost", "run-steps", "run-time", "run-depth",
    }  # fmt: skip
