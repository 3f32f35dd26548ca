"""Log records, metrics and request headers: what beside spans makes a run what it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tests.e2e.otlp import (
    AGENT,
    CHAT,
    SECOND,
    START_NS,
    a_record,
    a_run,
    a_span,
    as_json,
    logs,
    metrics,
    span_id,
    trace_id,
    traces,
)
from tests.e2e.talk import JSON, Talk, eventually
from tests.support.process import CollectorProcess, query

EVALUATION = "gen_ai.evaluation.result"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="module")
def collector(folder: Path) -> Iterator[CollectorProcess]:
    # Ended runs are forgotten at once: what comes later is about a run that only the store knows.
    with CollectorProcess(folder / "data", store_flush_secs=0.05, runs_linger_secs=0.1) as running:
        yield running


@pytest.fixture(scope="module")
def talk(collector: CollectorProcess) -> Talk:
    return Talk(collector)


def score(name: str, value: float, **more: str) -> dict[str, object]:
    return {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": value, **more}


# ---------------------------------------------------------------------- log records


def test_an_evaluation_reaches_its_run_by_its_span(talk: Talk) -> None:
    trace = trace_id("evaluated")
    talk.export(traces(a_run(trace)))
    talk.export(logs([a_record(EVALUATION, score("relevance", 0.75), trace=trace, number=3)]))

    shown = talk.run(trace)

    assert shown["run"]["quality"] == {"relevance": 0.75}
    [event] = shown["events"]
    assert (event["name"], event["run_id"], event["trace_id"]) == (EVALUATION, trace, trace)
    assert event["span_id"] == span_id(trace, 3)
    assert event["attributes"]["gen_ai.evaluation.name"] == "relevance"


def test_an_evaluation_of_a_child_run_is_the_child_s(talk: Talk) -> None:
    trace = trace_id("evaluated child")
    child = a_span(trace, 4, {**AGENT, "gen_ai.agent.name": "critic"})
    inner = a_span(trace, 5, CHAT, parent=4)
    talk.export(traces([*a_run(trace), child, inner]))
    talk.export(logs([a_record(EVALUATION, score("depth", 0.5), trace=trace, number=5)]))

    shown = talk.run(f"{trace}-{span_id(trace, 4)}")
    assert shown["run"]["quality"] == {"depth": 0.5}
    assert shown["run"]["parent_run_id"] == trace
    parent = talk.run(trace)
    assert parent["run"]["quality"] == {}
    assert parent["run"]["child_run_ids"] == [shown["run"]["run_id"]]


def test_records_may_come_before_their_spans(talk: Talk) -> None:
    """Logs and spans leave a process through different exporters."""
    trace = trace_id("early")
    talk.export(
        logs(
            [
                a_record(EVALUATION, score("tone", 1.0), trace=trace, number=3),
                a_record("gen_ai.client.operation.exception",
                         {"exception.type": "TimeoutError"}, trace=trace, number=1),
            ]
        )
    )  # fmt: skip
    talk.settle()
    talk.export(traces(a_run(trace)))

    shown = talk.run(trace)

    assert shown["run"]["quality"] == {"tone": 1.0}
    names = {event["name"] for event in shown["events"]}
    assert names == {EVALUATION, "gen_ai.client.operation.exception"}
    assert shown["run"]["revision"] & 0xFFFFFFFF == 6, "four spans and two events"


def test_inference_details_are_the_step_s_content(talk: Talk) -> None:
    """Emitters that keep messages off their spans send them as events."""
    trace = trace_id("details")
    talk.export(traces(a_run(trace)))
    details = {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "where is my parcel?"}]}
        ],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [{"type": "text", "content": "in Lyon"}]}
        ],
    }
    name = "gen_ai.client.inference.operation.details"
    talk.export(logs([a_record(name, details, trace=trace, number=3)]))

    shown = talk.run(trace)

    step = next(step for step in shown["steps"] if step["span_id"] == span_id(trace, 3))
    assert "where is my parcel?" in str(step["input"])
    assert "in Lyon" in str(step["output"])
    assert "in Lyon" in str(shown["run"]["output"])


def a_message(role: str, trace: str, at: int, body: object) -> LogRecord:
    """One message of the request of model call 3, as it is logged when that call begins."""
    at_ns = START_NS + 3 * SECOND + at
    return a_record(f"gen_ai.{role}.message", {}, trace=trace, number=3, body=body, at_ns=at_ns)


def test_a_tool_that_only_log_records_tell_of_is_a_step(talk: Talk) -> None:
    """An application without spans for its tools still gives their results to the next model call,
    and instrumentations log its messages: records before spans, and in pieces."""
    trace = trace_id("heard of")
    called = {"id": "c1", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    older = {"id": "c0", "function": {"name": "get_time", "arguments": "{}"}}
    history = [
        a_message("assistant", trace, 0, {"tool_calls": [older]}),
        a_message("tool", trace, 1, {"id": "c0", "content": "noon"}),
        a_message("assistant", trace, 2, {"tool_calls": [called]}),
        a_message("tool", trace, 3, {"id": "c1", "content": "18C, light rain"}),
    ]
    talk.export(logs(history[3:]))
    talk.settle()
    time.sleep(1.2)  # what has no run has left memory by then
    talk.export(traces([span for span in a_run(trace) if "search" not in span.name]))
    talk.export(logs(history[:2]))

    before = talk.run(trace)
    talk.export(logs(history[1:3]))
    shown = talk.run(trace)

    assert [step["tool_name"] for step in tools(before)] == ["get_time"], "as far as was known"
    [step] = tools(shown)
    assert (step["tool_name"], step["tool_call_id"]) == ("get_weather", "c1")
    assert (step["arguments"], step["result"]) == ({"city": "Rome"}, "18C, light rain")
    assert shown["run"]["tool_calls"] == 1
    assert "tool_calls_from_messages" in shown["run"]["data_quality"]
    assert shown["events"] == []

    talk.export(traces([span for span in a_run(trace) if "search" in span.name]))
    [step] = tools(talk.run(trace))
    assert step["tool_name"] == "search", "a tool with a span: what is told may be the same"


def tools(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in shown["steps"] if step["kind"] == "tool"]


def test_an_end_event_ends_a_run_and_says_why(talk: Talk) -> None:
    """Its root was never exported: the process was killed after it had sent the event."""
    trace = trace_id("ended by event")
    talk.export(traces(a_run(trace)[:3]))
    assert talk.run(trace)["run"]["status"] == "running"
    ended = {"agentrun.run.id": trace, "agentrun.stop.reason": "budget_cost"}
    talk.export(logs([a_record("agentrun.run.ended", ended, at_ns=START_NS + 30 * SECOND)]))

    run = talk.run(trace)["run"]

    assert (run["status"], run["stop_reason"]) == ("killed", "budget_cost")
    assert run["failure_mode"] == "budget"
    assert run["duration_ms"] == 29_000.0


def test_a_named_run_hears_of_events_that_only_name_it(talk: Talk) -> None:
    """`agentrun.run.id` of an application's choosing, and an event outside of every trace."""
    run_id, trace = "nightly-report-17", trace_id("nightly")
    talk.export(traces(a_run(trace, {"agentrun.run.id": run_id})))
    assert talk.run(run_id)["run"]["steps"] == 3
    paid = {"agentrun.run.id": run_id, "agentrun.payment.usd": "0.25"}
    talk.export(logs([a_record("agentrun.payment", paid)]))

    shown = talk.run(run_id)

    assert shown["run"]["cost_breakdown"]["payment"] == 0.25
    assert [event["run_id"] for event in shown["events"]] == [run_id]


