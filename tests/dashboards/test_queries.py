"""Every query of every panel and variable, on the engine, over the demo's runs and all captures."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from collector.dashboards import query
from collector.dashboards.macros import Context, expand
from collector.dashboards.query import Query
from collector.dashboards.scope import FILTERS, LIST_FILTERS, TABLE, WITHIN, tables_within
from tests.dashboards.filled import DATABASE, Filled
from tools.dashboards.__main__ import DASHBOARDS, rendered
from tools.dashboards.alerts import GROUPS, Alert, sql_of

LOOPING = "support_agent"
CASES = [(name, by) for name in query.names() for by in (list(query.load(name).dimensions) or [""])]
SYSTEM = "system.tables"
"""What is not ours, small, and has no time."""


@functools.lru_cache(1)
def looping_run(filled: Filled) -> str:
    """Its id; asked for once, as all tests need it."""
    (run,) = filled.store.column(
        "SELECT RunId FROM runs WHERE AgentName = 'support_agent' AND StopReason = 'max_iterations'"
        f" AND StartTime >= fromUnixTimestamp64Nano({filled.began_ns})"
    )
    return str(run)


def given(filled: Filled, **filters: str) -> dict[str, str]:
    """A value for every variable that a query may have."""
    every = dict.fromkeys([*FILTERS, *LIST_FILTERS], "")
    return every | {"level": "tasks", "run": looping_run(filled)} | filters


def context(filled: Filled, by: str = "", **filters: str) -> Context:
    found = filled.all(**given(filled, **filters))
    return replace(found, trusted={"database": DATABASE, "by": by or "''"})


def any_dimension(asked: Query) -> str:
    """SQL of the first one."""
    return next(iter(asked.dimensions.values()), "")


@pytest.mark.parametrize(("name", "by"), CASES)
def test_a_query_gives_the_columns_that_it_declares(filled: Filled, name: str, by: str) -> None:
    """With every dimension: names, their order, and a kind of value that fits the unit."""
    asked = query.load(name)
    found = filled.store.arrow(asked.runnable(context(filled, asked.dimensions.get(by, ""))))

    if found.num_rows == 0:  # chDB sends no schema then; DESCRIBE knows it
        sql = asked.runnable(context(filled, asked.dimensions.get(by, "")))
        names = [row["name"] for row in filled.store.query(f"DESCRIBE ({sql})")]
    else:
        names = found.column_names
    assert names == [column.name for column in asked.columns]
    for column in asked.columns:
        if column.unit == "time":
            assert found.num_rows == 0 or found.column(column.name).null_count == 0
            continue
        for value in found.column(column.name).to_pylist()[:5] if found.num_rows else ():
            if not column.is_text:
                assert value is None or isinstance(value, int | float), f"{column.name}: {value!r}"


@pytest.mark.parametrize("name", query.names())
def test_every_filter_of_a_query_limits_it(filled: Filled, name: str) -> None:
    """A filter that nothing matches leaves nothing (or a row of zeros), and is no error."""
    asked = query.load(name)
    for one in asked.filters:
        if one == "level":
            continue
        value = "1000000" if one == "min_cost" else "nobody-has-this"
        rows = filled.store.query(
            asked.runnable(context(filled, any_dimension(asked), **{one: value}))
        )
        figures = [
            value
            for row in rows
            for key, value in row.items()
            if isinstance(value, int) and key not in ("time",)
        ]
        assert not any(figures), f"{name} with {one}: {rows[:2]}"


@pytest.mark.parametrize("name", query.names())
def test_no_query_scans_without_a_time_or_key_condition(filled: Filled, name: str) -> None:
    """The plan of every table that is read uses its partitions, its primary key or a skip index."""
    asked = query.load(name)
    by = next(iter(asked.dimensions.values()), "")
    bounded(
        filled,
        asked.runnable(
            replace(filled.demo(**given(filled)), trusted={"database": DATABASE, "by": by})
        ),
    )


def test_a_scan_would_be_noticed(filled: Filled) -> None:
    """The test above is not blind."""
    for sql in (
        f"SELECT count(), max(Steps) FROM {DATABASE}.runs WHERE AgentName = 'a'",
        f"SELECT max(Duration) FROM {DATABASE}.otel_traces WHERE SpanName = 'a'",
    ):
        with pytest.raises(AssertionError, match="is scanned"):
            bounded(filled, sql)


def bounded(filled: Filled, sql: str) -> None:
    """Every part of a table that the plan reads was chosen by a condition."""
    (plan,) = filled.store.column(f"EXPLAIN json = 1, indexes = 1 {sql}")
    nodes = [json.loads(plan)[0]["Plan"]]
    reads = 0
    for node in nodes:
        nodes += node.get("Plans", ())
        if node["Node Type"] == "ReadFromMergeTree":
            reads += 1
            used = [index for index in node.get("Indexes", ()) if index.get("Condition") != "true"]
            assert used, f"{node.get('Description')} is scanned:\n{sql}"
    # Where a condition leaves no part at all, the plan names an index and reads nothing.
    assert reads, plan


# ------------------------------------------------------------------ one workspace


@pytest.mark.parametrize("name", [name for name in query.names() if query.load(name).tenants])
def test_a_tenant_sees_its_own_rows_only(filled: Filled, name: str) -> None:
    """Whatever a query filters by: the tables that it reads are limited before."""
    asked = query.load(name)
    found = context(filled, any_dimension(asked))
    rows = filled.store.query(asked.runnable(found, workspace="nobody's \\ 'workspace"))
    assert not any(isinstance(v, int) and v for row in rows for v in row.values()), rows[:2]


def test_a_tenant_sees_what_is_its_own(filled: Filled) -> None:
    """The demo's analyst runs in the workspace `management`."""
    asked = query.load("fleet-summary")
    (row,) = filled.store.query(asked.runnable(context(filled), workspace="management"))
    assert (row["runs"], row["cost_usd"]) == (1, 12.0)


