"""What the dashboard "Tools and failures" says of runs whose story is known (`workshop`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.dashboards import query
from collector.dashboards.macros import Context
from collector.dashboards.scope import FILTERS
from tests.dashboards.filled import DATABASE, HOUR_NS, Filled
from tests.dashboards.workshop import ENVIRONMENT


def rows(filled: Filled, name: str, by: str = "", **given: str) -> list[dict[str, Any]]:
    """Of the workshop's runs alone."""
    asked = query.load(name)
    filters = dict.fromkeys(FILTERS, "") | {"level": "tasks", "environment": ENVIRONMENT} | given
    context = replace(
        filled.demo(),
        since_ns=filled.began_ns - HOUR_NS,
        given=filters,
        trusted={"database": DATABASE, "by": asked.dimensions.get(by, "''")},
    )
    return filled.store.query(asked.runnable(context))


def test_forty_percent_of_failed_runs_come_from_one_error_of_one_tool(filled: Filled) -> None:
    """S5.31, in the words of the requirement: four of ten failed runs, and which tool and error."""
    found = {(row["kind"], row["step"], row["error"]): row for row in rows(filled, "tools-blame")}

    refused = found["tool", "create_refund", "validation_error"]
    assert (refused["runs"], refused["agent"]) == (4, "clerk")
    assert refused["share"] == pytest.approx(4 / 11)  # the librarian's failed run counts, too
    assert found["tool", "find_order", "timeout"]["runs"] == 2
    assert found["model", "m-1", "rate_limit"]["runs"] == 4
    (clerks,) = [
        row for row in rows(filled, "tools-blame", agent="clerk") if row["step"] == "create_refund"
    ]
    assert clerks["share"] == pytest.approx(0.4)


def test_an_alert_tells_the_share_of_one_error_of_one_tool(filled: Filled) -> None:
    """S5.31: the same figure, over all failed runs of the period."""
    asked = query.load("alert-tool-error-share")
    found = filled.store.query(asked.runnable(_alert(filled)))
    shares = {(row["tool"], row["error"]): row["share"] for row in found}
    assert shares["create_refund", "validation_error"] == pytest.approx(
        2 * shares["find_order", "timeout"]
    )


def _alert(filled: Filled) -> Context:
    demo = filled.demo()
    return replace(
        demo, since_ns=filled.began_ns - HOUR_NS, given={}, trusted={"database": DATABASE}
    )


def test_the_new_version_of_a_tool_is_what_fails(filled: Filled) -> None:
    """S5.25, S5.58, S5.82: same tool, two versions; and contracts of runs where calls say none."""
    found = {(row["tool"], row["version"]): row for row in rows(filled, "tools-versions")}

    assert found["create_refund", "v2"]["error_rate"] == 0
    assert found["create_refund", "v3"]["error_rate"] == pytest.approx(4 / 5)
    assert found["create_refund", "v3"]["error"] == "validation_error"
    assert ("search", "contracts t-4") in found
    (error,) = [row for row in rows(filled, "tools-errors") if row["tool"] == "create_refund"]
    assert (error["version"], error["error"], error["errors"]) == ("v3", "validation_error", 4)
    assert error["share_of_calls"] == pytest.approx(4 / 5)
    assert (error["runs"], error["fatal"]) == (4, 1)
    assert error["message"] == "amount: expected a number"


def test_rates_of_tools_add_up(filled: Filled) -> None:
    """Each call is counted once, whatever it is grouped by (S5.36, S5.58)."""
    (every,) = rows(filled, "tools-summary", "all")
    tools = {row["dimension"]: row for row in rows(filled, "tools-summary", "tool")}

    assert every["calls"] == sum(row["calls"] for row in tools.values()) == 24
    assert every["error_rate"] == pytest.approx(8 / 24)
    assert every["timeout_rate"] == pytest.approx(4 / 24)
    assert every["refused_rate"] == pytest.approx(4 / 24)
    assert every["retry_rate"] == pytest.approx(2 / 24)
    over_time = rows(filled, "tools-error-types")
    assert {row["error"] for row in over_time} == {"timeout", "validation_error"}
    assert sum(row["errors"] for row in over_time) == 8
    rates = rows(filled, "tools-error-rate")
    assert {row["tool"] for row in rates} == {"create_refund", "find_order"}


def test_a_retry_names_its_reason_and_whether_it_helped(filled: Filled) -> None:
    """S5.30: it is the error of the call before, where nobody said it."""
    (row,) = rows(filled, "tools-retries")
    assert (row["step"], row["reason"]) == ("find_order", "timeout")
    assert (row["retries"], row["worked"], row["attempts_most"]) == (2, 0, 2)
    assert row["duration_ms"] == pytest.approx(10_000)


