"""Budgets: what is used up, what remains, and which step was the one too many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_agentrun.rules import Budget, Ruleset, Seen, Spent, Watch, action, severity
from otel_agentrun.rules.budgets import Drawn, Unknown, WindowKey, drawn, shared, window_start_ns
from otel_agentrun.rules.finding import BudgetUse
from otel_agentrun.step import Usage
from tests.rules.builders import a_file, call, found, seen
from tests.runs.builders import BASE_NS, model

COST = Budget(name="cost", measure="cost_usd", limit=1.0, escalate={"warn": 0.5, "kill": 1})


def test_a_budget_is_exceeded_past_its_limit_and_escalates_on_the_way() -> None:
    """S1.19, S1.20: the limit itself is allowed; the mildest action is where findings begin."""
    steps = [call(1), call(2)]

    def due(nano_usd: int) -> list[str]:
        return [
            action(finding, COST)
            for finding in found(a_file(COST), steps, Spent(cost_nano_usd=nano_usd))
        ]

    assert due(500_000_000) == []
    assert due(500_000_001) == ["warn"]
    assert due(1_000_000_000) == ["warn"]
    assert due(1_000_000_001) == ["kill"]


def test_a_dry_run_finds_and_does_nothing() -> None:
    trial = replace(COST, dry_run=True)
    [finding] = found(a_file(trial), [call(1)], Spent(cost_nano_usd=2_000_000_000))

    assert action(finding, trial) == "flag"
    assert severity(finding, trial) == "critical"


def test_the_evidence_is_the_step_that_went_past_the_limit() -> None:
    """The third of four calls, at 0.4 USD each, is the one too many; `at` is when it ended."""
    budget = Budget(name="cost", measure="cost_usd", limit=1.0)
    watch = Watch(Ruleset(a_file(budget)).select({}))
    steps = [call(n) for n in range(1, 5)]
    watch.add(seen(steps, 400_000_000))
    [finding] = watch.findings(drawn([budget], Spent(cost_nano_usd=1_600_000_000)))

    assert finding.span_ids == (steps[2].span_id,)
    assert finding.at_ns == steps[2].end_ns
    assert finding.explanation == (
        "the run has used 1.60 USD of 1.00 USD; `search` went past 1.00 USD"
    )


@pytest.mark.parametrize(
    ("measure", "spent"),
    [
        ("tokens", Spent(input_tokens=7, output_tokens=4)),
        ("input_tokens", Spent(input_tokens=11)),
        ("output_tokens", Spent(output_tokens=11)),
        ("steps", Spent(steps=11)),
        ("model_calls", Spent(model_calls=11)),
        ("tool_calls", Spent(tool_calls=11)),
        ("retrievals", Spent(retrievals=11)),
        ("retries", Spent(retries=11)),
        ("plan_steps", Spent(plan_steps=11)),
        ("wall_secs", Spent(wall_ns=11_000_000_000)),
        ("depth", Spent(depth=11)),
        ("fan_out", Spent(fan_out=11)),
    ],
)
def test_every_measure_counts(measure: str, spent: Spent) -> None:
    """S5.35 to S5.42."""
    budget = Budget(name="b", measure=measure, limit=10)  # type: ignore[arg-type]
    [finding] = found(a_file(budget), [call(1)], spent)
    assert (finding.amount, finding.limit, finding.what) == (11, 10, measure)
    assert found(a_file(replace(budget, limit=11)), [call(1)], spent) == []


def test_limits_differ_by_environment() -> None:
    budget = Budget(name="b", measure="steps", limit=10, limit_by_environment={"prod": 5})
    [use] = drawn([budget], Spent(steps=7), "prod")
    assert (use.limit, use.used) == (5, 7)
    assert drawn([budget], Spent(steps=7), "dev")[0].limit == 10


def test_a_child_draws_from_what_its_parent_has_left() -> None:
    """S1.19: 4 of 5 are gone above, so 1 is left below, whatever the child has used itself."""
    above = BudgetUse(rule="b", kind="steps", limit=5, used=4, remaining=1)
    budget = Budget(name="b", measure="steps", limit=5)

    assert Drawn(budget, 5, 2, False).use(above).remaining == 1
    assert Drawn(budget, 5, 2, False).use().remaining == 3
    assert Drawn(budget, 5, 9, False).use().remaining == 0


def test_usage_that_nobody_sent_is_estimated_counted_or_ignored() -> None:
    """An estimate is marked as one."""
    spent = Spent(input_tokens=10, unknown=Unknown(calls=2, input_tokens=100, output_tokens=50))
    budget = Budget(name="b", measure="tokens", limit=20)

    [finding] = found(a_file(budget), [call(1)], spent)
    assert (finding.amount, finding.estimated) == (160, True)
    assert "estimated from text length" in finding.explanation
    counting = replace(budget, unknown_usage="count_steps", unknown_call=30)
    assert found(a_file(counting), [call(1)], spent)[0].amount == 70
    assert found(a_file(replace(budget, unknown_usage="ignore")), [call(1)], spent) == []


def test_an_unknown_price_is_never_guessed() -> None:
    """Calls without usage are estimated in tokens; in money only where there is a price."""
    silent = model(1, usage=None, input_bytes=400, output_bytes=40)
    selected = Ruleset(a_file(COST)).select({})
    without = Watch(selected, price=lambda *_: (None, "unknown"))
    priced = Watch(selected, price=lambda usage, *_: ((usage.input_tokens or 0) * 1000, "exact"))
    for watch in (without, priced):
        watch.add(seen([silent]))
        assert (watch.unknown.calls, watch.unknown.input_tokens) == (1, 100)

    assert without.unknown.cost_nano_usd == 0
    assert priced.unknown.cost_nano_usd == 100_000
    priced.remove([silent.span_id])
    assert priced.unknown == Unknown()


def test_a_single_call_has_limits_beside_those_of_its_run() -> None:
    """S1.23: request-level limits."""
    budget = Budget(name="big-call", measure="tokens", limit=1000, per="request")
    steps = [model(1, tokens=100), model(2, usage=Usage(input_tokens=2000, output_tokens=1))]
    [finding] = found(a_file(budget), steps)

    assert (finding.subject, finding.amount) == (steps[1].span_id, 2001)
    assert finding.explanation.startswith("one call of `gpt-4o-mini` has used 2,001 tokens")


def test_budgets_of_windows_draw_on_sums_from_outside() -> None:
    """Rules have no store: whoever evaluates them says what the other runs have used."""
    budget = Budget(name="u", measure="cost_usd", limit=5, per="user", window="day")
    asked = []

    def sums(key: WindowKey, own: float) -> float:
        asked.append((key, own))
        return 4.5

    spent = Spent(cost_nano_usd=1_000_000_000)
    names = {"user_id": "u1", "workspace": "w"}
    [use] = shared([budget], spent, names, BASE_NS, sums)
    assert use.used == 5.5
    assert asked == [(("u", "w", "u1", window_start_ns("day", BASE_NS)), 1.0)]
    assert shared([budget], spent, {}, BASE_NS, sums) == []  # nobody said whose run it is
    assert drawn([budget], spent) == []
    watch = Watch(Ruleset(a_file(budget)).select({}))
    watch.add([Seen(call(1))])
    [finding] = watch.findings([use])
    assert finding.explanation.startswith("this day the user has used 5.50 USD of 5.00 USD")


def test_windows_are_calendar_periods() -> None:
    at = 1_700_000_123 * 1_000_000_000  # 2023-11-14T22:15:23Z
    starts = {window: window_start_ns(window, at) // 10**9 for window in ("hour", "day", "month")}
    assert starts == {"hour": 1_699_999_200, "day": 1_699_920_000, "month": 1_698_796_800}


def test_a_finding_names_the_step_of_the_severest_action() -> None:
    """Warned past 1 USD and to be killed past 2: the step that went past 2 is the evidence."""
    budget = Budget(name="cost", measure="cost_usd", limit=2, escalate={"warn": 0.5, "kill": 1})
    watch = Watch(Ruleset(a_file(budget)).select({}))
    steps = [call(n) for n in range(1, 5)]
    found = []
    for number, step in enumerate(steps, 1):
        watch.add([Seen(step, 700_000_000)])
        spent = Spent(cost_nano_usd=700_000_000 * number)
        found += [f.span_ids[0] for f in watch.findings(drawn([budget], spent))]

    assert found == [steps[1].span_id, steps[2].span_id, steps[2].span_id]
