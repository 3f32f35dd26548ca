"""Dashboards 8 and 9 over runs whose story is known: a worse version, a family that breaks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from collector.config import Config, SecretUrl
from collector.dashboards import query
from collector.dashboards.macros import Context, expand
from collector.dashboards.scope import FILTERS
from collector.demo.live import anywhere
from collector.ingest import ingest
from collector.store import schema
from collector.store.client import Store
from tests.dashboards.filled import Filled
from tests.dashboards.test_queries import demo
from tests.dashboards.workshop import attributes_of
from tests.support.store import DAY, HOUR, SECOND, START, store_engine, store_path  # noqa: F401
from tools.dashboards.__main__ import DASHBOARDS, FOLDER
from tools.dashboards.alerts import GROUPS, MetricAlert, sql_of
from tools.dashboards.page import answered, questions

CHANGES = """
INSERT INTO agent_runs (StartTime, EndTime, RunId, GroupId, RootRunId, AgentName, Status,
    FailureMode, Outcome, Steps, StepsTotal, ToolCalls, ToolCallsTotal, ModelCostNanoUsd,
    ModelCostNanoUsdTotal, PromptVersions, PolicyVersion, RouteConfigVersion, Version)
SELECT
    fromUnixTimestamp64Nano(toInt64(%(start)s + number * 1000000000)) AS began,
    began + toIntervalMillisecond(1000 + 37 * number %% 300), toString(number), toString(number),
    toString(number), 'desk',
    if(number %% 10 < if(number < 100, 9, 6), 'completed', 'failed') AS status,
    if(status = 'completed', '', if(number < 100, 'timeout', 'tool_error')),
    if(number >= 100 AND number %% 20 = 0, 'soft_failure', ''),
    10 + number %% 3 AS steps, steps, if(number < 100, 3, 11) AS calls, calls,
    1000000 * (1 + number %% 5) AS cost, cost,
    map('support', if(number < 100, '12', '13')), 'p-1', if(number < 195, 'r-1', 'r-2'), 1
