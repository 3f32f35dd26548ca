"""Real exports through decoder, fold and store, and out again as documents."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from collector.api import documents as api
from collector.normalize import events_of, steps_of
from collector.receiver.decode import Decoder
from collector.runs.assembler import Assembler
from collector.runs.document import event_document, rfc3339, run_document, step_document
from collector.runs.run import Counts, Run
from collector.store import documents
from collector.store.client import Store
from collector.store.reader import Reader, RunFilter
from collector.store.recall import Recall
from collector.store.writer import Flush, Writer
from otel_agentrun.step import Event, SpanView, Usage
from tests.support import captures
from tests.support.store import (
    SECOND,
    START,
    TRACE,
    a_placed,
    a_run,
    a_step,
    store,  # noqa: F401
    store_database,  # noqa: F401
    store_engine,  # noqa: F401
    store_path,  # noqa: F401
)


def decoded(source: str) -> tuple[list[pa.RecordBatch], list[pa.RecordBatch]]:
    """(span batches, log batches) of a capture, one export request per line."""
    decoder = Decoder()
    found: dict[str, list[pa.RecordBatch]] = {"traces": [], "logs": []}
    for signal, decode in (("traces", decoder.traces_json), ("logs", decoder.logs_json)):
        path = captures.folder(source) / f"{signal}.otlp.json"
        if path.exists():
            for line in path.read_bytes().splitlines():
                batch = decode(line, received_at_ns=time.time_ns()).batch
                found[signal].append(batch)
    return found["traces"], found["logs"]


def ingest(
    writer: Writer, spans: Sequence[pa.RecordBatch], logs: Sequence[pa.RecordBatch]
) -> Assembler:
    """Fold and store, as the pipeline does."""
    assembler = Assembler()
    for batch in spans:
        assembler.add(steps_of(batch), START)
    for batch in logs:
        for event in events_of(batch):
            assembler.add_event(event, START)
    changes = assembler.changes()
    assert assembler.failures == []
    writer.write(
        Flush(
            spans=spans,
            logs=logs,
            steps=changes.steps,
            runs=changes.runs,
            removed=changes.removed,
            events=changes.events,
            heard_of=changes.heard_of,
        )
    )
    return assembler


def shape(run: dict[str, Any]) -> tuple[object, ...]:
    """Runs of the same are stored and shown alike: what they count, how they ended and began."""
    texts = ("input", "output", "parent_run_id", "session_id", "findings", "data_quality")
    counted = (bool(run[name]) for name in (*api.COUNTS, *texts))
    return (run["status"], run["stop_reason"], *run["dialects"], *counted)


@pytest.mark.parametrize("source", captures.sources())
def test_documents_of_real_exports(store: Store, source: str) -> None:  # noqa: F811
    """Every run of a capture has the fields of the API, and its task and answer as text."""
    ingest(Writer(store, inline_value_bytes_max=200), *decoded(source))
    reader = Reader(store)
    listed = documents.run_documents(reader, reader.runs(RunFilter(limit=None)))

    assert listed == sorted(listed, key=lambda run: run["started_at"], reverse=True)
    for run in {shape(run): run for run in listed}.values():  # showing one takes ten questions
        each = documents.shown(reader, run["run_id"])
        assert each is not None
        assert each["run"] == run
        api.ShownRun.model_validate(each)
        assert each["steps"]
        assert [step["step_id"] for step in each["steps"]] == list(range(1, len(each["steps"]) + 1))
        for step in each["steps"]:
            if source == "adk-legacy" and not step["attributes"]:
                continue  # ADK 1.16: neither an invocation nor what failed has any
            if step["kind"] == "tool" and not step["attributes"] and step["role"] != "function":
                # Another span tells of it: no attributes, but what is told.
                assert (step["arguments"], step["result"]) != (None, None)
            assert step["attributes"] or step["role"] == "told" or step["kind"] in ("tool", "other")
    roots = [run for run in listed if run["parent_run_id"] is None]
    silent = [run["run_id"] for run in roots if not run["input"]]
    # Some emitters send no content by default, as does the client of Anthropic's two calls that no
    # agent made; elsewhere a call for embeddings may have none.
    without_content = {"openaiv2-legacy": len(roots), "adk": len(roots), "autogen": len(roots)}
    without_content |= {"anthropic-openllmetry": 2}
    assert len(silent) <= without_content.get(source, 1)


@pytest.mark.parametrize("source", captures.sources())
def test_a_restart_folds_the_same_runs_from_the_store(
    store: Store,  # noqa: F811
    source: str,
) -> None:
    """There is no second truth: what a new process reads back gives the same runs."""
    spans, logs = decoded(source)
    first = ingest(Writer(store), spans, logs)
    before = {run.run_id: run for run in Reader(store).runs(RunFilter(limit=None))}
    assert first.groups > 0

    again = Assembler()
    for batch in spans:
        again.add(steps_of(batch)[-1:], START)  # one span of each request comes again
    for stored in Recall(Reader(store))(again.unknown()):
        again.restore(stored, START)
    after = {run.run_id: run for run in again.changes().runs}

    assert after.keys() <= before.keys()
    assert after
    for run_id, run in after.items():
        assert run == before[run_id]


def test_log_records_that_came_long_before_their_spans_are_recalled(
    store: Store,  # noqa: F811
) -> None:
    """A request is logged when a call begins, its span comes when the call has ended: there is no
    run to keep in memory meanwhile, and the process may be another one by then."""
    spans, logs = decoded("openaiv2-legacy")
    steps = [step for batch in spans for step in steps_of(batch)]
    first = ingest(Writer(store), [], logs)
    assert first.steps == 0

    again = Assembler()
    again.add(steps, START)
    for stored in Recall(Reader(store))(again.unknown()):
        again.restore(stored, START)
    once = Assembler()
    once.add(steps, START)
    for batch in logs:
        for event in events_of(batch):
            once.add_event(event, START)

    assert {run.run_id: run for run in again.changes().runs} == {
        run.run_id: run for run in once.changes().runs
    }


def test_spans_of_a_trace_without_a_run_are_recalled(store: Store) -> None:  # noqa: F811
    """They are stored as spans only; when an agent's span joins them later, they are its steps."""
    from tests.support.store import spans as span_batch

    plumbing = span_batch({"SpanName": "GET", "SpanKind": "Client", "Timestamp": START})
    Writer(store).write(Flush(spans=[plumbing]))
    assembler = Assembler()
    assembler.add([a_step(span_id="2" * 16)], START)

    (stored,) = Recall(Reader(store))(assembler.unknown())

    assert [(step.span_id, step.name) for step in stored.steps] == [("b7ad6b7169203331", "GET")]
    assert stored.runs == ()