def test_a_run_header_names_the_run_of_log_records_too(talk: Talk) -> None:
    """S2.19: curl sends an event of a run without writing its id into the record."""
    run_id, trace = "job-18", trace_id("job 18")
    headers = {"Alephant-Run-Id": run_id}
    assert talk.post(traces(a_run(trace)), headers=headers).status == 200
    assert talk.run(run_id)["run"]["trace_ids"] == [trace]

    event = logs([a_record(EVALUATION, score("fit", 0.9))])
    assert talk.post(as_json(event), path="/v1/logs", media_type=JSON, headers=headers).body

    assert talk.run(run_id)["run"]["quality"] == {"fit": 0.9}


def test_a_record_sent_twice_is_one_event(talk: Talk) -> None:
    trace = trace_id("twice")
    talk.export(traces(a_run(trace)))
    paid = {"agentrun.payment.usd": 0.5, "agentrun.payment.kind": "revenue"}
    for _ in range(2):
        talk.export(logs([a_record("agentrun.payment", paid, trace=trace)]))
        talk.settle()

    shown = talk.run(trace)

    assert len(shown["events"]) == 1
    assert shown["run"]["revenue_usd"] == 0.5


def test_metrics_are_accepted_counted_and_dropped(talk: Talk) -> None:
    """An SDK with all three signals switched on reports no errors."""
    before = talk.terms("metrics")
    assert talk.export(metrics(3)).partial_success.rejected_data_points == 0
    assert talk.post(metrics(4)).status == 200
    assert talk.post(as_json(metrics(5)), path="/v1/metrics", media_type=JSON).body == b"{}"
    after = talk.terms("metrics")
    assert after["received"] - before.get("received", 0) == 12
    assert after["refused"] - before.get("refused", 0) == 12
    assert (after["stored"], after["pending"]) == (0, 0)


