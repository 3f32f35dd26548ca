"""The documents: the same by API, command line and store, as OpenAPI and DESIGN describe them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from collector.api.documents import COUNTS, MONEY
from tests.e2e.otlp import (
    AGENT,
    SECOND,
    START_NS,
    TOOL,
    a_record,
    a_run,
    a_span,
    logs,
    span_id,
    trace_id,
    traces,
)
from tests.e2e.talk import Talk, agentrun
from tests.support.process import CollectorProcess


def names_in(text: str) -> list[str]:
    return text.split()


RUN_FIELDS = names_in("""
run_id parent_run_id root_run_id child_run_ids trace_ids session_id session_name session_path
conversation_id request_id agent_name agent_id agent_role agent_type agent_version workflow_name
task_type service_name environment workspace department virtual_key user_id trigger execution
status stop_reason outcome failure_mode error_type error_message error_span_id started_at
ended_at duration_ms busy_ms paused_ms input input_structure output output_type result_ref steps
plan_steps model_calls model_errors tool_calls tool_errors retrievals validations retries
handoffs max_depth max_fan_out input_tokens output_tokens cache_read_tokens cache_write_tokens
reasoning_tokens cost_usd cost_confidence cost_source price_version cost_breakdown revenue_usd
margin_usd budgets pending_approvals models providers tools prompt_versions policy_version
tool_contract_version route_config_version index_version app_version feature_flags summary
out_of_scope findings quality tags dialects data_quality revision
""")
TWINS = {f"{name}_total" for name in (*COUNTS, *MONEY, "cost_confidence", "cost_breakdown")}
STEP_FIELDS = names_in("""
step_id span_id parent_span_id trace_id run_id kind role name agent_name agent_role branch
status error_type error_message started_at ended_at duration_ms attempt retry_of retry_reason
plan_step_id summary provider model tools_offered context_compacted request finish_reasons
input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens cost_usd
cost_confidence tool_name tool_version tool_call_id arguments result arguments_valid query
data_source embedding_model filters top_k documents decision prompt_name prompt_version
prompt_variables input output dialect attributes
""")
"""The lists of the design: what stays stable for those who read the documents."""

FULL = {
    "agentrun.request.id": "req-1",
    "session.id": "s-1",
    "agentrun.session.name": "Refund",
    "agentrun.session.path": "/support/refunds",
    "gen_ai.conversation.id": "c-1",
    "user.id": "u-1",
    "agentrun.agent.id": "a-1",
    "agentrun.agent.role": "planner",
    "agentrun.agent.type": "workflow",
    "agentrun.agent.version": "7",
    "gen_ai.workflow.name": "refunds",
    "agentrun.task.type": "refund",
    "agentrun.department": "sales",
    "agentrun.workspace": "shop",
    "agentrun.virtual_key": "vk-1",
    "agentrun.run.trigger": "webhook",
    "agentrun.run.execution": "async",
    "agentrun.run.summary": "refunded",
    "agentrun.output.type": "text",
    "agentrun.result.ref": "order/7",
    "agentrun.policy.version": "p-3",
    "agentrun.tool.contract_version": "t-4",
    "agentrun.route_config.version": "r-5",
    "agentrun.retrieval.index_version": "i-6",
    "agentrun.feature_flag.fast": "on",
    "agentrun.tag.tier": "gold",
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "refund order 7"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]
    ),
    "gen_ai.prompt.name": "refund",
    "gen_ai.prompt.version": "12",
}
RESOURCE = {
    "service.name": "desk",
    "service.version": "2.3.0",
    "deployment.environment.name": "prod",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def collector(folder: Path) -> Iterator[CollectorProcess]:
    with CollectorProcess(folder / "data", store_flush_secs=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def talk(collector: CollectorProcess) -> Talk:
    talk = Talk(collector)
    trace = trace_id("full")
    child = a_span(trace, 4, {**AGENT, "gen_ai.agent.name": "billing"}, secs=0.9)
    failed = a_span(trace, 5, {**TOOL, "error.type": "timeout"}, parent=4, secs=0.1, error="slow",
                    start_ns=START_NS - SECOND // 2)  # fmt: skip
    again = a_span(trace, 6, TOOL, parent=4, secs=0.1, start_ns=START_NS - SECOND)
    talk.export(traces([*a_run(trace, FULL), child, failed, again], resource=RESOURCE))
    about = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.5}
    talk.export(logs([a_record("gen_ai.evaluation.result", about, trace=trace, number=0)]))
    talk.export(traces(a_run(trace_id("plain"), {"agentrun.agent.version": "8"})))
    talk.settle()
    return talk


@pytest.fixture
def shown(talk: Talk) -> dict[str, Any]:
    document: dict[str, Any] = talk.get(f"/v1/runs/{trace_id('full')}")
    return document


def test_every_field_of_a_run_is_there_and_no_other(shown: dict[str, Any]) -> None:
    assert shown["run"].keys() == {*RUN_FIELDS, *TWINS}


def test_every_field_of_a_step_is_there_and_no_other(shown: dict[str, Any]) -> None:
    assert len(shown["steps"]) == 5
    for step in shown["steps"]:
        assert step.keys() == set(STEP_FIELDS)


def test_documents_are_what_openapi_says(talk: Talk, shown: dict[str, Any]) -> None:
    """Every key both ways, and every type: clients are generated from it."""
    api = talk.get("/openapi.json")
    schemas = api["components"]["schemas"]
    for name, document in (
        ("ShownRun", shown),
        ("Run", talk.get("/v1/runs")[0]),
        ("Error", talk.api("/v1/runs/nothing").document),
        ("Ready", talk.get("/readyz")),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": api["components"]}
        jsonschema.validate(document, schema)
    assert schemas["Run"]["properties"].keys() == shown["run"].keys()
    assert schemas["Step"]["properties"].keys() == shown["steps"][0].keys()
    assert schemas["RunEvent"]["properties"].keys() == shown["events"][0].keys()
    paths = {f"{method} {path}" for path, each in api["paths"].items() for method in each}
    assert {"get /v1/runs", "delete /v1/runs/{run_id}", "post /v1/feedback"} <= paths


def test_what_a_root_states_is_in_the_document(shown: dict[str, Any]) -> None:
    """S1.10-S1.37: session, versions, tenancy, trigger, flags, tags, result."""
    run = shown["run"]
    expected = {
        "request_id": "req-1",
        "session_id": "s-1",
        "session_name": "Refund",
        "session_path": "/support/refunds",
        "conversation_id": "c-1",
        "user_id": "u-1",
        "agent_name": "support",
        "agent_id": "a-1",
        "agent_role": "planner",
        "agent_type": "workflow",
        "agent_version": "7",
        "workflow_name": "refunds",
        "task_type": "refund",
        "department": "sales",
        "workspace": "shop",
        "virtual_key": "vk-1",
        "trigger": "webhook",
        "execution": "async",
        "summary": "refunded",
        "output_type": "text",
        "result_ref": "order/7",
        "policy_version": "p-3",
        "tool_contract_version": "t-4",
        "route_config_version": "r-5",
        "index_version": "i-6",
        "app_version": "2.3.0",
        "environment": "prod",
        "service_name": "desk",
        "feature_flags": {"fast": "on"},
        "tags": {"tier": "gold"},
        "prompt_versions": {"refund": "12"},
        "quality": {"tone": 0.5},
        "models": ["gpt-4o-mini"],
        "dialects": ["genai"],
    }
    assert {name: run[name] for name in expected} == expected
    assert "refund order 7" in run["input"]
    assert "done" in run["output"]
    assert run["started_at"].endswith("Z")
    assert len(run["started_at"].rpartition(".")[2]) == 10, "nine decimals"
    assert run["duration_ms"] == 5000.0


def test_a_child_run_has_its_own_figures_and_its_parent_the_total(
    talk: Talk, shown: dict[str, Any]
) -> None:
    run = shown["run"]
    [child_id] = run["child_run_ids"]
    assert child_id == f"{trace_id('full')}-{span_id(trace_id('full'), 4)}"
    child = talk.get(f"/v1/runs/{child_id}")["run"]
    assert (child["parent_run_id"], child["root_run_id"]) == (run["run_id"], run["run_id"])
    assert (child["agent_name"], child["tool_calls"], child["tool_errors"]) == ("billing", 2, 1)
    assert child["retries"] == 1
    assert (run["tool_calls"], run["tool_calls_total"]) == (1, 3)
    assert (run["model_calls"], run["model_calls_total"]) == (2, 2)
    assert run["cost_usd_total"] == run["cost_usd"] == 0.00042
    assert run["max_depth"] == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("agent=support", {"full", "plain"}),
        ("agent=billing", {"child"}),
        ("workflow=refunds", {"full"}),
        ("task_type=refund", {"full"}),
        ("status=completed&stop_reason=completed", {"full", "plain", "child"}),
        ("status=running", set()),
        ("session=s-1", {"full"}),
        ("conversation=c-1&user=u-1&request=req-1", {"full"}),
        ("environment=prod", {"full", "child"}),
        ("version=2.3.0", {"full", "child"}),
        ("version=8", {"plain"}),
        ("tag=tier%3Dgold", {"full"}),
        ("tag=tier%3Dgold&tag=tier2%3Dx", set()),
        ("since=1h", {"full", "plain", "child"}),
        ("until=1h", set()),
    ],
)
def test_filters_of_the_list(talk: Talk, query: str, found: set[str]) -> None:
    names = {
        trace_id("full"): "full",
        trace_id("plain"): "plain",
        f"{trace_id('full')}-{span_id(trace_id('full'), 4)}": "child",
    }
    assert {names[run["run_id"]] for run in talk.get(f"/v1/runs?{query}")} == found


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/runs?agnet=x", "unknown filter 'agnet'"),
        ("/v1/runs?since=yesterday", "since: 'yesterday' is no time"),
        ("/v1/runs?since=2025-01-01", "is no time"),
        ("/v1/runs?since=1h&until=2h", "until: must be later than since"),
        ("/v1/runs?limit=0", "limit: expected 1 to 100000"),
        ("/v1/runs?status=done", "status: 'done' is none of"),
        ("/v1/runs?tag=x", "tag: expected KEY=VALUE"),
        ("/v1/runs?agent=a&agent=b", "agent: given more than once"),
        ("/v1/runs?agent=", "agent: expected 1 to 1024 characters"),
    ],
)
def test_a_question_with_a_mistake_is_answered_with_what_is_wrong(
    talk: Talk, path: str, said: str
) -> None:
    answer = talk.api(path)
    assert answer.status == 400
    assert said in answer.document["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"run_id": 7, "name": "x", "score": 1},
        {"run_id": "x", "name": "x"},
        {"run_id": "x", "name": "x", "score": "high"},
        {"run_id": "x", "name": "x", "score": 1, "more": 1},
        [],
    ],
)
def test_feedback_with_a_mistake_is_a_400(talk: Talk, body: object) -> None:
    answer = talk.api("/v1/feedback", method="POST", body=body)
    assert answer.status == 400
    assert answer.document["error"]["message"]


def test_odd_requests_are_answered(talk: Talk) -> None:
    """No question stops the process, and none is answered with a bug."""
    paths = [
        *("/", "/v1", "/v1/runs/", "/v1/runs/%00", "/v1/runs/../x", "/v1/runs/" + "a" * 5000),
        *("/v1/runs/%F0%9F%98%80", "/v1/runs?tag=%00%3D%27", "/v1/runs?agent=%27%20OR%201"),
    ]
    for path in paths:
        assert talk.api(path).status in (200, 400, 404), path
    assert talk.api("/v1/runs", method="PUT").status == 405
    assert talk.api("/v1/runs?agent=%27%20OR%201").document == []
    assert talk.api("/healthz").status == 200


def test_updates_follow_runs_as_they_change(talk: Talk, collector: CollectorProcess) -> None:
    """`runs tail` and `/v1/events`: one document whenever a run was written."""
    url = f"http://127.0.0.1:{collector.ports['api']}"
    command = [sys.executable, "-m", "otel_agentrun", "--collector", url]
    tail = subprocess.Popen(
        [*command, "runs", "tail", "--json", "--count", "2", "--agent", "support"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen: list[dict[str, Any]] = []
    try:
        for number in range(200):
            spans = a_run(trace_id(f"tail {number}"))
            talk.export(traces(spans[:1]))
            talk.settle()
            talk.export(traces(spans[1:]))
            talk.settle()
            if tail.poll() is not None:
                break
        out, _ = tail.communicate(timeout=20)
        seen = [json.loads(line) for line in out.splitlines()]
    finally:
        tail.kill()
        tail.wait()
    assert len(seen) == 2
    assert seen[0].keys() == {*RUN_FIELDS, *TWINS}
    last = seen[-1]
    now = talk.get(f"/v1/runs/{last['run_id']}")["run"]
    assert last["status"] == "completed"
    assert last == {**now, "revision": last["revision"]}


def test_the_store_and_the_collector_give_the_same_documents(
    talk: Talk, collector: CollectorProcess, folder: Path
) -> None:
    """Last in this module: an embedded store is read when no collector holds it."""
    trace = trace_id("full")
    listed = json.loads(talk.agentrun("runs", "list", "--until", "0s", "--json").stdout)
    shown = json.loads(talk.agentrun("runs", "show", trace, "--json").stdout)
    tree = talk.agentrun("runs", "show", trace).stdout
    assert shown == talk.get(f"/v1/runs/{trace}")
    assert collector.stop() == 0
    store = f"chdb://{folder}/data/store"

    again = agentrun("runs", "list", "--until", "0s", "--json", "--store", store)

    assert json.loads(again.stdout) == listed
    both = agentrun("--store", store, "runs", "show", trace, trace_id("plain"), "--json").stdout
    assert json.loads(both)[0] == shown
    assert agentrun("--store", store, "runs", "show", trace).stdout == tree
    assert all(word in tree for word in ("search", "gpt-4o-mini", "billing"))
