"""Dashboards 4 and 5 over the runs of `governed`: money, budgets, findings, stops, people."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from collector.dashboards import query
from collector.dashboards.macros import expand
from collector.rules.suggest import suggest
from collector.runs.run import Counts, Run
from tests.dashboards.filled import Filled
from tests.dashboards.governed import ENVIRONMENT, run_id
from tests.dashboards.test_queries import demo, rows
from tools.dashboards.alerts import sql_of

SMALL = 0.4e-6 * 1000 + 1.6e-6 * 100
"""USD of a call of gpt-4.1-mini with 1,000 tokens in and 100 out."""
LARGE = 2e-6 * 1000 + 8e-6 * 100


def governed(filled: Filled, name: str, by: str = "", **filters: str) -> list[dict[str, Any]]:
    return rows(filled, name, by, environment=ENVIRONMENT, **filters)


def named(found: list[dict[str, Any]], column: str) -> dict[str, dict[str, Any]]:
    return {row[column]: row for row in found}


def alerting(filled: Filled, name: str) -> list[dict[str, Any]]:
    """An alert as it is judged now."""
    now = replace(filled.demo(), until_ns=time.time_ns() + 20 * 1_000_000_000, given={}, trusted={})
    return filled.store.query(expand(sql_of(name), now))


# ------------------------------------------------------------------ 4. cost and budgets


def test_money_is_split_by_whoever_spends_it(filled: Filled) -> None:
    """S2.30: every owner's groups add up to the whole; kinds of cost apart (S2.29)."""
    (everything,) = governed(filled, "cost-summary", "all")
    care = named(governed(filled, "cost-summary", "department"), "dimension")["care"]

    assert everything["payments_usd"] == pytest.approx(0.5)
    assert everything["revenue_usd"] == pytest.approx(4)
    assert everything["cost_usd"] == pytest.approx(0.5 + everything["models_usd"])
    assert care["cost_usd"] == pytest.approx(0.505192)
    assert everything["unknown_share"] == pytest.approx(1 / 11)
    for by in query.load("cost-summary").dimensions:
        found = governed(filled, "cost-summary", by)
        assert sum(row["cost_usd"] for row in found) == pytest.approx(everything["cost_usd"]), by
        assert sum(row["share"] for row in found) == pytest.approx(1), by


def test_steps_share_the_money_of_models_and_tools(filled: Filled) -> None:
    """A call belongs to one model, however many its run used (S1.32)."""
    models = named(governed(filled, "cost-steps", "model"), "dimension")
    kinds = named(governed(filled, "cost-steps", "kind"), "dimension")

    assert models["gpt-4.1"]["cost_usd"] == pytest.approx(2 * LARGE)
    assert models["house-model-7"]["unknown"] == 1
    assert kinds["model"]["cost_usd"] == pytest.approx(0.013016)
    assert kinds["tool"]["steps"] == 11


def test_the_dearest_tenth_is_what_eats_the_money(filled: Filled) -> None:
    """S3.22 over the demo: two of eleven runs, of which one took it all."""
    dear, others = demo(filled, "cost-tenth")
    curve = demo(filled, "cost-concentration")
    dearest = demo(filled, "cost-dearest")

    assert (dear["runs"], others["runs"]) == (2, 9)
    assert dear["share"] == pytest.approx(12.003059 / 12.0058086)
    assert dear["share"] + others["share"] == pytest.approx(1)
    assert curve[0]["cost_share"] == pytest.approx(12 / 12.0058086)
    assert [curve[-1][name] for name in ("share_of_runs", "cost_share", "time_share")] == [
        pytest.approx(1)
    ] * 3
    assert [row["agent"] for row in dearest] == ["analyst", "support_agent"]
    assert dearest[-1]["share_so_far"] == pytest.approx(dear["share"])


def test_a_shared_budget_is_told_by_its_newest_run_and_runs_out(filled: Filled) -> None:
    """S2.2, S2.15: what a department has left of its day, and for how long at this pace."""
    found = {
        (row["rule"], row["dimension"]): row
        for row in governed(filled, "cost-budgets", "department")
    }
    care, own = found["department-day", "care"], found["run-cost", "care"]

    assert (care["shared"], care["runs"], care["limit"]) == (1, 6, 1)
    assert care["used_share"] == pytest.approx(0.505192)
    context = filled.demo()
    period_secs = context.until_ns // 10**9 - context.since_ns // 10**9
    left = period_secs * (1 - 0.505192) / 0.505192
    assert care["used_up_in_secs"] == pytest.approx(left, rel=0.01)
    assert (own["shared"], own["used_up_in_secs"]) == (0, None)
    (over,) = [r for r in demo(filled, "cost-budgets", "agent") if r["over"]]
    assert (over["rule"], over["dimension"], over["most_share"]) == ("run-cost", "analyst", 1.2)


def test_an_open_run_says_which_budget_is_next(filled: Filled) -> None:
    """S1.9, S1.20: before it is used up."""
    (row,) = governed(filled, "cost-budgets-open")

    assert (row["run_id"], row["rule"]) == (run_id("waits"), "department-day")
    assert row["used_up_in_secs"] > 60