FROM numbers(200)"""
"""A hundred runs with version 12 of a prompt, a hundred with 13: success 90 and 60 %, tool calls 3
and 11 (S5.65), other errors, five complaints.  The route changes five runs before the end."""


@pytest.fixture(scope="module")
def store(store_engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:  # noqa: F811
    """A database of these tests alone."""
    with Store.open(store_engine, database="versions_and_agents") as opened:
        schema.apply(opened)
        opened.command(CHANGES, {"start": START})
        folder = tmp_path_factory.mktemp("family")
        config = anywhere(Config(), folder)
        kept = replace(config.store, url=SecretUrl(store_engine), database=opened.database)
        file = folder / "family.otlp.json"
        file.write_text(json.dumps(family()), encoding="utf-8")
        ingest(replace(config, store=kept), [file], progress=lambda done, total: None)
        yield opened
        opened.command("DROP DATABASE versions_and_agents SYNC")


def rows(store: Store, name: str, by: str = "", **given: str) -> list[dict[str, Any]]:
    asked = query.load(name)
    context = Context(
        since_ns=START - HOUR,
        until_ns=START + HOUR,
        interval_ms=3_600_000,
        given=dict.fromkeys(FILTERS, "") | {"level": "tasks"} | given,
        trusted={"database": store.database, "by": asked.dimensions.get(by, "''")},
    )
    return store.query(asked.runnable(context))


# ------------------------------------------------------------------ 8. versions


def test_a_worse_prompt_is_found_worse(store: Store) -> None:
    """S5.57, S5.65, S4.19: success and tool calls changed, steps and cost per run did not."""
    found = {row["measure"]: row for row in rows(store, "versions-changes", "prompt")}

    assert {(row["before"], row["after"], row["agent"]) for row in found.values()} == {
        ("12", "13", "desk")
    }
    success = found["success, %"]
    assert (success["value_before"], success["value_after"]) == (90, 60)
    assert success["verdict"] == "worse"
    calls = found["tool calls"]
    assert (calls["value_before"], calls["value_after"], calls["p"]) == (3, 11, 0)
    assert calls["verdict"] == "worse"
    assert found["cost per success, USD"]["change"] == pytest.approx(0.5)
    assert found["cost per success, USD"]["verdict"] == "worse"
    same = {name for name, row in found.items() if row["verdict"] == "no difference"}
    assert {"steps", "cost per run, USD", "retries", "complaints, %"} <= same
    assert found["retries"]["p"] == 1


def test_the_tests_of_significance_are_those_of_the_textbook(store: Store) -> None:
    """The z-test and Welch's t-test agree with the engine's own, which panels cannot use: they have
    no answer where a share is 0 or nothing varies."""
    found = {row["measure"]: row for row in rows(store, "versions-changes", "prompt")}
    (own,) = store.query(
        "SELECT proportionsZTest(90, 60, 100, 100, 0.95, 'pooled').2 AS z,"
        " welchTTest(DurationMs, PromptVersions['support'] = '13').2 AS seconds,"
        " welchTTest(Steps, PromptVersions['support'] = '13').2 AS steps"
        " FROM runs WHERE AgentName = 'desk'"
    )
    assert found["success, %"]["p"] == pytest.approx(own["z"])
    assert found["duration, s"]["p"] == pytest.approx(own["seconds"], abs=1e-4)
    assert found["steps"]["p"] == pytest.approx(own["steps"], abs=1e-4)
    pooled = 0.025  # five complaints of two hundred runs; none before
    z = 0.05 / math.sqrt(pooled * (1 - pooled) * 0.02)
    assert found["complaints, %"]["p"] == pytest.approx(math.erfc(z / math.sqrt(2)))


def test_five_runs_are_too_few_to_say(store: Store) -> None:
    """S4.33: a change of route just now."""
    found = rows(store, "versions-changes", "route")
    assert {(row["runs_before"], row["runs_after"]) for row in found} == {(195, 5)}
    assert {row["verdict"] for row in found} == {"too few runs"}
    assert rows(store, "versions-changes", "policy") == [], "it has had one version only"


def test_failures_before_and_after_are_told_by_mode(store: Store) -> None:
    """S4.34: the timeouts went, tool errors came."""
    found = {row["failure_mode"]: row for row in rows(store, "versions-failures", "prompt")}
    assert (found["timeout"]["failed_before"], found["timeout"]["failed_after"]) == (10, 0)
    assert (found["tool_error"]["share_before"], found["tool_error"]["share_after"]) == (0, 0.4)
    assert (found["timeout"]["verdict"], found["tool_error"]["verdict"]) == ("better", "worse")


def test_versions_stand_side_by_side_and_changes_in_a_list(store: Store) -> None:
    """S4.15: newest first, with the interval of the success rate; all kinds in one list."""
    newer, older = rows(store, "versions-summary", "prompt")
    assert (newer["version"], newer["runs"], newer["complaint_rate"]) == ("13", 100, 0.05)
    assert older["success_low"] == pytest.approx(0.8256, abs=1e-4)  # Wilson's interval of 90 / 100
    assert older["success_high"] == pytest.approx(0.9448, abs=1e-4)
    kinds = {(row["kind"], row["after"]) for row in rows(store, "versions-every")}
    assert kinds == {("prompt", "13"), ("route", "r-2")}
    versions = {row["dimension"]: row["runs"] for row in rows(store, "versions-volume", "prompt")}
    assert versions == {"support 12": 100, "support 13": 100}


def test_complaints_name_the_versions_that_answered(store: Store, filled: Filled) -> None:
    """S4.33, also with what was said: the demo's analyst was not worth it."""
    found = rows(store, "versions-complaints")
    assert {row["prompts"] for row in found} == {"support 13"}
    assert len(found) == 5
    (said,) = demo(filled, "versions-complaints")
    assert (said["agent"], said["comment"]) == ("analyst", "We knew that.")
    assert said["said"] == "soft_failure"
    assert said["route"] == "claude-opus-4-1"


def test_the_demo_changed_its_prompt(filled: Filled) -> None:
    """Version 13 is what the guardrail taught."""
    found = demo(filled, "versions-every")
    assert ("prompt", "support", "12", "13") in {
        (row["kind"], row["subject"], row["before"], row["after"]) for row in found
    }