# ---------------------------------------------------------------------- headers

HEADERS = {
    "x-request-id": "req-42",
    "Alephant-Agent-Id": "refund-agent-7",
    "alephant-session-id": "s-1",
    "alephant-session-path": "/support/refunds",
    "alephant-session-name": "Refund of order 7",
    "alephant-property-Tier": "gold",
    "alephant-prompt-id": "refund-prompt",
}


@pytest.mark.parametrize("transport", ["grpc", "protobuf", "json"])
def test_headers_stand_for_attributes(talk: Talk, transport: str) -> None:
    """S2.18-S2.26, S2.31: curl and n8n need no SDK; a request id finds its run."""
    trace = trace_id(f"headers {transport}")
    given = {**HEADERS, "x-request-id": f"req-{transport}", "alephant-session-id": transport}
    request = traces(a_run(trace))
    if transport == "grpc":
        talk.export(request, **{name.lower(): value for name, value in given.items()})
    elif transport == "protobuf":
        assert talk.post(request, headers=given).body == b""
    else:
        answer = talk.post(as_json(request), path="/v1/traces", media_type=JSON, headers=given)
        assert answer.body == b"{}"

    [run] = talk.runs(f"request=req-{transport}")

    assert run["run_id"] == trace
    assert run["request_id"] == f"req-{transport}"
    assert run["agent_id"] == "refund-agent-7"
    assert run["session_id"] == transport
    assert run["session_path"] == "/support/refunds"
    assert run["session_name"] == "Refund of order 7"
    assert run["tags"] == {"tier": "gold"}
    assert [each["run_id"] for each in talk.runs(f"session={transport}")] == [trace]
    assert trace in [each["run_id"] for each in talk.runs("tag=tier=gold")]
    steps = talk.run(trace)["steps"]
    assert {step["prompt_name"] for step in steps if step["kind"] == "model"} == {"refund-prompt"}


def test_what_a_span_says_wins_over_headers(talk: Talk) -> None:
    trace = trace_id("own words")
    root = {"session.id": "mine", "agentrun.request.id": "req-mine", "agentrun.agent.id": "me"}
    talk.post(traces(a_run(trace, root)), headers=HEADERS)

    run = talk.run(trace)["run"]

    assert (run["session_id"], run["request_id"], run["agent_id"]) == ("mine", "req-mine", "me")
    assert run["session_name"] == "Refund of order 7"


def test_run_level_headers_need_one_trace(talk: Talk) -> None:
    """A batch of several traces cannot all be one request or one run; a session they may share."""
    one, other = trace_id("batch 1"), trace_id("batch 2")
    headers = {**HEADERS, "Alephant-Run-Id": "run-of-a-batch", "alephant-session-id": "s-batch"}
    talk.post(traces([*a_run(one), *a_run(other)]), headers=headers)

    runs = talk.runs("session=s-batch")

    assert {run["run_id"] for run in runs} == {one, other}
    assert [run["request_id"] for run in runs] == [None, None]
    assert talk.api("/v1/runs/run-of-a-batch").status == 404