def test_every_table_is_limited_or_closed_to_tenants() -> None:
    """A table that is not named `$database.…` would escape the limits; one without a rule for
    workspaces is for no tenant."""
    for name in query.names():
        asked = query.load(name)
        tables = {match[1] for match in TABLE.finditer(asked.sql)}
        named = set(re.findall(r"\b(?:agent_\w+|otel_\w+|dead_letters|trace_\w+)\b", asked.sql))
        assert named - {"agent_error"} <= tables, f"{name}: {named - tables}"
        assert tables, name
        if tables <= WITHIN.keys():
            assert asked.tenants, name
        else:
            assert not asked.tenants, name
    with pytest.raises(ValueError, match="all workspaces"):
        tables_within("SELECT * FROM $database.dead_letters", "d", "w")


# ------------------------------------------------------------------ values of the demo


def rows(filled: Filled, name: str, by: str = "", **filters: str) -> list[dict[str, Any]]:
    asked: Query = query.load(name)
    found = replace(
        filled.demo(**given(filled, **filters)),
        trusted={"database": DATABASE, "by": asked.dimensions.get(by, "''")},
    )
    return filled.store.query(asked.runnable(found))


def demo(filled: Filled, name: str, by: str = "", **filters: str) -> list[dict[str, Any]]:
    """Only of the demo's runs."""
    return rows(filled, name, by, environment="demo", **filters)


def test_the_fleet_of_the_demo(filled: Filled) -> None:
    """Eleven tasks: one ran into its turns, one's model failed, one was judged useless (S1.35,
    S3.27, S3.42, S5.61)."""
    (row,) = demo(filled, "fleet-summary", "all")

    assert (row["runs"], row["failed"], row["max_iterations"], row["loops"]) == (11, 2, 1, 1)
    assert row["success_rate"] == pytest.approx(9 / 11)
    assert row["worked_out_rate"] == pytest.approx(8 / 11)
    assert row["cost_usd"] == pytest.approx(12.0058086)
    assert row["cost_per_run_usd"] == pytest.approx(12.0058086 / 11)
    assert row["cost_per_success_usd"] == pytest.approx(12.0058086 / 9)


def test_groups_add_up_to_the_fleet(filled: Filled) -> None:
    """Every dimension under which a run counts once tells the same story."""
    for by in ("agent", "workflow", "task-type", "user", "session", "version", "environment"):
        found = demo(filled, "fleet-summary", by)
        assert sum(row["runs"] for row in found) == 11, by
        assert sum(row["cost_usd"] for row in found) == pytest.approx(12.0058086), by


