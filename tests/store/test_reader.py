"""Questions to the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.runs.assembler import Tie
from collector.store.client import Store
from collector.store.reader import Reader, RunFilter
from collector.store.writer import Flush, Writer
from otel_agentrun.step import Event, Kind, SpanEvent
from tests.support.store import (
    HOUR,
    SECOND,
    SPAN,
    START,
    TRACE,
    a_placed,
    a_run,
    a_step,
    logs,
    spans,
    store,  # noqa: F401
    store_database,  # noqa: F401
    store_engine,  # noqa: F401
    store_path,  # noqa: F401
)

RUNS = [
    a_run(
        "r1",
        started_at_ns=START,
        agent_name="support",
        workflow_name="tickets",
        task_type="refund",
        status="completed",
        stop_reason="completed",
        session_id="s1",
        conversation_id="c1",
        user_id="u1",
        request_id="q1",
        environment="prod",
        agent_version="1.0",
        workspace="acme",
        trace_ids=("t1", "t2"),
        tags={"team": "a", "tier": "x"},
    ),
    a_run(
        "r2",
        started_at_ns=START + HOUR,
        agent_name="search",
        status="running",
        app_version="1.0",
        workspace="other",
        tags={"team": "b"},
    ),
    a_run("r3", started_at_ns=START + 2 * HOUR, agent_name="support", status="failed"),
]


@pytest.fixture
def reader(store: Store) -> Reader:  # noqa: F811
    return Reader(store)


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["r3", "r2", "r1"]),
    ({"limit": 2}, ["r3", "r2"]),
    ({"limit": None}, ["r3", "r2", "r1"]),
    ({"agent": "support"}, ["r3", "r1"]),
    ({"workflow": "tickets"}, ["r1"]),
    ({"task_type": "refund"}, ["r1"]),
    ({"status": "running"}, ["r2"]),
    ({"stop_reason": "completed"}, ["r1"]),
    ({"session": "s1"}, ["r1"]),
    ({"conversation": "c1"}, ["r1"]),
    ({"user": "u1"}, ["r1"]),
    ({"request": "q1"}, ["r1"]),
    ({"trace": "t2"}, ["r1"]),
    ({"environment": "prod"}, ["r1"]),
    ({"version": "1.0"}, ["r2", "r1"]),
    ({"workspace": "other"}, ["r2"]),
    ({"tags": {"team": "a"}}, ["r1"]),
    ({"tags": {"team": "a", "tier": "y"}}, []),
    ({"since_ns": START + HOUR}, ["r3", "r2"]),
    ({"until_ns": START + HOUR}, ["r1"]),
    ({"agent": "support", "since_ns": START + 1}, ["r3"]),
    ({"agent": "x' OR 1 --"}, []),
]


def test_runs_are_filtered_and_newest_first(reader: Reader) -> None:
    """All filters of the command line and the API, on one store."""
    Writer(reader.store).write(Flush(runs=RUNS))

    for wanted, ids in FILTERS:
        assert [run.run_id for run in reader.runs(RunFilter(**wanted))] == ids, wanted


def test_a_run_comes_back_as_it_was(reader: Reader) -> None:
    Writer(reader.store).write(Flush(runs=RUNS))

    assert reader.run("r1") == RUNS[0]


def test_open_runs_are_found_for_a_restart(reader: Reader) -> None:
    paused = a_run("r4", status="paused", started_at_ns=START)
    Writer(reader.store).write(Flush(runs=[*RUNS, paused]))

    assert {run.run_id for run in reader.open_runs()} == {"r2", "r4"}
    assert {run.run_id for run in reader.open_runs(START + 1)} == {"r2"}


def test_known_traces_are_those_with_spans(reader: Reader) -> None:
    Writer(reader.store).write(Flush(spans=[spans({}, {"TraceId": "b" * 32})]))

    assert reader.known_traces([TRACE, "b" * 32, "c" * 32]) == {TRACE, "b" * 32}
    assert reader.known_traces([]) == set()


def test_groups_are_found_by_trace_and_by_name(reader: Reader) -> None:
    """A joined group has many traces; a conversation is one only within its workspace."""
    event = Event(event_id="e", name="agentrun.feedback", at_ns=START, trace_id="t9")
    run = a_run("r1", group_id="g1", conversation_id="c", session_id="s", workspace="acme")
    run = replace(run, tie_ids=("call-1", "call-2"))
    flush = Flush(
        spans=[spans({"TraceId": "t2"})],
        steps=[
            a_placed(a_step(trace_id="t1"), group_id="g1"),
            a_placed(a_step(trace_id="t2"), group_id="g1"),
            a_placed(a_step(trace_id="t3"), group_id="g3"),
        ],
        events=[(event, "r9", "g9")],
        runs=[run],
    )
    Writer(reader.store).write(flush)

    assert reader.groups_of(["t2"]) == {"g1"}
    assert reader.groups_of(["t1", "t3", "t4"]) == {"g1", "g3"}
    assert reader.groups_of(["t9"]) == {"g9"}
    assert reader.groups_of(run_ids=[("acme", "r1")]) == {"g1"}
    assert reader.groups_of(conversation_ids=[("acme", "c"), ("", "c")]) == {"g1"}
    assert reader.groups_of(session_ids=[("other", "s")]) == set()

    def tied(*names: str, workspace: str = "acme", at_ns: int = START) -> set[str]:
        return reader.groups_of(ties=[Tie(workspace, name, at_ns) for name in names])

    assert tied("call-2", "x") == tied("call-1") == {"g1"}
    assert tied("call-2", workspace="other") == tied("x") == set()
    assert tied("call-2", at_ns=START + 7 * HOUR) == set()  # too late


def test_a_group_is_loaded_whole(reader: Reader) -> None:
    event = Event(event_id="e", name="agentrun.feedback", at_ns=START, trace_id=TRACE)
    steps = [a_placed(a_step(span_id=f"{n:016x}"), group_id="g1", run_id="g1") for n in range(5)]
    other = a_placed(a_step(trace_id="b" * 32), group_id="g2")
    flush = Flush(
        steps=[*steps, other],
        events=[(event, "g1", "g1")],
        runs=[a_run("g1", group_id="g1"), a_run("g2", group_id="g2")],
    )
    Writer(reader.store).write(flush)

    found, events, runs = reader.load_group(["g1"])

    assert sorted(found, key=lambda p: p.step.span_id) == steps
    assert events == [(event, "g1")]
    assert [run.run_id for run in runs] == ["g1"]


def test_steps_of_a_run_are_in_order_and_a_childs_root_is_in_both(reader: Reader) -> None:
    root = a_placed(a_step(span_id="01", kind=Kind.RUN), run_id="p")
    late = a_placed(a_step(span_id="04", start_ns=START + 9), run_id="p")
    child_root = a_placed(
        a_step(span_id="02", kind=Kind.RUN, start_ns=START + 1), run_id="p", child_run_id="c"
    )
    inner = a_placed(a_step(span_id="03", start_ns=START + 2), run_id="c")
    Writer(reader.store).write(Flush(steps=[late, inner, child_root, root]))
    parent = a_run("p", group_id=TRACE, trace_ids=(TRACE,))
    child = a_run("c", group_id=TRACE, trace_ids=(TRACE,), started_at_ns=START + 1)

    assert [p.step.span_id for p in reader.steps([parent])] == ["01", "02", "04"]
    assert [p.step.span_id for p in reader.steps([child])] == ["02", "03"]
    assert reader.steps([]) == []


def test_spans_come_back_with_everything(reader: Reader) -> None:
    row = {
        "Timestamp": START,
        "SpanName": "chat",
        "SpanKind": "Client",
        "ParentSpanId": "c" * 16,
        "ServiceName": "svc",
        "ResourceAttributes": {"service.name": "svc"},
        "ScopeName": "scope",
        "ScopeVersion": "1",
        "SpanAttributes": {"a": "1", "b": "[2]"},
        "Duration": 5,
        "StatusCode": "Error",
        "StatusMessage": "no",
        "Events.Timestamp": [START + 1],
        "Events.Name": ["exception"],
        "Events.Attributes": [{"exception.type": "E"}],
        "Links.TraceId": ["d" * 32],
        "Links.SpanId": ["e" * 16],
        "Links.TraceState": [""],
        "Links.Attributes": [{}],
        "IngestAttributes": {"workspace": "acme"},
        "Version": 3,
    }
    Writer(reader.store).write(Flush(spans=[spans(row, {"SpanId": "f" * 16})]))

    (view,) = reader.spans([TRACE], [SPAN])

    assert (view.trace_id, view.span_id, view.parent_span_id) == (TRACE, SPAN, "c" * 16)
    assert (view.name, view.kind, view.scope, view.scope_version) == (
        "chat",
        "Client",
        "scope",
        "1",
    )
    assert (view.start_ns, view.end_ns, view.version) == (START, START + 5, 3)
    assert (view.status_code, view.status_message) == ("Error", "no")
    assert view.attributes == {"a": "1", "b": "[2]"}
    assert view.resource == {"service.name": "svc"}
    assert view.ingest == {"workspace": "acme"}
    assert list(view.events) == [SpanEvent("exception", START + 1, {"exception.type": "E"})]
    assert list(view.links) == [("d" * 32, "e" * 16)]
    assert len(reader.spans([TRACE])) == 2
    assert reader.spans([TRACE], since_ns=START + 1) == []
    assert reader.spans([TRACE], until_ns=START) == []


def test_logs_come_back_as_events(reader: Reader) -> None:
    batch = logs(
        {"Timestamp": START + 1, "EventName": "b", "LogAttributes": {"k": "v"}},
        {"Body": "text", "EventName": "a", "RecordId": 255},
        {"SpanId": "other"},
        {"TraceId": "f" * 32},
    )
    Writer(reader.store).write(Flush(logs=[batch]))

    assert reader.logs([TRACE], [SPAN]) == [
        Event(
            event_id="00000000000000ff", name="a", at_ns=START, trace_id=TRACE, span_id=SPAN,
            body="text",
        ),
        Event(
            event_id="0000000000000000", name="b", at_ns=START + 1, trace_id=TRACE, span_id=SPAN,
            attributes={"k": "v"},
        ),
    ]  # fmt: skip
    assert len(reader.logs([TRACE])) == 3


def test_events_of_a_run_are_in_order(reader: Reader) -> None:
    late = Event(event_id="1", name="b", at_ns=START + SECOND, attributes={"x": "y"})
    early = Event(event_id="2", name="a", at_ns=START, body="text")
    Writer(reader.store).write(Flush(events=[(late, "r1", "g"), (early, "r1", "g")]))

    assert reader.events([a_run("r1", group_id="g")]) == [(early, "r1"), (late, "r1")]


def test_feedback_reads_as_a_table(reader: Reader) -> None:
    """S3.20: of our API and of GenAI evaluations alike."""
    feedback = Event(
        event_id="1", name="agentrun.feedback", at_ns=START,
        attributes={"agentrun.feedback.name": "helpful", "agentrun.feedback.score": "0.5"},
    )  # fmt: skip
    evaluation = Event(
        event_id="2", name="gen_ai.evaluation.result", at_ns=START,
        attributes={"gen_ai.evaluation.name": "faithful", "gen_ai.evaluation.score.label": "yes"},
    )  # fmt: skip
    other = Event(event_id="3", name="agentrun.decision", at_ns=START)
    flush = Flush(events=[(event, "r1", "g") for event in (feedback, evaluation, other)])
    Writer(reader.store).write(flush)

    rows = reader.store.query("SELECT Name, Score, Label FROM agent_feedback ORDER BY EventId")

    assert rows == [
        {"Name": "helpful", "Score": 0.5, "Label": ""},
        {"Name": "faithful", "Score": None, "Label": "yes"},
    ]


def test_views_show_the_newest_rows_with_derived_columns(reader: Reader) -> None:
    """What Grafana reads, without having to know of versions."""
    run = a_run(ended_at_ns=START + 1_500_000, revision=2)
    writer = Writer(reader.store)
    writer.write(Flush(runs=[a_run(revision=1)], steps=[a_placed()]))
    writer.write(Flush(runs=[run], steps=[a_placed(revision=2, cost_nano_usd=5)]))

    assert reader.store.query("SELECT RunId, DurationMs, CostUsd FROM runs") == [
        {"RunId": TRACE, "DurationMs": 1.5, "CostUsd": 0.0}
    ]
    assert reader.store.query("SELECT SpanId, CostUsd FROM steps") == [
        {"SpanId": SPAN, "CostUsd": 5e-9}
    ]


def test_two_workspaces_may_use_one_run_id(store: Store) -> None:  # noqa: F811
    """A run id is the client's choice and a workspace a boundary (S2.1): neither replaces the
    other's run, and each finds its own."""
    ours = a_run("nightly", group_id="g1", workspace="shop", trace_ids=("t1",), started_at_ns=START)
    theirs = a_run(
        "nightly", group_id="g2", workspace="bank", trace_ids=("t2",), started_at_ns=START + 1
    )
    Writer(store).write(Flush(runs=[ours]))
    Writer(store).write(Flush(runs=[theirs]))
    store.command("OPTIMIZE TABLE agent_runs FINAL")
    reader = Reader(store)

    assert len(reader.runs(RunFilter())) == 2
    for run in (ours, theirs):
        found = reader.run("nightly", run.workspace)
        assert found is not None
        assert found.group_id == run.group_id