# ---------------------------------------------------------------------- feedback


def forgotten(talk: Talk, trace: str) -> None:
    """A run that ended and is only in the store."""
    talk.export(traces(a_run(trace)))
    talk.settle()

    def groups() -> float:
        text = talk.api("/metrics").body.decode()
        line = next(li for li in text.splitlines() if li.startswith("agentrun_open_groups "))
        return float(line.split()[1])

    eventually(lambda: groups() == 0)


def test_feedback_reaches_a_run_that_ended_long_ago(talk: Talk) -> None:
    """S3.20, S3.31: by API and by command line; each gives the run a new revision."""
    trace = trace_id("judged")
    talk.export(logs([]))
    forgotten(talk, trace)
    before = talk.run(trace)["run"]

    body = {"run_id": trace, "name": "rating", "score": 4.5, "comment": "helped"}
    answer = talk.api("/v1/feedback", method="POST", body=body)

    assert answer.status == 201
    assert answer.document["name"] == "agentrun.feedback"
    assert answer.document["attributes"]["agentrun.actor"] == "anonymous"
    after = talk.run(trace)
    assert after["run"]["quality"] == {"rating": 4.5}
    assert after["run"]["outcome"] == "success"
    assert after["run"]["revision"] == before["revision"] + 1
    assert [event["event_id"] for event in after["events"]] == [answer.document["event_id"]]

    words = ("--name", "downstream", "--label", "process_failure", "--json")
    talk.agentrun("feedback", trace, *words)

    final = talk.run(trace)["run"]
    assert final["quality"] == {"rating": 4.5, "downstream": "process_failure"}
    assert final["outcome"] == "process_failure"
    assert final["revision"] == before["revision"] + 2
    same = {name for name in final if final[name] == before[name]}
    assert final.keys() - same == {"quality", "outcome", "revision"}, "nothing else has changed"


def test_feedback_on_a_child_run_is_the_child_s(talk: Talk) -> None:
    trace = trace_id("judged child")
    child = a_span(trace, 4, {**AGENT, "gen_ai.agent.name": "critic"})
    talk.export(traces([*a_run(trace), child]))
    talk.settle()
    child_id = f"{trace}-{span_id(trace, 4)}"
    body = {"run_id": child_id, "name": "helpful", "label": "no"}
    assert talk.api("/v1/feedback", method="POST", body=body).status == 201

    assert talk.run(child_id)["run"]["quality"] == {"helpful": "no"}
    assert talk.run(trace)["run"]["quality"] == {}


def test_feedback_on_nothing_is_refused(talk: Talk) -> None:
    body = {"run_id": "nothing", "name": "rating", "score": 1}
    assert talk.api("/v1/feedback", method="POST", body=body).status == 404
    done = talk.agentrun("feedback", "nothing", "--name", "rating", "--score", "1", check=False)
    assert done.returncode == 1


# ---------------------------------------------------------------------- after it


def test_everything_is_in_the_store_and_survives_a_restart(
    collector: CollectorProcess, folder: Path
) -> None:
    """Last in this module."""
    talk = Talk(collector)
    judged = talk.run(trace_id("judged"))
    assert collector.stop() == 0
    store = f"chdb://{folder}/data/store"
    [rows] = query(
        store,
        "SELECT count() AS n, countIf(EventName = 'gen_ai.evaluation.result') AS evaluations,"
        " countIf(EventName = 'gen_ai.client.inference.operation.details') AS details"
        " FROM otel_logs FINAL",
    )
    assert (rows["evaluations"], rows["details"]) == (4, 1)

    collector.start()
    talk = Talk(collector)
    assert talk.run(trace_id("judged")) == judged
    body = {"run_id": trace_id("judged"), "name": "rating", "score": 2}
    assert talk.api("/v1/feedback", method="POST", body=body).status == 201
    assert talk.run(trace_id("judged"))["run"]["quality"]["rating"] == 2