def test_validation_failures_are_counted_by_tool_and_by_check(filled: Filled) -> None:
    """S4.32, S5.27: typed errors of calls; outcomes of checks, which are no errors of steps."""
    (refused,) = rows(filled, "tools-mistakes")
    assert (refused["step"], refused["error"]) == ("create_refund", "validation_error")
    assert refused["failures"] == 4
    assert refused["share_of_calls"] == pytest.approx(4 / 11)
    checks = {row["check"]: row for row in rows(filled, "tools-checks")}
    assert checks["refund-limit"]["sort"] == "policy"
    assert checks["refund-limit"]["explanation"] == "amount 900 is above 500"
    arguments = checks["arguments of create_refund"]
    assert (arguments["failed"], arguments["explanation"]) == (1, "currency is missing")


def test_circles_are_seen_with_equal_and_with_varied_arguments(filled: Filled) -> None:
    """S1.25, S4.31, S5.43; a retry of a failed call is no circle."""
    found = {row["tool"]: row for row in rows(filled, "tools-repeated")}

    assert (found["read"]["same_again"], found["read"]["runs_same"]) == (2, 1)
    assert (found["search"]["same_again"], found["search"]["many_variants"]) == (0, 1)
    assert found["search"]["most_variants"] == 6
    assert found["search"]["variants_run_id"] == found["read"]["run_id"] == "workshop-17"
    assert found["find_order"]["same_again"] == 0


def test_where_runs_get_stuck_is_their_last_step(filled: Filled) -> None:
    """S1.31: by agent, with how often the run had done it."""
    found = {row["step"]: row for row in rows(filled, "tools-stuck", agent="clerk")}

    assert found["create_refund"]["share"] == pytest.approx(0.4)
    assert (found["find_order"]["times"], found["find_order"]["failed_share"]) == (2, 1)
    assert found["find_order"]["duration_p50_ms"] == pytest.approx(10_000)
    assert found["m-1"]["stop_reason"] == "model_error"


def test_causes_of_failed_runs_are_told_apart(filled: Filled) -> None:
    """S4.34: what the model got wrong, a retry in vain, a model that is busy, the rest."""
    found = {row["cause"]: row["runs"] for row in rows(filled, "tools-failures")}
    assert found == {
        "mistake of the model": 4,
        "model error": 4,
        "tool: the retry failed as well": 2,
        "agent error": 1,
    }


def test_slow_runs_are_slow_for_their_agent(filled: Filled) -> None:
    """S3.32: the one with nine calls is a long chain; those that waited for a tool failed at it."""
    found = {row["cause"]: row for row in rows(filled, "tools-slow-runs")}
    assert found["a long chain"]["run_id"] == "workshop-17"
    assert found["a long chain"]["times_usual"] > 2


def test_time_is_shared_out_among_kinds_and_steps(filled: Filled) -> None:
    """S5.62, S4.30: the tool that times out takes most of the time."""
    kinds = {row["kind"]: row for row in rows(filled, "tools-latency-kinds")}
    assert set(kinds) == {"model", "tool", "retrieve", "validate"}
    assert sum(row["share_of_time"] for row in kinds.values()) == pytest.approx(1)
    assert kinds["tool"]["longest_ms"] == pytest.approx(5000)
    assert {row["kind"] for row in rows(filled, "tools-latency")} == set(kinds)
    slowest, *_ = rows(filled, "tools-slow-steps")
    assert (slowest["step"], slowest["p95_ms"]) == ("find_order", pytest.approx(5000))


def test_a_jump_of_durations_is_told_as_a_multiple(filled: Filled) -> None:
    """S3.45: the demo has no agent with ten runs in two periods; runs are moved in time instead.

    The limit is on the multiple, so that quick and slow agents are judged alike."""
    asked = query.load("alert-duration")
    now = filled.store.column(
        "SELECT toUnixTimestamp64Nano(quantileExact(0.5)(StartTime)) FROM runs"
        " WHERE AgentName = 'weather_agent'"
    )[0]
    context = replace(
        filled.demo(), since_ns=now, until_ns=now + 20 * HOUR_NS, given={},
        trusted={"database": DATABASE},
    )  # fmt: skip
    found = {
        row["agent"]: row["times_usual"] for row in filled.store.query(asked.runnable(context))
    }
    assert found["weather_agent"] > 0


def test_lost_runs_are_counted_by_agent(filled: Filled) -> None:
    """S3.41: a run that stopped telling anything, which the collector closed as lost."""
    insert = (
        "INSERT INTO agent_runs (StartTime, EndTime, RunId, GroupId, AgentName, Status, StopReason,"
        " IsDeleted, Version) SELECT toStartOfHour(now()) - INTERVAL 2 HOUR,"
        " now64(9) - INTERVAL 10 MINUTE, 'lost-1', 'lost-1', 'night_shift', 'failed', 'lost',"
    )
    filled.store.command(f"{insert} 0, 1")
    asked = query.load("alert-lost")
    found = filled.store.query(asked.runnable(_alert(filled)))
    filled.store.command(f"{insert} 1, 2")  # other tests do not see it
    assert {row["agent"]: row["lost"] for row in found}["night_shift"] == 1
