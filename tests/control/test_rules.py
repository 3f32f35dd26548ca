"""What rules find and what callers ask, against `agentrun up` with a rules file."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from otel_agentrun import semconv
from tests.control.application import Application, a_request, an_open_run
from tests.e2e.otlp import CHAT, TOOL, a_span, traces
from tests.e2e.talk import Talk, eventually
from tests.support.process import CollectorProcess

RULES = """
defaults: false
budgets:
  - {name: few-tools, measure: tool_calls, limit: 2, escalate: {warn: 0.5, kill: 1}}
  - {name: tight, measure: steps, limit: 1, escalate: {pause: 1}, match: agent_name == "careful"}
  - {name: dry, measure: model_calls, limit: 0, escalate: {kill: 1}, dry_run: true}
policies:
  - {name: no-shell, policy: forbidden_tool, tools: ["shell*"], escalate: {kill: 1}}
  - {name: only-in-prod, policy: forbidden_tool, tools: [debug], escalate: {kill: 1},
     match: environment == "prod"}
  - {name: big-refunds, policy: approval, tools: [refund], when: "arguments.amount > 500",
     escalate: {pause: 1}}
  - {name: old-models, policy: forbidden_model, models: ["gpt-3*"], escalate: {flag: 1}}
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("ruled")
    (folder / "rules.yaml").write_text(RULES)
    with CollectorProcess(
        folder / "data", store_flush_secs=0.05, rules_file=folder / "rules.yaml"
    ) as running:
        yield running


@pytest.fixture
def talk(collector: CollectorProcess) -> Talk:
    return Talk(collector)


def new_id() -> str:
    return uuid.uuid4().hex


def send_calls(talk: Talk, run_id: str, tools: int) -> None:
    """Spans of an open run: its root has not ended."""
    now_ns = time.time_ns() - 10_000_000_000
    spans = [a_span(run_id, n, TOOL, start_ns=now_ns) for n in range(1, tools + 1)]
    talk.export(traces(spans))


def ask(talk: Talk, **asked: Any) -> dict[str, Any]:
    answer = talk.api("/v1/authorize", method="POST", body={"kind": "tool", **asked})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.document
    return found


# ------------------------------------------------------------------ findings


def test_a_finding_that_calls_for_kill_becomes_a_directive(talk: Talk) -> None:
    """With rule, reason and evidence; journaled like every other."""
    run_id = new_id()
    with Application(talk.collector, an_open_run(run_id)) as application:
        application.welcome()
        send_calls(talk, run_id, 3)
        directive = application.directive()
        assert (directive.action, directive.run_id) == ("kill", run_id)
        assert (directive.rule, directive.stop_reason) == ("few-tools", "budget_calls")
        assert directive.actor == "rule"
        assert "3" in directive.reason
        assert len(directive.span_ids) == 1
        assert directive.rules_version == talk.get("/v1/rules")["version"]
        known = talk.get(f"/v1/directives/{directive.id}")
        assert (known["status"], known["rule"], known["sent_to"]) == ("requested", "few-tools", 1)
        # More of the same is the same finding, and the same directive.
        send_calls(talk, run_id, 5)
        talk.settle()
        application.confirmed(application.report())
        assert len(application.directives) == 1


def test_findings_about_runs_that_are_over_direct_nobody(talk: Talk) -> None:
    run_id = new_id()
    over = (semconv.RUN_ENDED_EVENT, {semconv.RUN_ID: run_id, semconv.STOP_REASON: "completed"})
    talk.export(a_request(over))
    send_calls(talk, run_id, 3)
    shown = talk.run(run_id)
    assert [finding["rule"] for finding in shown["run"]["findings"]] == ["few-tools"]
    assert all(d["run_id"] != run_id for d in talk.get("/v1/directives"))


# ------------------------------------------------------------------ authorize


def test_a_call_that_nothing_forbids_is_allowed(talk: Talk) -> None:
    """Also of a run that nobody has heard of."""
    answer = ask(talk, run_id=new_id(), tool="search", arguments={"q": "x"})
    assert answer["decision"] == "allow"
    assert answer["rule"] is None
    assert answer["rules_version"] == talk.get("/v1/rules")["version"]
    assert answer["budgets"] == []


def test_a_forbidden_tool_is_blocked_and_the_decision_is_recorded(talk: Talk) -> None:
    run_id = new_id()
    answer = ask(talk, run_id=run_id, tool="shell_exec", tool_call_id="c1", agent="support")
    assert (answer["decision"], answer["rule"]) == ("block", "no-shell")
    assert answer["stop_reason"] == "policy"
    assert answer["reason"] == "`shell_exec` is forbidden"

    send_calls(talk, run_id, 1)
    events = eventually(lambda: talk.run(run_id)["events"])
    [decision] = [e for e in events if e["name"] == semconv.DECISION_EVENT]
    said = decision["attributes"]
    assert said[semconv.DECISION_OUTCOME] == "block"
    assert said[semconv.DECISION_RULE] == "no-shell"
    assert said[semconv.GEN_AI_TOOL_CALL_ID] == "c1"
    assert said[semconv.ACTOR] == "anonymous"