def test_a_colleague_is_seen_among_every_run_and_paid_by_the_task(filled: Filled) -> None:
    """A child run's money belongs to its task, and is its own among every run (S1.27, S3.36)."""
    every = {row["dimension"]: row for row in demo(filled, "fleet-summary", "agent", level="every")}
    tasks = {row["dimension"]: row for row in demo(filled, "fleet-summary", "agent")}

    assert "billing_agent" not in tasks
    assert every["billing_agent"]["runs"] == 1
    assert every["support_agent"]["cost_usd"] + every["billing_agent"]["cost_usd"] == pytest.approx(
        tasks["support_agent"]["cost_usd"]
    )


def test_how_the_demos_runs_ended(filled: Filled) -> None:
    """Stop reasons, failure modes and outcomes (S5.34, S3.28, S3.31)."""
    reasons = {row["stop_reason"]: row["runs"] for row in demo(filled, "fleet-stop-reasons")}
    assert reasons == {"completed": 9, "model_error": 1, "max_iterations": 1}
    modes = {row["failure_mode"]: row["error_type"] for row in demo(filled, "fleet-failure-modes")}
    assert modes == {"agent_error": "max_iterations", "model_error": "upstream_5xx"}
    outcomes = {(row["status"], row["outcome"]): row for row in demo(filled, "fleet-outcomes")}
    assert outcomes["completed", "soft_failure"]["rated"] == 1


def test_the_tool_that_timed_out_was_retried(filled: Filled) -> None:
    """S3.29: the rate of retries by operation."""
    found = {row["dimension"]: row for row in demo(filled, "fleet-retries", "step")}

    assert found["refund_status"]["retries"] == 1
    assert found["refund_status"]["error_rate"] == pytest.approx(0.5)
    assert found["refund"]["errors"] == 0


def test_new_runs_move_against_nothing_before(filled: Filled) -> None:
    """The period before the demo had none of these agents."""
    top = demo(filled, "fleet-movers", "agent")[0]
    assert (top["dimension"], top["runs_before"]) == ("analyst", 0)
    assert top["cost_change_usd"] == pytest.approx(12.0)


def test_the_looping_run_page_answers_the_checklist(filled: Filled) -> None:
    """S5.77 over the run that asks for an order that does not exist, until its turns run out."""
    (header,) = rows(filled, "run-header")
    assert (header["status"], header["model_calls"], header["tool_calls"]) == ("failed", 6, 6)
    facts = {row["fact"]: row["value"] for row in rows(filled, "run-facts")}
    assert facts["stop reason"] == "max_iterations"
    assert facts["error"] == "no answer after 6 turns"
    assert facts["user"] == "user-cleo"
    assert facts["prompt support"] == "version 13"
    asked = [row["text"] for row in rows(filled, "run-asked-answered") if row["what"] == "asked"]
    assert "When does order 9999 arrive?" in asked
    steps = rows(filled, "run-steps")
    assert [row["kind"] for row in steps].count("tool") == 6
    assert max(row["same_calls"] for row in steps) == 6
    (finding,) = rows(filled, "run-findings")
    assert finding["rule"] == "repeated-call"
    (error,) = rows(filled, "run-errors")
    assert error["error"] == "max_iterations"
    (prompt,) = rows(filled, "run-prompts")
    assert (prompt["prompt"], prompt["version"], prompt["calls"]) == ("support", "13", 6)
    (retrieval,) = rows(filled, "run-retrieval")
    assert "gen_ai.retrieval.documents" in retrieval["recorded"]
    arguments = [row for row in rows(filled, "run-content") if "9999" in row["value"]]
    assert any("argument" in row["attribute"] for row in arguments)
    usage = rows(filled, "run-usage")
    assert usage[-1]["tokens"] == 3786
    assert usage[-1]["cost_usd"] == pytest.approx(header["cost_usd"])
    kinds = {row["kind"] for row in rows(filled, "run-budgets")}
    assert {"cost_usd", "steps", "wall_secs"} <= kinds


