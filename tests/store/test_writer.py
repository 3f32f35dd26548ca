"""A flush may be written twice, in part, or over any stretch of time."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from collector.model import SPANS
from collector.runs.run import DeadLetter, Removed
from collector.store.client import Store
from collector.store.content import move_large
from collector.store.reader import Reader, RunFilter
from collector.store.writer import Flush, Writer, by_partition, trace_rows
from otel_agentrun.step import Event
from tests.support.store import (
    DAY,
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

EVENT = Event(event_id="e1", name="agentrun.feedback", at_ns=START, trace_id=TRACE, run_id=TRACE)
LETTER = DeadLetter(
    at_ns=START, signal="traces", reason="malformed", error="truncated", peer="127.0.0.1",
    size_bytes=12, sha256="0" * 64, items=3,
)  # fmt: skip
FLUSH = Flush(
    spans=[spans({"SpanName": "chat", "SpanAttributes": {"a": "x" * 100}})],
    logs=[logs({"Body": "hello"}, {"Body": "again"})],
    steps=[a_placed()],
    runs=[a_run()],
    removed=[Removed(run_id="old", group_id=TRACE, started_at_ns=START, replaced_by=TRACE)],
    events=[(EVENT, TRACE, TRACE)],
    dead_letters=[LETTER],
)
TABLES = {
    "otel_traces": 1,
    "otel_traces_trace_id_ts": 1,
    "otel_logs": 2,
    "agent_content": 1,
    "agent_steps": 1,
    "agent_runs": 1,
    "agent_events": 1,
    "dead_letters": 1,
}


def counts(opened: Store) -> dict[str, int]:
    return {table: opened.column(f"SELECT count() FROM {table} FINAL")[0] for table in TABLES}


def test_writing_a_flush_again_changes_nothing(store: Store) -> None:  # noqa: F811
    """After a lost answer nobody knows what was stored: the whole flush is written again."""
    writer = Writer(store, inline_value_bytes_max=50)
    for _ in range(3):
        writer.write(FLUSH)

    assert counts(store) == TABLES
    for table in TABLES:
        store.command(f"OPTIMIZE TABLE {table} FINAL")
    assert counts(store) == TABLES


def test_another_process_may_write_the_same(store: Store) -> None:  # noqa: F811
    """Two collectors that replay one journal's spans: still one of each, and both are known."""
    Writer(store, writer_id=1).write(FLUSH)
    Writer(store, writer_id=2).write(FLUSH)
    reader = Reader(store)

    assert store.column("SELECT count() FROM otel_traces FINAL") == [1]
    assert reader.known_traces([TRACE, "f" * 32]) == {TRACE}
    assert reader.traces_of_others([TRACE], 1) == {TRACE}


def test_own_traces_are_not_those_of_others(store: Store) -> None:  # noqa: F811
    Writer(store, writer_id=1).write(FLUSH)

    assert Reader(store).traces_of_others([TRACE], 1) == set()


def test_the_greatest_version_of_a_span_wins_in_any_order(store: Store) -> None:  # noqa: F811
    """A retried export may carry a poorer snapshot of a span."""
    rich = spans({"SpanName": "rich", "Version": 2, "SpanAttributes": {"a": "b"}})
    poor = spans({"SpanName": "poor", "Version": 1})
    writer = Writer(store)

    writer.write(Flush(spans=[rich]))
    writer.write(Flush(spans=[poor]))

    (view,) = Reader(store).spans([TRACE])
    assert (view.name, view.attributes) == ("rich", {"a": "b"})


def test_a_poorer_snapshot_of_a_run_replaces_nothing(store: Store) -> None:  # noqa: F811
    writer = Writer(store)
    writer.write(Flush(runs=[a_run(status="completed", revision=9)]))
    writer.write(Flush(runs=[a_run(status="running", revision=3)]))

    run = Reader(store).run(TRACE)
    assert run is not None
    assert run.status == "completed"