def test_a_regression_fires_by_how_much_worse_it_is(store: Store) -> None:
    """S5.65: 3 -> 11 tool calls; steps did not change and five runs of a route say nothing."""
    now = Context(since_ns=START - 6 * DAY, until_ns=START + HOUR)
    sql = expand(sql_of("alert-regression"), now)
    found = {(row["kind"], row["measure"]): row for row in store.query(sql)}
    assert found.keys() == {("prompt", "success rate"), ("prompt", "tool calls per run")}
    assert found["prompt", "success rate"]["worse"] == pytest.approx(1 / 3)
    assert found["prompt", "tool calls per run"]["worse"] == pytest.approx(8 / 3)
    later = expand(sql_of("alert-regression"), replace(now, until_ns=START + 2 * DAY))
    assert store.query(later) == [], "a day later it is the state of things"


def test_a_drop_of_success_is_told_against_the_week_before(store: Store) -> None:
    """S3.25: an hour with nothing but failures, after a week with three of four; not that week."""
    sql = sql_of("alert-success-drop")
    week = Context(since_ns=START - 6 * DAY, until_ns=START + 2 * HOUR)
    assert store.query(expand(sql, week)) == [], "no task of the last hour"
    half = Context(since_ns=START - 6 * DAY, until_ns=START + HOUR + 100 * SECOND)
    (found,) = store.query(expand(sql, half))
    assert found == {"agent": "desk", "lost": pytest.approx(1 / 3)}


# ------------------------------------------------------------------ 9. agents


def family() -> dict[str, Any]:
    """A planner asks two agents at once, takes a vote; one of them breaks one level below."""
    trace = "fa" * 16
    at = START + 600 * SECOND

    def span(
        number: int, parent: int, name: str, start: int, end: int, error: str = "", **said: Any
    ) -> dict[str, Any]:
        given = {key.replace("__", "."): value for key, value in said.items()}
        status = {"code": 2, "message": error} if error else {"code": 0}
        more = {"error.type": error} if error else {}
        return {
            "traceId": trace,
            "spanId": f"{number:016x}",
            "parentSpanId": f"{parent:016x}" if parent else "",
            "name": name,
            "startTimeUnixNano": str(at + start * SECOND),
            "endTimeUnixNano": str(at + end * SECOND),
            "attributes": attributes_of({**given, **more}),
            "status": status,
        }

    def agent(number: int, parent: int, name: str, start: int, end: int, error: str = "") -> Any:
        said = {"agentrun__step__kind": "run", "gen_ai__agent__name": name}
        return span(
            number, parent, f"agent.run {name}", start, end, error,
            gen_ai__operation__name="invoke_agent", **said,
        )  # fmt: skip

    spans = [
        agent(1, 0, "planner", 0, 20),
        agent(2, 1, "reader", 1, 4),
        agent(3, 1, "checker", 1, 12, "ToolError"),
        agent(4, 3, "parser", 2, 11, "timeout"),
        span(
            5, 1, "agent.plan", 13, 14, agentrun__step__kind="plan",
            agentrun__aggregation__method="majority",
            agentrun__aggregation__votes='{"refund":2,"refuse":1}',
            agentrun__aggregation__chosen='["refund"]',
            agentrun__aggregation__discarded='["refuse","wait"]', agentrun__fan_out__count=3,
        ),
        span(
            6, 1, "agent.tool transfer_to_reader", 1, 5, agentrun__step__kind="tool",
            gen_ai__tool__name="transfer_to_reader", agentrun__step__role="handoff",
            agentrun__handoff__to="reader", agentrun__handoff__reason="it reads faster",
        ),
    ]  # fmt: skip
    scope = {"scope": {"name": "otel_agentrun"}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}


def test_a_chain_breaks_where_the_deepest_run_failed(store: Store) -> None:
    """S3.35: not in the checker, which only passed the error on; the task itself recovered."""
    (broken,) = rows(store, "multi-broken")
    assert (broken["agent"], broken["started_by"], broken["task_of"]) == (
        "parser", "checker", "planner",
    )  # fmt: skip
    assert (broken["task_failed"], broken["recovered"]) == (0, 1)
    (chain,) = rows(store, "multi-chains")
    assert chain["chain"] in (
        "planner → reader → checker → parser", "planner → checker → reader → parser",
    )  # fmt: skip