def test_the_suggested_limit_is_that_of_the_command(filled: Filled) -> None:
    """S1.22: one rule, whether a panel or `agentrun rules suggest` says it."""
    sql = query.load("cost-budget-limits")
    found = filled.store.query(sql.runnable(filled.all(level="tasks")))
    row = next(row for row in found if row["agent"] == "weather_agent" and row["suggested_usd"])
    costs = filled.store.column(
        "SELECT CostNanoUsdTotal FROM runs WHERE AgentName = 'weather_agent' AND TaskType = ''"
        " AND Status = 'completed' AND ParentRunId = '' AND CostConfidenceTotal != 'unknown'"
    )
    ran = [
        Run(run_id=str(n), group_id=str(n), agent_name="weather_agent", status="completed",
            total=Counts(model_cost_nano_usd=cost), cost_confidence_total="exact")
        for n, cost in enumerate(costs)
    ]  # fmt: skip
    limits = {one["measure"]: one["limit"] for one in suggest(ran)["file"]["budgets"]}

    assert row["runs"] == len(costs)
    assert row["suggested_usd"] == pytest.approx(limits["cost_usd"])


def test_the_month_is_forecast_from_its_days(filled: Filled) -> None:
    """What was spent plus the pace for the days that are left."""
    (row,) = governed(filled, "cost-forecast", "all")
    days_left = (row["forecast_usd"] - row["month_usd"]) / row["pace_usd"]

    assert row["pace_usd"] == pytest.approx(0.513016)
    assert 0 <= days_left <= 31


def test_a_retry_costs_the_call_that_asked_for_it(filled: Filled) -> None:
    """S3.46: the tool is free, the model that asks for it again is not."""
    row = named(governed(filled, "cost-retries", "step"), "dimension")["refund_status"]

    assert (row["retries"], row["failed"], row["worked"], row["reasons"]) == (1, 1, 1, "timeout")
    assert row["retried_usd"] == 0
    assert row["retries_usd"] == pytest.approx(0.4e-6 * 1100 + 1.6e-6 * 10)


def test_models_are_compared_within_a_task_type(filled: Filled) -> None:
    """S3.46: the large one is five times as dear; a price that is not known is not zero."""
    found = {(row["task_type"], row["models"]): row for row in governed(filled, "cost-models")}

    assert found["refund", "gpt-4.1-mini"]["cost_per_run_usd"] == pytest.approx(SMALL)
    assert found["refund", "gpt-4.1"]["times_cheapest"] == pytest.approx(5)
    assert found["refund", "gpt-4.1"]["duration_p50_ms"] == pytest.approx(900)
    assert found["status", "house-model-7"]["cost_per_run_usd"] is None


def test_what_caching_saved_follows_from_the_costs(filled: Filled) -> None:
    """List prices of gpt-4.1-mini: 0.40 USD per million tokens, cached 0.10."""
    found = named(demo(filled, "cost-cache"), "model")

    assert found["gpt-4.1-mini"]["input_rate_usd"] == pytest.approx(0.4)
    assert found["gpt-4.1-mini"]["cached_rate_usd"] == pytest.approx(0.1)
    assert found["gpt-4.1-mini"]["saved_usd"] == pytest.approx(5760 * 0.3e-6)
    assert found["claude-opus-4-1"]["saved_usd"] == 0
    # Every call alike: any two rates explain them, so none is said.
    assert named(governed(filled, "cost-cache"), "model")["gpt-4.1"]["input_rate_usd"] is None


def test_what_has_no_price_is_named(filled: Filled) -> None:
    """Nothing is guessed, and nothing is hidden."""
    (row,) = governed(filled, "cost-unknown")
    assert (row["model"], row["why"], row["calls"]) == ("house-model-7", "no price is known", 1)
    sure = named(governed(filled, "cost-confidence"), "confidence")
    assert (sure["exact"]["runs"], sure["unknown"]["runs"]) == (10, 1)


def test_revenue_less_cost_is_the_margin(filled: Filled) -> None:
    """S2.16: only of those who earn; payments by payee."""
    (row,) = governed(filled, "cost-margin", "department")
    assert (row["dimension"], row["paying"], row["losing"]) == ("care", 2, 4)
    assert row["margin_usd"] == pytest.approx(4 - 0.505192)
    paid = {(row["kind"], row["payee"]): row for row in governed(filled, "cost-payments")}
    assert paid["cost", "maps-api"]["amount_usd"] == pytest.approx(0.5)
    assert paid["revenue", ""]["payments"] == 2


# ------------------------------------------------------------------ 5. loops and policies


def test_findings_cost_something_and_may_be_wrong(filled: Filled) -> None:
    """Feedback under a rule's name judges it: one loop was real, one was not (S1.25)."""
    (row,) = governed(filled, "rules-findings")
    assert (row["rule"], row["runs"], row["flagged"]) == ("repeated-call", 2, 2)
    assert (row["judged"], row["false_positives"], row["completed_well"]) == (2, 1, 1)
    assert row["loops_usd"] == pytest.approx(7 * 0.000416)
    verdicts = {row["run_id"]: row["verdict"] for row in governed(filled, "rules-newest")}
    assert verdicts == {run_id("loop"): "true_positive", run_id("polls"): "false_positive"}
    assert sum(row["findings"] for row in governed(filled, "rules-over-time")) == 2