@pytest.mark.parametrize("moved_ns", [1, 2 * HOUR, 40 * DAY])
def test_a_run_whose_start_moved_is_one_run(store: Store, moved_ns: int) -> None:  # noqa: F811
    """Its start is in the key: the row under the old one is deleted in the same insert."""
    writer = Writer(store)
    early = START - moved_ns
    writer.write(Flush(runs=[a_run(revision=1)]))
    flush = Flush(
        runs=[a_run(started_at_ns=early, revision=2)],
        removed=[Removed(run_id=TRACE, group_id=TRACE, started_at_ns=START, revision=2)],
    )
    for _ in range(2):
        writer.write(flush)

    reader = Reader(store)
    assert [run.started_at_ns for run in reader.runs(RunFilter())] == [early]
    store.command("OPTIMIZE TABLE agent_runs FINAL")
    assert [run.started_at_ns for run in reader.runs(RunFilter())] == [early]


def test_an_old_id_resolves_to_the_run_that_took_its_steps(store: Store) -> None:  # noqa: F811
    """Over several folds, and after merges."""
    writer = Writer(store)
    writer.write(Flush(runs=[a_run("a"), a_run("b"), a_run("c")]))
    for old, new in (("a", "b"), ("b", "c")):
        gone = Removed(run_id=old, group_id="c", started_at_ns=START, replaced_by=new, revision=2)
        writer.write(Flush(removed=[gone]))
    store.command("OPTIMIZE TABLE agent_runs FINAL")
    reader = Reader(store)

    for run_id in ("a", "b", "c"):
        found = reader.run(run_id)
        assert found is not None
        assert found.run_id == "c"
    assert [run.run_id for run in reader.runs(RunFilter())] == ["c"]
    assert reader.run("nobody") is None


def test_runs_that_replace_each_other_end(store: Store) -> None:  # noqa: F811
    """A circle in the store must not hang a request."""
    removed = [
        Removed(run_id=old, group_id="g", started_at_ns=START, replaced_by=new, revision=2)
        for old, new in (("a", "b"), ("b", "a"))
    ]
    Writer(store).write(Flush(removed=removed))

    assert Reader(store).run("a") is None


def test_a_flush_over_many_days_is_split(store: Store) -> None:  # noqa: F811
    """The engine refuses a block over more than 100 partitions; imported history has thousands."""
    rows = [
        {"TraceId": f"{number:032x}", "SpanId": SPAN, "Timestamp": START - number * DAY}
        for number in range(250)
    ]
    Writer(store).write(Flush(spans=[spans(*rows)]))

    assert store.column("SELECT count() FROM otel_traces") == [250]
    assert store.column("SELECT count() FROM otel_traces_trace_id_ts") == [250]


def test_splitting_keeps_every_row_once() -> None:
    rows = [
        {"Timestamp": START + number * 13 * HOUR, "SpanId": str(number)} for number in range(400)
    ]
    table = pa.Table.from_batches([spans(*rows)], SPANS)

    parts = list(by_partition(table, "Timestamp", "day"))

    assert len(parts) == 3
    found = [span_id for part in parts for span_id in part["SpanId"].to_pylist()]
    assert sorted(found, key=int) == [str(number) for number in range(400)]
    assert (
        max(len({value.date() for value in part["Timestamp"].to_pylist()}) for part in parts) <= 90
    )


def test_the_trace_index_has_first_and_last_start() -> None:
    batch = spans(
        {"Timestamp": START + 5 * SECOND},
        {"Timestamp": START},
        {"TraceId": "b" * 32, "Timestamp": START + 7 * SECOND},
    )

    rows = trace_rows(pa.Table.from_batches([batch], SPANS), 9).to_pylist()

    found = {row["TraceId"]: row for row in rows}
    assert {trace: row["Start"].timestamp() * 1e9 for trace, row in found.items()} == {
        TRACE: START,
        "b" * 32: START + 7 * SECOND,
    }
    assert found[TRACE]["End"].timestamp() * 1e9 == START + 5 * SECOND
    assert found[TRACE]["Writers"] == [9]