def test_the_waterfall_is_a_tree_that_the_traces_panel_reads(filled: Filled) -> None:
    """Milliseconds, tags as key and value, one root, an error where the run failed."""
    spans = rows(filled, "run-waterfall")
    ids = {row["spanID"] for row in spans}

    (root,) = [row for row in spans if not row["parentSpanID"]]
    assert root["operationName"] == "agent.run support_agent"
    assert root["statusCode"] == 2
    assert {row["parentSpanID"] for row in spans} <= ids | {""}
    assert all(row["duration"] < 10_000 for row in spans)
    assert {"key": "user.id", "value": "user-cleo"} in [dict(tag) for tag in root["tags"]]


def test_the_family_of_a_handoff(filled: Filled) -> None:
    """S3.33: the child leads to its parent and back."""
    (child,) = filled.store.query(
        "SELECT RunId, RootRunId FROM runs WHERE AgentName = 'billing_agent'"
    )
    relations = {row["relation"] for row in rows(filled, "run-family", run=child["RunId"])}
    assert relations == {"this run", "parent"}
    relations = {row["relation"] for row in rows(filled, "run-family", run=child["RootRunId"])}
    assert relations == {"this run", "child"}


def test_the_list_finds_runs_by_what_people_know(filled: Filled) -> None:
    """S3.40, S2.18: status, stop reason, user, cost, any id."""
    for filters, agents in (
        ({"status": "failed", "environment": "demo"}, {"support_agent"}),
        ({"stop_reason": "max_iterations", "environment": "demo"}, {"support_agent"}),
        ({"outcome": "soft_failure", "environment": "demo"}, {"analyst"}),
        ({"min_cost": "1", "environment": "demo"}, {"analyst"}),
        ({"user": "user-dirk"}, {"support_agent"}),
    ):
        assert {row["agent"] for row in rows(filled, "runs-list", **filters)} == agents, filters
    one = rows(filled, "runs-list", user="user-dirk")[0]
    assert [row["run_id"] for row in rows(filled, "runs-list", id=one["run_id"])] == [one["run_id"]]


# ------------------------------------------------------------------ what panels and variables ask


def asked_by_variables() -> Iterator[tuple[str, str]]:
    for board in DASHBOARDS:
        for variable in json.loads(rendered(board))["templating"]["list"]:
            if variable["type"] == "query" and "rawSql" in variable["query"]:
                yield f"{board.uid}-{variable['name']}", variable["query"]["rawSql"]


@pytest.mark.parametrize(("name", "sql"), list(asked_by_variables()))
def test_the_query_of_a_variable_lists_values(filled: Filled, name: str, sql: str) -> None:
    """One column of distinct words, over a period."""
    expanded = expand(sql, replace(filled.demo(), trusted={"database": DATABASE}))
    found = filled.store.query(expanded)
    values = [row["value"] for row in found]
    assert len(values) == len(set(values))
    if name.endswith("-database"):
        assert DATABASE in values
    else:
        bounded(filled, expanded)
    if name.endswith("-environment"):
        assert "demo" in values


@pytest.mark.parametrize(
    "alert",
    [one for group in GROUPS.values() for one in group if isinstance(one, Alert)],
    ids=lambda one: one.name,
)
def test_the_query_of_an_alert_names_rows_and_ends_with_a_figure(
    filled: Filled, alert: Alert
) -> None:
    """Over the data source's own database, with the backend's macros alone."""
    *labels, figure = query.load(alert.name).columns
    assert all(column.unit == "text" for column in labels)
    assert not figure.is_text
    empty = Context(since_ns=filled.began_ns, until_ns=filled.demo().until_ns)
    for row in filled.store.query(expand(sql_of(alert.name), empty)):
        assert all(isinstance(row[column.name], str) for column in labels)
        assert isinstance(row[figure.name], int | float)


def test_the_success_rate_of_the_captures_is_judged_by_agent(filled: Filled) -> None:
    """Many scripted runs of one agent, of which some fail on purpose."""
    stat = query.load("alert-success-rate")
    found = {row["agent"]: row for row in filled.store.query(stat.runnable(context(filled)))}
    assert 0.5 < found["weather_agent"]["success_rate"] < 1