def test_unknown_traces_cost_one_look_up_and_give_nothing(store: Store) -> None:  # noqa: F811
    assembler = Assembler()
    assembler.add([a_step()], START)

    assert Recall(Reader(store))(assembler.unknown()) == []


def test_open_groups_are_recalled_after_a_restart(store: Store) -> None:  # noqa: F811
    Writer(store).write(
        Flush(
            steps=[a_placed(group_id="g1"), a_placed(a_step(trace_id="t2"), group_id="g2")],
            runs=[
                a_run("r1", group_id="g1", status="running"),
                a_run("r2", group_id="g2", status="completed"),
            ],
        )
    )

    (stored,) = Recall(Reader(store)).open_groups()

    assert [run.run_id for run in stored.runs] == ["r1"]
    assert [step.trace_id for step in stored.steps] == [TRACE]


def test_structured_fields_outlive_raw_spans(store: Store) -> None:  # noqa: F811
    """Raw data expires first; runs and steps remain readable without their content."""
    ingest(Writer(store), *decoded("langgraph"))
    reader = Reader(store)
    run_id = documents.run_documents(reader, reader.runs(RunFilter(limit=1)))[0]["run_id"]
    whole = documents.shown(reader, run_id)
    for table in ("otel_traces", "otel_traces_trace_id_ts", "agent_content"):
        store.command(f"TRUNCATE TABLE {table}")

    shown = documents.shown(reader, run_id)

    assert whole is not None
    assert shown is not None
    assert shown["run"] == {**whole["run"], "input": None, "output": None}
    assert [step["span_id"] for step in shown["steps"]] == [s["span_id"] for s in whole["steps"]]
    for step in shown["steps"]:
        assert step["attributes"] == {}
        assert step["input"] is None


