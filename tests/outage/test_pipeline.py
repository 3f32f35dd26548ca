"""What the pipeline does when the store refuses, at moments that a whole collector meets rarely."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector import records
from collector.accounting import Accounting
from collector.errors import OverloadedError, RetryableError, StoreError
from collector.journal.entry import Entry, Position
from collector.journal.journal import Journal, JournalSettings
from collector.journal.segment import RecordKind
from collector.model import Signal
from collector.pipeline import Pipeline, PipelineSettings
from collector.runs.assembler import SECOND, Assembler, AssemblerSettings, Stored, Unknown
from collector.runs.events import FEEDBACK, FINDING, RUN_STEP, make_event
from collector.runs.judge import RulesInForce
from collector.runs.run import Run
from collector.store.writer import Flush
from otel_agentrun import semconv
from otel_agentrun.rules import Budget, Ruleset, RulesFile
from otel_agentrun.step import Event
from tests.outage.scene import until
from tests.support.store import spans

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
MODEL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
DOWN = StoreError("down", "start it")
BAD_ROW = StoreError("bad row", permanent=True)


class FakeStore:
    """Keeps what was written; `refuses` says why a flush is not taken."""

    def __init__(self) -> None:
        self.flushes: list[Flush] = []
        self.refuses: Callable[[Flush], StoreError | None] = lambda _: None
        self.asked: list[Unknown] = []
        self.recall_refuses: list[StoreError] = []

    def write(self, flush: Flush) -> None:
        if error := self.refuses(flush):
            raise error
        self.flushes.append(flush)

    def recall(self, unknown: Unknown) -> list[Stored]:
        self.asked.append(unknown)
        if self.recall_refuses:
            raise self.recall_refuses.pop()
        return []

    def span_ids(self) -> list[str]:
        return [
            span_id
            for flush in self.flushes
            for batch in flush.spans
            for span_id in batch.column("SpanId").to_pylist()
        ]

    def letters(self) -> list[str]:
        return [letter.reason for flush in self.flushes for letter in flush.dead_letters]


class Line:
    """A pipeline on a real journal and a fake store."""

    def __init__(
        self,
        folder: Path,
        store: FakeStore,
        settings: AssemblerSettings,
        rules: RulesInForce | None = None,
    ) -> None:
        self.store = store
        self.control: list[Event] = []
        self.accounting = Accounting()
        self.journal = Journal.open(JournalSettings(directory=folder / "journal"), self.accept)
        for kind, items in self.journal.recovered.items():
            self.accounting.recovered(records.SIGNAL_OF[kind], items)
        self.heard: list[Run] = []
        self.hears: Callable[[Sequence[Run]], None] = self.heard.extend
        self.pipeline = Pipeline(
            journal=self.journal,
            assembler=Assembler(settings, rules=rules),
            write=store.write,
            recall=store.recall,
            accounting=self.accounting,
            settings=PipelineSettings(flush_secs=0.02),
            on_runs=lambda runs: self.hears(runs),
            on_control=self.control.extend,
        )

    def accept(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.accounting.accepted(records.SIGNAL_OF[entry.kind], entry.items)

    def append(self, *span_ids: str, parent: str = "") -> None:
        """Spans of agents in one record; with a parent, of model calls."""
        attributes = MODEL if parent else AGENT
        rows = [
            {"SpanId": name, "SpanName": name, "ParentSpanId": parent, "SpanAttributes": attributes}
            for name in span_ids
        ]
        payload = records.encode(spans(*rows))
        self.journal.append(RecordKind.SPANS, payload, len(rows)).result(5)

    def record(self, event: Event) -> None:
        self.journal.append(RecordKind.EVENT, records.encode_events([event]), 1).result(5)

    def pending(self) -> int:
        return sum(terms.pending for terms in self.accounting.snapshot().terms.values())

    def settle(self) -> None:
        until(lambda: self.pending() == 0, "stored", secs=10)
        self.accounting.check()


@contextmanager
def line(
    folder: Path,
    store: FakeStore,
    settings: AssemblerSettings | None = None,
    rules: RulesInForce | None = None,
) -> Iterator[Line]:
    one = Line(folder, store, settings or AssemblerSettings(), rules)
    one.pipeline.start()
    try:
        yield one
    finally:
        one.pipeline.stop(5.0)
        one.accounting.check()
        one.journal.close()


def has(flush: Flush, span_id: str) -> bool:
    return any(span_id in batch.column("SpanId").to_pylist() for batch in flush.spans)


def test_a_stop_while_a_bad_row_is_looked_for_keeps_all_of_it_in_the_journal(
    tmp_path: Path,
) -> None:
    """The store goes away between two halves: what was not stored must not be released."""
    store = FakeStore()
    attempts: list[Flush] = []

    def refuses(flush: Flush) -> StoreError:
        attempts.append(flush)
        return BAD_ROW if len(attempts) == 1 else DOWN

    store.refuses = refuses
    with line(tmp_path, store) as one:
        one.append("a" * 16, "b" * 16)
        until(lambda: len(attempts) > 2, "looking for it")
    assert one.accounting.snapshot().terms[Signal.TRACES].stored == 0
    store.refuses = lambda _: None
    with line(tmp_path, store) as two:
        assert two.pending() == 2
        two.settle()
    assert sorted(store.span_ids()) == ["a" * 16, "b" * 16]


def test_a_bad_row_of_any_part_costs_only_itself(tmp_path: Path) -> None:
    """A step that is refused leaves the other steps, and the span it was made of."""
    store = FakeStore()
    store.refuses = lambda flush: (
        BAD_ROW
        if has(flush, "b" * 16) or any(p.step.span_id == "c" * 16 for p in flush.steps)
        else None
    )
    with line(tmp_path, store) as one:
        one.append("a" * 16, "b" * 16, "c" * 16, "d" * 16)
        one.settle()
        terms = one.accounting.snapshot().terms[Signal.TRACES]
    assert (terms.stored, dict(terms.dead_lettered)) == (3, {"refused_by_store": 1})
    assert sorted(store.span_ids()) == ["a" * 16, "c" * 16, "d" * 16]
    placed = {placed.step.span_id for flush in store.flushes for placed in flush.steps}
    assert placed == {"a" * 16, "b" * 16, "d" * 16}
    assert store.letters() == ["refused_by_store"]
    assert any(flush.runs for flush in store.flushes)


def test_an_event_that_is_refused_is_a_dead_letter_of_its_signal(tmp_path: Path) -> None:
    store = FakeStore()
    store.refuses = lambda flush: BAD_ROW if flush.events else None
    with line(tmp_path, store) as one:
        one.record(make_event(FEEDBACK, time.time_ns(), run_id="r", attributes={}))
        one.settle()
        terms = one.accounting.snapshot().terms[Signal.EVENTS]
    assert (terms.stored, terms.dead_lettered.total()) == (0, 1)


def test_a_letter_that_is_refused_itself_ends_nothing(tmp_path: Path) -> None:
    """The error that it quotes may hold what the store did not take."""
    store = FakeStore()
    store.refuses = lambda flush: BAD_ROW if has(flush, "a" * 16) or flush.dead_letters else None
    with line(tmp_path, store) as one:
        one.append("a" * 16, "b" * 16)
        one.settle()
        assert one.pipeline.failure == ""
    assert store.span_ids() == ["b" * 16]


@pytest.mark.parametrize("error", [ValueError("surrogates"), OverflowError("too large")])
def test_a_value_that_cannot_be_encoded_is_a_bad_row(tmp_path: Path, error: Exception) -> None:
    """A bug of ours, and still one bad span must not stop the others."""
    store = FakeStore()

    def refuses(flush: Flush) -> None:
        if has(flush, "a" * 16):
            raise error

    store.refuses = refuses
    with line(tmp_path, store) as one:
        one.append("a" * 16, "b" * 16)
        one.settle()
    assert store.span_ids() == ["b" * 16]


def test_reads_are_tried_again_whatever_they_fail_with(tmp_path: Path) -> None:
    """Only of writes can an error be about the rows."""
    store = FakeStore()
    store.recall_refuses = [BAD_ROW, DOWN]
    with line(tmp_path, store) as one:
        one.append("a" * 16)
        one.settle()
        assert len(store.asked) == 3
    assert store.span_ids() == ["a" * 16]


def test_a_record_of_another_version_becomes_a_dead_letter(tmp_path: Path) -> None:
    """Its checksum is right and nobody can read it; what follows goes on."""
    store = FakeStore()
    with line(tmp_path, store) as one:
        one.journal.append(RecordKind.SPANS, b"not an Arrow stream", 3).result(5)
        one.append("a" * 16)
        one.settle()
        terms = one.accounting.snapshot().terms[Signal.TRACES]
    assert dict(terms.dead_lettered) == {"unreadable_record": 3}
    assert store.letters() == ["unreadable_record"]
    assert store.span_ids() == ["a" * 16]


def test_who_follows_runs_cannot_stop_what_is_stored(tmp_path: Path) -> None:
    """Documents for `runs tail` are read from the store, which may be gone a moment later."""
    store = FakeStore()
    with line(tmp_path, store) as one:

        def hears(runs: Sequence[Run]) -> None:
            raise DOWN

        one.hears = hears
        one.append("a" * 16)
        one.settle()
        one.hears = one.heard.extend
        one.append("b" * 16)
        one.settle()
        until(lambda: one.heard, "heard of the next")


def test_a_closing_event_that_the_journal_refuses_is_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full journal must not leave a run open for ever."""
    store = FakeStore()
    soon = AssemblerSettings(quiet_ns=SECOND // 10, lost_ns=SECOND // 10)
    with line(tmp_path, store, soon) as one:
        append = one.journal.append
        refused = threading.Event()

        def full(kind: RecordKind, payload: Any, items: int) -> Future[Position]:
            if kind is RecordKind.EVENT and not refused.is_set():
                refused.set()
                raise OverloadedError("the journal is full", "journal_full", 1.0)
            return append(kind, payload, items)

        monkeypatch.setattr(one.journal, "append", full)
        one.append("a" * 16, parent="f" * 16)
        until(refused.is_set, "refused", secs=10)
        until(lambda: ended(store), "closed", secs=10)


def ended(store: FakeStore) -> bool:
    return any(run.ended_at_ns for flush in store.flushes for run in flush.runs)


def test_a_caller_is_told_when_the_collector_stops_instead(tmp_path: Path) -> None:
    store = FakeStore()
    store.refuses = lambda _: DOWN
    with line(tmp_path, store) as one:
        one.append("a" * 16)
        drained = one.pipeline.call(one.pipeline.drain)
        until(lambda: one.pipeline.failure, "noticed")
    with pytest.raises(RetryableError, match="shutting down"):
        drained.result(1)


def test_rules_act_while_the_store_is_busy(tmp_path: Path) -> None:
    """An agent does not go on for as long as an insert takes."""
    store, written = FakeStore(), threading.Event()
    store.refuses = lambda _: None if written.wait(10) else DOWN
    budget = Budget(name="one", measure="tool_calls", limit=1, escalate={"kill": 1})
    rules = RulesInForce(Ruleset(RulesFile(budgets=(budget,), defaults=False), None))
    with line(tmp_path, store, rules=rules) as one:
        one.append("a" * 16)
        until(lambda: not one.pipeline._flusher.is_idle, "being written")
        time.sleep(0.05)  # the next flush is due at once, and has to wait
        for number in (1, 2):
            one.record(a_report(number))
        until(lambda: any(event.name == FINDING for event in one.control), "found")
        assert not store.flushes
        written.set()


def a_report(number: int) -> Event:
    """A tool call of a live run has ended."""
    now_ns = time.time_ns()
    return make_event(
        RUN_STEP,
        now_ns,
        trace_id="b" * 32,
        run_id="b" * 32,
        span_id=f"{number:016x}",
        attributes={
            semconv.STEP_PHASE: "ended",
            semconv.STEP_KIND: "tool",
            semconv.STEP_NAME: "search",
            semconv.RUN_ID: "b" * 32,
            semconv.STEP_START_UNIX_NS: str(now_ns - number),
            semconv.STEP_END_UNIX_NS: str(now_ns),
        },
    )