def test_links_are_between_agents_that_are_nodes(store: Store) -> None:
    """The node graph drops arrows whose ends it does not know; rings are whole."""
    nodes = {row["id"]: row for row in rows(store, "multi-agents")}
    links = {(row["source"], row["target"]): row for row in rows(store, "multi-links")}
    assert links.keys() == {
        ("planner", "reader"), ("planner", "checker"), ("checker", "parser"),
    }  # fmt: skip
    assert {name for link in links for name in link} == nodes.keys()
    for node in nodes.values():
        ring = node["arc__completed"] + node["arc__failed"] + node["arc__open"]
        assert ring == pytest.approx(1)
    assert links["checker", "parser"]["detail__both"] == 1
    assert links["planner", "reader"]["secondarystat"] == 1


def test_a_workflow_knows_its_slow_and_weak_agents(store: Store) -> None:
    """S3.37, S3.38: over all agents of one task."""
    (found,) = rows(store, "multi-workflows")
    assert (found["workflow"], found["tasks"], found["runs_per_task"]) == ("planner", 1, 4)
    assert found["agents"] == "checker, parser, planner, reader"
    assert found["slowest"] == "checker"
    assert found["slowest_share"] == pytest.approx(11 / 23)
    assert found["weakest_failed"] == 1
    (summary,) = rows(store, "multi-summary")
    assert (summary["shared"], summary["agents_per_task"], summary["deepest"]) == (1, 2, 3)


def test_handoffs_tell_the_reason_and_how_it_went(store: Store, filled: Filled) -> None:
    """S5.46, S5.47; the demo hands an invoice to billing."""
    (found,) = rows(store, "multi-handoffs")
    assert (found["from_agent"], found["to_agent"], found["handoffs"]) == ("planner", "reader", 1)
    assert (found["reasons"], found["recipient_runs"]) == ("it reads faster", 1)
    (told,) = demo(filled, "multi-handoffs", agent="support_agent")
    assert (told["to_agent"], told["reasons"]) == ("billing_agent", "about an invoice")
    assert told["recipient_success"] == 1


def test_votes_and_what_was_thrown_away_are_seen(store: Store) -> None:
    """S5.50, S5.51, S5.52."""
    (vote,) = rows(store, "multi-votes")
    assert (vote["method"], vote["started"], vote["discarded_count"]) == ("majority", "3", 2)
    assert json.loads(vote["votes"]) == {"refund": 2, "refuse": 1}
    (method,) = rows(store, "multi-aggregation")
    assert (method["times"], method["kept"], method["discarded"]) == (1, 1, 2)
    assert method["winner_share"] == pytest.approx(2 / 3)
    assert method["unanimous"] == 0


def test_the_graph_has_the_links_as_its_second_query() -> None:
    """The panel tells nodes and edges apart by `source` and `target`."""
    text = (FOLDER / "json" / "agentrun-multi.json").read_text(encoding="utf-8")
    (graph,) = [one for one in json.loads(text)["panels"] if one["type"] == "nodeGraph"]
    nodes, edges = graph["targets"]
    assert (nodes["refId"], edges["refId"]) == ("A", "B")
    assert nodes["rawSql"] == query.load("multi-agents").sql
    assert edges["rawSql"] == query.load("multi-links").sql


# ------------------------------------------------------------------ all dashboards


def test_every_question_has_a_panel() -> None:
    """Issue 6: each "view", "metric" and "dashboard" line is answered by a named panel."""
    found = answered(DASHBOARDS, GROUPS)
    assert [one for one in questions() if one not in found] == []


def test_rules_about_the_collector_ask_the_panels_expression() -> None:
    """Without the variable of the dashboard, for all collectors."""
    rules = {one.name: one for one in GROUPS["collector"] if isinstance(one, MetricAlert)}
    assert rules.keys() == {"items-nowhere", "journal-filling"}
    assert (
        rules["journal-filling"].expression == "agentrun_journal_bytes / agentrun_journal_bytes_max"
    )
    assert rules["items-nowhere"].expression.startswith("abs((sum by (signal)")