def test_a_run_document_has_the_fields_of_the_api() -> None:
    document = run_document(a_run())

    assert set(document) == set(api.Run.model_fields)
    api.Run.model_validate(document)


def test_a_step_document_has_the_fields_of_the_api() -> None:
    view = SpanView(trace_id=TRACE, span_id="1", attributes={"agentrun.step.branch": "left"})
    document = step_document(a_placed(), view, None, 1)

    assert set(document) == set(api.Step.model_fields)
    api.Step.model_validate(document)
    assert document["branch"] == "left"


def money(**values: Any) -> dict[str, Any]:
    counts = Counts(
        model_cost_nano_usd=2_000_000, tool_cost_nano_usd=500_000, revenue_nano_usd=10_000_000
    )
    return run_document(a_run(own=counts, total=counts + counts, **values))


def test_an_unknown_cost_is_null_and_not_zero() -> None:
    document = money(cost_confidence="unknown", cost_confidence_total="unknown")

    assert document["cost_usd"] is None
    assert document["margin_usd"] is None
    assert document["cost_breakdown"] == {"model": None, "tool": 0.0005, "payment": 0.0}


def test_a_known_cost_is_in_dollars_own_and_total() -> None:
    document = money(cost_confidence="exact", cost_confidence_total="estimated")

    assert document["cost_usd"] == 0.0025
    assert document["margin_usd"] == 0.0075
    assert document["cost_usd_total"] == 0.005
    assert document["cost_confidence_total"] == "estimated"


def test_tokens_nobody_sent_are_null() -> None:
    """Zero would be a claim; what was sent is kept."""
    counts = Counts(model_calls=2, output_tokens=7)
    run = a_run(own=counts, total=counts, data_quality=("tokens_missing",))
    document = run_document(run)

    assert document["input_tokens"] is None
    assert document["output_tokens"] == 7
    assert document["model_calls"] == 2
    assert document["tool_calls"] == 0
    assert run_document(dataclasses.replace(run, data_quality=()))["input_tokens"] == 0


def test_times_have_nine_decimals_and_open_runs_no_end() -> None:
    open_run = run_document(a_run(started_at_ns=START + 1))
    ended = run_document(a_run(ended_at_ns=START + SECOND + 500_000))

    assert open_run["started_at"] == "2026-11-18T11:06:40.000000001Z"
    assert (open_run["ended_at"], open_run["duration_ms"]) == (None, None)
    assert ended["duration_ms"] == 1000.5
    assert rfc3339(0) is None


def test_scores_are_numbers_and_labels_text() -> None:
    run: Run = a_run(quality={"helpful": "0.5", "verdict": "good", "odd": "nan"})

    assert run_document(run)["quality"] == {"helpful": 0.5, "verdict": "good", "odd": "nan"}


def test_usage_that_was_not_sent_is_null_in_a_step() -> None:
    placed = a_placed(a_step(usage=Usage(input_tokens=0)), cost_nano_usd=3_000)
    document = step_document(placed, None, None, 1)

    assert (document["input_tokens"], document["output_tokens"]) == (0, None)
    assert document["cost_usd"] == 3e-6


def test_an_event_document() -> None:
    event = Event(event_id="e", name="n", at_ns=START, trace_id="t", attributes={"a": "b"})

    assert event_document(event, "r") == {
        "event_id": "e",
        "name": "n",
        "at": "2026-11-18T11:06:40.000000000Z",
        "run_id": "r",
        "trace_id": "t",
        "span_id": None,
        "body": None,
        "attributes": {"a": "b"},
    }