def test_a_loop_names_the_tool_that_is_repeated(filled: Filled) -> None:
    """S1.31: where agents get stuck."""
    (row,) = governed(filled, "rules-loops")
    assert (row["tool"], row["loops"], row["most"]) == ("find_order", 2, 5)
    assert row["completed"] == 1


def test_what_was_stopped_by_whom_and_why(filled: Filled) -> None:
    """S1.17, S5.34: an operator's kill, a refused approval; each with its cost until then."""
    stops = named(governed(filled, "rules-stops"), "stop_reason")
    assert set(stops) == {"killed_by_operator", "rejected"}
    assert stops["killed_by_operator"]["share"] == pytest.approx(1 / 11)
    runs = named(governed(filled, "rules-stopped"), "run_id")
    killed = runs[run_id("loop")]
    assert (killed["actor"], killed["reason"]) == ("ops", "it goes in circles")
    assert killed["cost_usd"] == pytest.approx(0.00208)
    (glance,) = governed(filled, "rules-summary", "all")
    assert (glance["stopped_by_people"], glance["not_approved"], glance["paused"]) == (1, 1, 1)


def test_a_directive_shows_whether_it_was_heard(filled: Filled) -> None:
    """S1.15: one run confirmed its pause; the one for all of an agent waits."""
    found = {row["scope"]: row for row in rows(filled, "rules-directives", agent="refund_agent")}
    assert found["run"]["run_id"] == run_id("waits")
    assert (found["run"]["status"], found["run"]["reason"]) == ("acknowledged", "end of the day")
    assert 0 <= found["run"]["answered_secs"] < 30
    assert (found["agent"]["status"], found["agent"]["target"]) == ("requested", "refund_agent")
    assert found["agent"]["answered_secs"] is None
    assert not rows(filled, "rules-directives", agent="support_agent")


def test_who_waits_for_an_answer_and_how_long_others_did(filled: Filled) -> None:
    """S1.16, S4.28: one question is open; yes after four seconds, no after eight."""
    (waiting,) = governed(filled, "rules-waiting")
    assert (waiting["run_id"], waiting["tool"]) == (run_id("waits"), "refund")
    assert waiting["waiting_secs"] >= 0
    (row,) = governed(filled, "rules-approvals")
    assert [row[k] for k in ("asked", "approved", "refused", "unanswered")] == [3, 1, 1, 1]
    assert (row["wait_p50_secs"], row["answered_by"]) == (pytest.approx(6), "ops")


def test_decisions_are_counted_by_verdict_and_are_in_the_ledger(filled: Filled) -> None:
    """S2.14, S4.26: each decision once."""
    decided = {(row["kind"], row["outcome"]) for row in governed(filled, "rules-decisions")}
    assert {("stop", "block"), ("approval", "approved"), ("approval", "refused")} <= decided
    ledger = {(row["kind"], row["outcome"]): row for row in rows(filled, "rules-ledger")}
    assert ledger["approval_requested", ""]["entries"] == 3
    assert ledger["directive", "pause requested"]["entries"] == 2
    assert ledger["approval", "refused"]["actor"] == "ops"


# ------------------------------------------------------------------ alerts, open runs


def test_alerts_on_money_loops_and_pauses(filled: Filled) -> None:
    """The analyst spends twelve times what is usual and past its budget; a run waits (S1.14)."""
    spikes = named(alerting(filled, "alert-cost-spike"), "agent")
    assert spikes["analyst"]["times_usual"] == pytest.approx(12)
    assert spikes["support_agent"]["times_usual"] < 1
    budgets = {(r["agent"], r["rule"]): r for r in alerting(filled, "alert-budget")}
    assert budgets["analyst", "run-cost"]["used_share"] == pytest.approx(1.2)
    assert budgets["refund_agent", "department-day"]["used_share"] == pytest.approx(0.505192)
    loops = {(r["agent"], r["rule"]): r for r in alerting(filled, "alert-loops")}
    assert loops["refund_agent", "repeated-call"]["runs_in_a_loop"] == 2
    (paused,) = alerting(filled, "alert-paused")
    assert paused["agent"] == "refund_agent"
    assert 0 <= paused["waiting_minutes"] < 15


def test_the_page_of_an_open_run_is_not_empty(filled: Filled) -> None:
    """A run that has not ended has no end to look up to."""
    waits = run_id("waits")
    assert [row["kind"] for row in rows(filled, "run-steps", run=waits)] == ["model"]
    assert len(rows(filled, "run-waterfall", run=waits)) == 1
    assert rows(filled, "run-usage", run=waits)
    facts = {row["fact"]: row["value"] for row in rows(filled, "run-facts", run=waits)}
    assert "ended" not in facts
