"""Backtest and suggestions: what rules would have done to runs that are over."""

from __future__ import annotations

from typing import Any

import pytest

from collector.rules.backtest import backtest
from collector.rules.file import parse_rules
from collector.rules.suggest import quantile, suggest
from collector.runs.run import Counts, PlacedStep, Run
from otel_agentrun.rules import Budget, Loop, Policy, Ruleset
from otel_agentrun.step import Status, Step
from tests.rules.builders import a_file, call
from tests.runs.builders import BASE_NS, MS

USD = 1_000_000_000


def a_run(run_id: str, **fields: Any) -> Run:
    values = {"status": "completed", "outcome": "success", "agent_name": "support"}
    values |= {"started_at_ns": BASE_NS, "ended_at_ns": BASE_NS + 100 * MS}
    return Run(run_id=run_id, group_id=run_id, **(values | fields))


def placed(run_id: str, steps: list[Step], cost_usd: float = 1.0) -> list[PlacedStep]:
    return [
        PlacedStep(
            step=step, run_id=run_id, group_id="", revision=0, cost_nano_usd=round(cost_usd * USD)
        )
        for step in steps
    ]


def different(count: int) -> list[Step]:
    return [call(n, digest=f"d{n}") for n in range(1, count + 1)]


def test_a_stop_saves_what_came_after_it() -> None:
    """S1.20: stopped at 3 USD and the first step past it, of 8."""
    rule = Budget(name="cost", measure="cost_usd", limit=3, escalate={"kill": 1})
    runs = [a_run("a", status="failed", outcome="failure"), a_run("b")]
    steps = {"a": placed("a", different(8)), "b": placed("b", different(2))}
    report = backtest(Ruleset(a_file(rule)), runs, steps)

    [told] = report["rules"]
    assert (told["killed"], told["saved_usd"], told["completed_well_hit"]) == (1, 4.0, 0)
    assert told["examples"] == ["a"]
    assert (report["runs"], report["completed_well"]) == (2, 1)
    assert report["total"]["killed"] == 1


def test_runs_that_did_well_and_would_have_been_stopped_are_counted() -> None:
    """Who is asked to trust a rule wants to know whom it would have hit."""
    rule = Loop(name="loop", pattern="repeated_call", limit=3, escalate={"flag": 1, "pause": 2})
    good, flagged = [call(n) for n in range(1, 8)], [call(n) for n in range(1, 5)]
    runs = [a_run("good"), a_run("flagged")]
    report = backtest(
        Ruleset(a_file(rule)),
        runs,
        {"good": placed("good", good), "flagged": placed("flagged", flagged)},
    )

    [told] = report["rules"]
    assert (told["flagged"], told["paused"], told["completed_well_hit"]) == (1, 1, 1)
    assert told["examples"] == ["good", "flagged"]
    assert told["saved_usd"] == 1.0


def test_children_count_for_their_parents() -> None:
    rule = Budget(name="calls", measure="tool_calls", limit=3, escalate={"kill": 1})
    runs = [a_run("p"), a_run("c", parent_run_id="p")]
    steps = {
        "p": placed("p", [call(n, digest=str(n)) for n in (1, 2)]),
        "c": placed("c", [call(n, digest=str(n)) for n in (3, 4, 5)]),
    }
    [told] = backtest(Ruleset(a_file(rule)), runs, steps)["rules"]
    assert (told["killed"], told["examples"], told["saved_usd"]) == (1, ["p"], 1.0)


def test_windows_fill_up_run_by_run() -> None:
    """The third run of the day is the one past the limit."""
    rule = Budget(
        name="day", measure="cost_usd", limit=5, per="user", window="day", escalate={"kill": 1}
    )
    runs = [a_run(name, user_id="u", started_at_ns=BASE_NS + i) for i, name in enumerate("abc")]
    steps = {name: placed(name, different(2)) for name in "abc"}
    [told] = backtest(Ruleset(a_file(rule)), runs, steps)["rules"]
    assert (told["killed"], told["examples"]) == (1, ["c"])


def test_what_only_the_end_shows_is_flagged() -> None:
    rule = Policy(name="over", policy="unrecovered_error")
    steps = {"a": placed("a", [call(1, status=Status.ERROR)])}
    [told] = backtest(Ruleset(a_file(rule)), [a_run("a")], steps)["rules"]
    assert told["flagged"] == 1


def test_budgets_are_suggested_by_agent_and_task_type() -> None:
    """S1.21, S1.22: percentiles of completed root runs, as a rules file that reads."""
    runs = [
        a_run(
            f"r{n}",
            task_type="refund",
            cost_confidence_total="exact",
            total=Counts(steps=n, tool_calls=n, model_cost_nano_usd=n * 10_000_000),
        )
        for n in range(1, 101)
    ]
    runs += [a_run("f", task_type="refund", status="failed", total=Counts(steps=9999))]
    runs += [a_run("few", agent_name='odd "name"', total=Counts(steps=3))]
    found = suggest(runs, percentile=90, margin=2)
    file = parse_rules(found["yaml"], "suggested.yaml")

    limits = {budget.measure: budget.limit for budget in file.budgets}
    assert limits["steps"] == 180
    assert limits["cost_usd"] == pytest.approx(1.8)
    assert file.budgets[0].match is not None
    assert file.budgets[0].match({"agent_name": "support", "task_type": "refund"})
    assert [(g["agent_name"], g["enough"]) for g in found["groups"]] == [
        ('odd "name"', False),
        ("support", True),
    ]


def test_odd_names_become_rules_that_read() -> None:
    runs = [
        a_run(f"{name}{n}", agent_name=name, total=Counts(steps=5))
        for name in ('say "hi"\n', "9 lives", "9-lives", "äöü")
        for n in range(10)
    ]
    names = [b.name for b in parse_rules(suggest(runs)["yaml"], "s").budgets]
    assert len(names) == len(set(names)) == 8


def test_nothing_is_suggested_from_nothing() -> None:
    assert parse_rules(suggest([])["yaml"], "s").budgets == ()


def test_quantiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 11)]
    assert [quantile(values, share) for share in (0.5, 0.9, 0.99, 1)] == [5, 9, 10, 10]
