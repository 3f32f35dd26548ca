"""Erased means gone: from every table, from every file, and it does not come back (S4.25)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.api.service import Selector
from collector.runs.run import DeadLetter
from collector.store import documents
from collector.store.client import Store
from collector.store.erase import Eraser
from collector.store.reader import Reader, RunFilter
from collector.store.writer import Flush, Writer
from otel_agentrun.step import Event
from tests.support.store import (
    HOUR,
    START,
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

SECRET = "xq-zebra-quarterly-numbers-7731"
OTHER = "xq-walrus-harmless-remarks-9924"


def a_flush(trace_id: str, text: str, **values: Any) -> Flush:
    """A trace group that says `text` in every place that holds text."""
    group = values.pop("group_id", trace_id)
    run = a_run(trace_id, group_id=group, summary=text, error_message=text, **values)
    at_ns = run.started_at_ns
    event = Event(
        event_id=f"event-{trace_id}", name="agentrun.feedback", at_ns=at_ns, trace_id=trace_id,
        attributes={"agentrun.feedback.comment": text}, body=text,
    )  # fmt: skip
    letter = DeadLetter(
        at_ns=at_ns, signal="traces", reason="refused_by_store", peer="", size_bytes=1,
        sha256=trace_id, error=f"row of trace {trace_id}: {text}",
    )  # fmt: skip
    span = {
        "TraceId": trace_id,
        "Timestamp": at_ns,
        "SpanAttributes": {"short": text, "long": f"{text} " * 40},
        "StatusMessage": text,
        "Events.Timestamp": [at_ns],
        "Events.Name": [text],
        "Events.Attributes": [{"text": f"{text} " * 40}],
    }
    step = a_step(trace_id=trace_id, start_ns=at_ns, end_ns=at_ns + 1, error_message=text)
    return Flush(
        spans=[spans(span)],
        logs=[logs({"TraceId": trace_id, "Timestamp": at_ns, "Body": text})],
        steps=[a_placed(step, group_id=group)],
        runs=[run],
        events=[(event, trace_id, group)],
        dead_letters=[letter],
    )


def files_with(path: Path, text: str) -> list[str]:
    found = []
    for file in path.rglob("*"):
        try:
            if file.is_file() and text.encode() in file.read_bytes():
                found.append(str(file))
        except FileNotFoundError:  # a part that was just merged away
            continue
    return found


@pytest.fixture
def writer(store: Store) -> Writer:  # noqa: F811
    return Writer(store, inline_value_bytes_max=300)


def test_erased_text_is_in_no_file(
    store: Store,  # noqa: F811
    store_path: Path,  # noqa: F811
    writer: Writer,
) -> None:
    """Rows of rewritten parts stay on disk for a while by default; here they must not."""
    writer.write(a_flush("a" * 32, SECRET))
    writer.write(a_flush("b" * 32, OTHER))
    writer.write(a_flush("a" * 32, SECRET))
    assert files_with(store_path, SECRET)

    eraser = Eraser(store)
    erased = eraser.erase(eraser.find(Selector(run_ids=("a" * 32,))))

    assert files_with(store_path, SECRET) == []
    assert files_with(store_path, OTHER)
    assert erased["runs"] == 1
    assert erased["traces"] == 1
    for kind in ("spans", "content", "logs", "steps", "dead_letters", "events"):
        assert erased[kind] > 0, kind


def test_only_what_was_erased_is_gone_and_stays_gone(store: Store, writer: Writer) -> None:  # noqa: F811
    """Ids are kept to refuse late spans, no late snapshot brings a run back, and the command may be
    repeated: after a failure half-way it finishes the work."""
    flush = a_flush("a" * 32, SECRET)
    writer.write(flush)
    writer.write(a_flush("b" * 32, OTHER))
    reader = Reader(store)
    before = documents.shown(reader, "b" * 32)
    eraser = Eraser(store)
    found = eraser.find(Selector(run_ids=("a" * 32,)))

    eraser.erase(found)
    assert eraser.erase(found)["spans"] == 0

    assert before is not None
    assert documents.shown(reader, "b" * 32) == before
    assert reader.erased_traces() == {"a" * 32}
    assert reader.tombstones(["a" * 32, "b" * 32]) == {"a" * 32}
    writer.write(Flush(runs=flush.runs))
    assert reader.run("a" * 32) is None
    assert [run.run_id for run in reader.runs(RunFilter())] == ["b" * 32]


def test_a_run_takes_its_whole_group_with_it(store: Store, writer: Writer) -> None:  # noqa: F811
    """Traces joined by links or a conversation are one group: one run of it erases all."""
    writer.write(a_flush("a" * 32, SECRET, group_id="a" * 32))
    writer.write(a_flush("c" * 32, SECRET, group_id="a" * 32))
    eraser = Eraser(store)

    found = eraser.find(Selector(run_ids=("c" * 32,)))

    assert found.trace_ids == {"a" * 32, "c" * 32}
    assert found.run_ids == {"a" * 32, "c" * 32}
    assert found.group_ids == {"a" * 32}


def test_a_selection_finds_its_runs(store: Store, writer: Writer) -> None:  # noqa: F811
    writer.write(a_flush("a" * 32, SECRET, user_id="u1"))
    writer.write(a_flush("b" * 32, SECRET, session_id="s1", started_at_ns=START + 2 * HOUR))
    eraser = Eraser(store)

    for selector, letters in (
        (Selector(user="u1"), "a"),
        (Selector(session="s1"), "b"),
        (Selector(user="u1", session="s1"), ""),
        (Selector(since_ns=START + HOUR), "b"),
        (Selector(until_ns=START + HOUR), "a"),
        (Selector(user="nobody"), ""),
        (Selector(run_ids=("nobody",)), ""),
    ):
        assert eraser.find(selector).run_ids == {letter * 32 for letter in letters}, selector


def test_a_period_erases_also_what_belongs_to_no_run(
    store: Store,  # noqa: F811
    writer: Writer,
) -> None:
    """Spans without an agent, logs without a trace, and dead letters of that time."""
    lone = {"TraceId": "d" * 32, "StatusMessage": SECRET}
    letter = DeadLetter(
        at_ns=START, signal="logs", reason="malformed", error=SECRET, peer="", size_bytes=1,
        sha256="0" * 64,
    )  # fmt: skip
    writer.write(
        Flush(
            spans=[spans(lone, {**lone, "TraceId": "e" * 32, "Timestamp": START + HOUR})],
            logs=[logs({"TraceId": "", "Body": SECRET})],
            dead_letters=[letter],
        )
    )
    eraser = Eraser(store)

    erased = eraser.erase(eraser.find(Selector(since_ns=START, until_ns=START + HOUR)))

    assert erased["spans"] == 1
    assert erased["logs"] == 1
    assert erased["dead_letters"] == 1
    assert Reader(store).known_traces(["d" * 32, "e" * 32]) == {"e" * 32}


def test_erasing_nothing_is_no_error(store: Store) -> None:  # noqa: F811
    eraser = Eraser(store)

    assert eraser.erase(eraser.find(Selector(user="nobody")))["runs"] == 0