def test_rules_are_those_for_this_run(talk: Talk) -> None:
    """`match` looks at what the asker says of a run that is not known."""
    assert ask(talk, run_id=new_id(), tool="debug")["decision"] == "allow"
    answer = ask(talk, run_id=new_id(), tool="debug", environment="prod")
    assert (answer["decision"], answer["rule"]) == ("block", "only-in-prod")


def test_a_rule_that_flags_warns(talk: Talk) -> None:
    answer = ask(talk, run_id=new_id(), kind="model", model="gpt-3.5-turbo")
    assert answer["decision"] == "allow"
    assert answer["warnings"] == ["model `gpt-3.5-turbo` is forbidden"]


def test_a_call_past_a_budget_is_blocked_before_it_is_made(talk: Talk) -> None:
    """Two of two are used: the third is one too many; other kinds of call are not counted there."""
    run_id = new_id()
    send_calls(talk, run_id, 2)
    talk.settle()
    answer = eventually(lambda: (a := ask(talk, trace_id=run_id, tool="search"))["budgets"] and a)
    assert (answer["decision"], answer["rule"]) == ("block", "few-tools")
    assert answer["stop_reason"] == "budget_calls"
    assert answer["run_id"] == run_id
    used = {use["rule"]: (use["used"], use["remaining"]) for use in answer["budgets"]}
    assert used["few-tools"] == (2, 0)
    model = ask(talk, run_id=run_id, kind="model", model="gpt-4o")
    assert model["decision"] == "allow"


def test_an_approval_is_asked_for_once_and_its_answer_counts(talk: Talk) -> None:
    """By argument predicate; the same call asked about again waits for the same approval."""
    run_id = new_id()
    small = ask(talk, run_id=run_id, tool="refund", tool_call_id="c0", arguments={"amount": 5})
    assert small["decision"] == "allow"
    call = {"run_id": run_id, "tool": "refund", "tool_call_id": "c1", "arguments": {"amount": 900}}
    first = ask(talk, **call)
    assert (first["decision"], first["rule"]) == ("ask", "big-refunds")
    assert first["approval_id"]
    again = ask(talk, **call)
    assert (again["decision"], again["approval_id"]) == ("ask", first["approval_id"])
    assert ask(talk, **{**call, "tool_call_id": "c2"})["approval_id"] != first["approval_id"]


def test_a_stopped_run_is_told_so(talk: Talk) -> None:
    """Where no span processor is, the next question is where a verdict arrives."""
    run_id = new_id()
    with Application(talk.collector, an_open_run(run_id)) as application:
        application.welcome()
        talk.api(f"/v1/runs/{run_id}/pause", method="POST", body={"reason": "wait for Ada"})
        paused = ask(talk, run_id=run_id, tool="search")
        assert (paused["decision"], paused["reason"]) == ("pause", "wait for Ada")
        talk.api(f"/v1/runs/{run_id}/resume", method="POST", body={})
        assert ask(talk, run_id=run_id, tool="search")["decision"] == "allow"
        stop = talk.api(f"/v1/runs/{run_id}/stop", method="POST", body={}).document
        blocked = ask(talk, run_id=run_id, kind="retrieve")
        assert (blocked["decision"], blocked["stop_reason"]) == ("block", "killed_by_operator")
        assert blocked["directive_id"] == stop["directive_id"]


def test_one_that_began_after_a_wide_stop_goes_on(talk: Talk) -> None:
    before, after = new_id(), new_id()
    agent = f"agent-{new_id()[:8]}"
    with Application(talk.collector, an_open_run(before, agent=agent)) as application:
        application.welcome()
        talk.api("/v1/stop", method="POST", body={"agent": agent})
        application.confirmed(application.report(started=(an_open_run(after, agent=agent),)))
        assert ask(talk, run_id=before, tool="search")["decision"] == "block"
        assert ask(talk, run_id=after, tool="search")["decision"] == "allow"


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"kind": "tool", "tool": "x"}, "run_id or trace_id"),
        ({"kind": "tool", "run_id": "r"}, "tool is needed"),
        ({"kind": "model", "run_id": "r"}, "model is needed"),
        ({"kind": "plan", "run_id": "r"}, "kind"),
        ({"kind": "tool", "run_id": "r", "tool": "x", "more": 1}, "more"),
        ({"kind": "tool", "run_id": "r", "tool": "x" * 2000}, "1024"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    talk: Talk, asked: dict[str, Any], problem: str
) -> None:
    answer = talk.api("/v1/authorize", method="POST", body=asked)
    assert answer.status == 400
    assert problem in answer.document["error"]["message"]


def test_what_was_asked_is_counted(talk: Talk) -> None:
    ask(talk, run_id=new_id(), tool="shell_x")
    ask(talk, run_id=new_id(), kind="model", model=CHAT["gen_ai.request.model"])
    metrics = talk.api("/metrics").body.decode()
    assert 'agentrun_authorize_total{decision="block"}' in metrics
    assert 'agentrun_authorize_total{decision="allow"}' in metrics
    assert "agentrun_authorize_seconds_bucket" in metrics