def test_large_values_move_and_come_back_whole(store: Store) -> None:  # noqa: F811
    """Scans stay small, readers see everything; cutting never splits a character."""
    text = "é" * 5000
    event = {"gen_ai.prompt": text + "!", "small": "y"}
    batch = spans(
        {"SpanId": "1" * 16, "SpanAttributes": {"small": "x", "input": text}},
        {
            "SpanId": "2" * 16,
            "Events.Timestamp": [START, START],
            "Events.Name": ["first", "second"],
            "Events.Attributes": [{"small": "z"}, event],
        },
        {"SpanId": "3" * 16, "SpanAttributes": {"output": text + "?"}},
    )
    Writer(store, inline_value_bytes_max=101).write(Flush(spans=[batch]))

    inline = store.column("SELECT SpanAttributes['input'] FROM otel_traces ORDER BY SpanId")[0]
    assert inline == "é" * 50
    assert store.column("SELECT Key FROM agent_content ORDER BY SpanId") == [
        "input",
        "events.1.gen_ai.prompt",
        "output",
    ]
    views = {view.span_id[0]: view for view in Reader(store).spans([TRACE])}
    assert views["1"].attributes == {"small": "x", "input": text}
    assert [e.attributes for e in views["2"].events] == [{"small": "z"}, event]
    assert views["3"].attributes == {"output": text + "?"}


def test_small_values_stay_where_they_are() -> None:
    table = pa.Table.from_batches([spans({"SpanAttributes": {"a": "x" * 100}})], SPANS)

    same, content = move_large(table.combine_chunks(), 100)

    assert content is None
    assert same["SpanAttributes"].to_pylist() == [[("a", "x" * 100)]]


def test_stale_content_is_not_put_into_a_newer_span(store: Store) -> None:  # noqa: F811
    """The newer version's value was short enough to stay inline: that is the value."""
    writer = Writer(store, inline_value_bytes_max=10)
    old = spans({"Version": 1, "SpanAttributes": {"input": "old " * 10, "gone": "g" * 20}})
    new = spans({"Version": 2, "SpanAttributes": {"input": "new"}})
    writer.write(Flush(spans=[old]))
    writer.write(Flush(spans=[new]))

    (view,) = Reader(store).spans([TRACE])
    assert view.attributes == {"input": "new"}


def test_a_step_that_moves_to_another_run_is_in_one(store: Store) -> None:  # noqa: F811
    """A late parent changes run and group of a step: the fold writes it again."""
    placed = a_placed(revision=1)
    writer = Writer(store)
    writer.write(Flush(steps=[placed]))
    writer.write(
        Flush(steps=[dataclasses.replace(placed, run_id="new", group_id="new", revision=2)])
    )
    reader = Reader(store)

    assert reader.groups_of([TRACE]) == {"new"}
    assert reader.load_group([TRACE])[0] == []
    assert [entry.run_id for entry in reader.load_group(["new"])[0]] == ["new"]


def test_two_starts_of_one_run_by_two_collectors(store: Store) -> None:  # noqa: F811
    """Neither knew the other's row: the richer one is the run."""
    writer = Writer(store)
    writer.write(Flush(runs=[a_run(status="running", revision=1)]))
    writer.write(Flush(runs=[a_run(started_at_ns=START - HOUR, status="completed", revision=5)]))

    run = Reader(store).run(TRACE)
    assert run is not None
    assert run.revision == 5


def test_the_canary_is_read_back(store: Store) -> None:  # noqa: F811
    writer = Writer(store, writer_id=2**63 + 1)

    for value in (1, 2, 2):
        writer.canary(value)

    assert store.column("SELECT count() FROM store_canary FINAL") == [1]


def test_an_empty_flush_writes_nothing(store: Store) -> None:  # noqa: F811
    Writer(store).write(Flush())

    assert set(counts(store).values()) == {0}


def test_step_rows_keep_the_newest_revision(store: Store) -> None:  # noqa: F811
    writer = Writer(store)
    writer.write(Flush(steps=[a_placed(a_step(name="new"), revision=2)]))
    writer.write(Flush(steps=[a_placed(a_step(name="old"), revision=1)]))

    assert [entry.step.name for entry in Reader(store).steps([a_run()])] == ["new"]
