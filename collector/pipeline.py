"""From the journal to the store: normalize, fold, write, release.

One thread reads the journal in order and folds; at each flush it hands what is to be written to a
second thread and goes on reading while that one writes.  At most one flush is under way, so memory
stays bounded while the store is slow or down: the journal holds the rest.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector import normalize, records
from collector.accounting import Accounting
from collector.errors import RetryableError, StoreError
from collector.journal.entry import Entry, Position
from collector.journal.journal import Journal
from collector.journal.segment import RecordKind
from collector.model import LOGS, SPANS, Signal
from collector.runs.assembler import Assembler, Stored, Unknown
from collector.runs.run import DeadLetter, Run
from collector.store.writer import Flush
from otel_agentrun.step import Event

log = logging.getLogger(__name__)

BACKOFF_SECS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
IDLE_SECS: Final = 0.05
HOUSEKEEPING_SECS: Final = 0.5

T = TypeVar("T")


class Recall(Protocol):
    """What the store knows of traces and runs that are new here."""

    def __call__(self, unknown: Unknown) -> Sequence[Stored]: ...


class Write(Protocol):
    """Writes one flush; idempotent.  Raises StoreError."""

    def __call__(self, flush: Flush) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    flush_rows: int = 20_000
    """Rows that make a flush due at once."""
    flush_secs: float = 0.4
    """A flush is due so long after its first row."""


@dataclass(slots=True)
class Pending:
    """What was read since the last flush."""

    spans: list[pa.RecordBatch] = field(default_factory=list)
    logs: list[pa.RecordBatch] = field(default_factory=list)
    items: Counter[Signal] = field(default_factory=Counter)
    rows: int = 0
    upto: Position | None = None
    since: float = 0.0
    """Monotonic time of the first row; 0 while there is none."""


class Pipeline:
    """Start with `start`, end with `stop`.  Other methods may be called from any thread."""

    def __init__(
        self,
        *,
        journal: Journal,
        assembler: Assembler,
        write: Write,
        recall: Recall,
        accounting: Accounting,
        settings: PipelineSettings,
        dead_letters: Callable[[], list[DeadLetter]] = list,
        on_runs: Callable[[Sequence[Run]], None] = lambda _: None,
        on_connected: Callable[[], None] = lambda: None,
        erased: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """`dead_letters` gives those that wait to be stored; `on_runs` hears of written runs.

        `on_connected` is called in the fold thread until it raises no StoreError, before anything
        is read from the journal.  `erased` gives the traces of which nothing may be stored.
        """
        self._journal = journal
        self._assembler = assembler
        self._write = write
        self._recall = recall
        self._accounting = accounting
        self._settings = settings
        self._dead_letters = dead_letters
        self._on_runs = on_runs
        self._on_connected = on_connected
        self._erased = erased
        self._pending = Pending()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._writing: Future[None] | None = None
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._abandon = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="fold", daemon=True)
        self._housekept = 0.0
        self.runs_written = 0
        """Rows of runs, counting each time one was written."""
        self.open_runs = 0
        """As of the last look around."""
        self.failure = ""
        """Why the store does not take what it should, in words; "" while it does."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, drain_secs: float) -> None:
        """Write what was read and what the journal still holds, for `drain_secs` at most.

        What is left stays in the journal for the next process.
        """
        self._stopping.set()
        if self.failure:  # the store is not there: waiting for it would only delay the end
            self._abandon.set()
        self._thread.join(drain_secs)
        self._abandon.set()
        self._thread.join()
        self._writer.shutdown()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` in the fold thread, between two entries.

        The future can be cancelled until it runs; it fails with RetryableError when the thread ends
        before that.
        """
        future: Future[T] = Future()

        def command() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                if self._ended:
                    raise RetryableError("The collector is shutting down.", "stopping")
                future.set_result(function())
            except BaseException as error:  # it belongs to the caller
                future.set_exception(error)

        self._commands.put(command)
        if self._ended:  # nobody else takes it any more
            self._run_commands()
        return future

    def drain(self) -> None:
        """In the fold thread: read everything that is in the journal and wait until it is stored.

        Raises StoreError when the store does not take it.
        """
        while (entry := self._journal.next(0.0)) is not None:
            self._take(entry)
        self._flush()
        self._await_write()
        if self.failure:
            raise StoreError(self.failure, "Wait until the store works again.")

    def close_runs(self) -> int:
        """In the fold thread: close all open runs as if the quiet period had passed."""
        events = self._assembler.quiet(time.time_ns(), everything=True)
        self._record(events)
        return len(events)

    # ------------------------------------------------------------------ the fold thread

    def _run(self) -> None:
        try:
            if not self._insist(self._on_connected, "connect"):
                return
            while not self._stopping.is_set():
                self._step()
            while not self._abandon.is_set() and (entry := self._journal.next(0.0)) is not None:
                self._take(entry)
                if self._pending.rows >= self._settings.flush_rows:
                    self._flush()
            self._flush()
            self._await_write()
        except Exception:
            # A bug of ours.  The journal keeps everything; readiness says so.
            self.failure = "the fold thread has ended with an error: see the log; restart"
            log.exception("fold_thread_failed")
        finally:
            self._ended = True
            self._run_commands()

    def _step(self) -> None:
        self._run_commands()
        entry = self._journal.next(self._wait_secs())
        if entry is not None:
            self._take(entry)
        now = time.monotonic()
        if self._due(now):
            self._flush()
        if now - self._housekept >= HOUSEKEEPING_SECS:
            self._housekept = now
            self._housekeep()

    def _run_commands(self) -> None:
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            command()

    def _wait_secs(self) -> float:
        if not self._pending.since:
            return IDLE_SECS
        left = self._pending.since + self._settings.flush_secs - time.monotonic()
        return min(max(left, 0.0), IDLE_SECS)

    def _due(self, now: float) -> bool:
        pending = self._pending
        if pending.rows >= self._settings.flush_rows:
            return True
        return bool(pending.since) and now - pending.since >= self._settings.flush_secs

    def _take(self, entry: Entry) -> None:
        """Read one journal entry into the groups it belongs to."""
        pending = self._pending
        now_ns = time.time_ns()
        if entry.kind is RecordKind.SPANS:
            spans = records.decode(entry.payload, SPANS)
            self._take_spans(self._without_erased(Signal.TRACES, spans), now_ns)
        elif entry.kind is RecordKind.LOGS:
            batch = self._without_erased(Signal.LOGS, records.decode(entry.payload, LOGS))
            for event in normalize.events_of(batch):
                self._assembler.add_event(event, now_ns)
            pending.logs.append(batch)
            pending.items[Signal.LOGS] += batch.num_rows
        else:
            for event in records.decode_events(entry.payload):
                if self._assembler.add_event(event, now_ns):
                    pending.items[Signal.EVENTS] += 1
                else:
                    self._accounting.deduplicated(Signal.EVENTS, 1)
        pending.rows += entry.items
        pending.upto = entry.position
        pending.since = pending.since or time.monotonic()

    def _without_erased(self, signal: Signal, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What was acknowledged before its trace was erased and not stored yet."""
        erased = self._erased()
        if not erased or erased.isdisjoint(pc.unique(batch.column("TraceId")).to_pylist()):
            return batch
        gone = pc.is_in(batch.column("TraceId"), value_set=pa.array(sorted(erased), pa.string()))
        kept = batch.filter(pc.invert(gone))
        self._accounting.dropped(signal, "erased", batch.num_rows - kept.num_rows)
        return kept

    def _take_spans(self, batch: pa.RecordBatch, now_ns: int) -> None:
        try:
            duplicates = self._assembler.add(normalize.steps_of(batch), now_ns)
        except Exception:  # a bug of ours: the spans are stored all the same, and can be re-folded
            log.exception("batch_not_folded")
            duplicates = []
        if duplicates:
            keep = np.ones(batch.num_rows, dtype=bool)
            keep[duplicates] = False
            batch = batch.filter(pa.array(keep))
            self._accounting.deduplicated(Signal.TRACES, len(duplicates))
        if batch.num_rows:
            self._pending.spans.append(batch)
            self._pending.items[Signal.TRACES] += batch.num_rows

    def _housekeep(self) -> None:
        """Close what is quiet, forget what has ended, write letters nobody else triggers."""
        now_ns = time.time_ns()
        self.open_runs = self._assembler.open_runs
        self._record(self._assembler.quiet(now_ns))
        if self._writing is None or self._writing.done():
            self._assembler.forget(now_ns)
        if not self._pending.since:
            letters = self._dead_letters()
            if letters:
                self._hand_over(Flush(dead_letters=letters), Pending())

    def _record(self, events: Sequence[Event]) -> None:
        """Journal events of our own making; they come back through `next`."""
        if not events:
            return
        try:
            self._journal.append(RecordKind.EVENT, records.encode_events(list(events)), len(events))
        except RetryableError as error:
            log.warning("events_not_recorded", extra={"events": len(events), "reason": str(error)})

    # ------------------------------------------------------------------ flushing

    def _flush(self) -> None:
        """Fold what was read and hand it to the writer."""
        pending, self._pending = self._pending, Pending()
        if pending.upto is None:
            return
        # The flush before must be in the store before the store is asked what it knows.
        self._await_write()
        if not self._recalled():
            return
        changes = self._assembler.changes()
        for key, error in self._assembler.failures:
            log.error("group_not_folded", extra={"group": key}, exc_info=error)
        self._assembler.failures.clear()
        flush = Flush(
            spans=pending.spans,
            logs=pending.logs,
            steps=changes.steps,
            runs=changes.runs,
            removed=changes.removed,
            events=changes.events,
            dead_letters=self._dead_letters(),
        )
        self._hand_over(flush, pending)

    def _recalled(self) -> bool:
        """Take in what the store has of the traces that are new; False when giving up."""
        unknown = self._assembler.unknown()
        if not unknown:
            return True

        def recall() -> None:
            for stored in self._recall(unknown):
                self._assembler.restore(stored, time.time_ns())

        return self._insist(recall, "recall")

    def _hand_over(self, flush: Flush, pending: Pending) -> None:
        self._writing = self._writer.submit(self._store, flush, pending)

    def _await_write(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    # ------------------------------------------------------------------ the writer thread

    def _store(self, flush: Flush, pending: Pending) -> None:
        began = time.monotonic()
        try:
            stored = self._insist(lambda: self._write(flush), "write")
        except StoreError as error:
            self._salvage(flush, pending, error)
            stored = True
        if not stored:
            return
        self._accounting.flushed(time.monotonic() - began)
        for signal, items in pending.items.items():
            self._accounting.stored(signal, items)
        if pending.upto is not None:
            self._journal.release(pending.upto)
        if flush.runs:
            self.runs_written += len(flush.runs)
            self._on_runs(flush.runs)

    def _insist(self, action: Callable[[], None], what: str) -> bool:
        """Try until the store takes it; False when the collector stops first.

        Raises StoreError when it can never be taken.
        """
        attempt = 0
        while True:
            try:
                action()
            except StoreError as error:
                if error.permanent:
                    raise
                self._failed(what, error, attempt)
            else:
                if self.failure:
                    log.info("store_works_again", extra={"attempts": attempt})
                self.failure = ""
                return True
            pause = BACKOFF_SECS[min(attempt, len(BACKOFF_SECS) - 1)]
            attempt += 1
            if self._abandon.wait(pause):
                return False

    def _failed(self, what: str, error: StoreError, attempt: int) -> None:
        self.failure = f"{error} {error.hint}".strip()
        self._accounting.flush_failed(what)
        self._accounting.error("store", self.failure, at_ns=time.time_ns())
        if attempt == 0:  # one line when it begins, not one a second
            log.error("store_failed", extra={"what": what, "reason": str(error), "fix": error.hint})

    def _salvage(self, flush: Flush, pending: Pending, error: StoreError) -> None:
        """Some row can never be stored: find it by halves, so that it costs only itself."""
        log.error("rows_refused_by_store", extra={"reason": str(error), "fix": error.hint})
        rest = replace(flush, spans=(), logs=())
        letters: list[DeadLetter] = []
        for signal, batches in ((Signal.TRACES, flush.spans), (Signal.LOGS, flush.logs)):
            for batch in batches:
                lost = self._store_halves(signal, batch, letters)
                if lost:
                    pending.items[signal] -= lost
                    self._accounting.dead_lettered(signal, "refused_by_store", lost)
        for part in _parts(rest):
            try:
                self._insist(lambda part=part: self._write(part), "write")  # type: ignore[misc]
            except StoreError as refused:
                log.error("rows_lost", extra={"reason": str(refused), "rows": _rows(part)})
        self._insist(lambda: self._write(Flush(dead_letters=letters)), "write")

    def _store_halves(
        self, signal: Signal, batch: pa.RecordBatch, letters: list[DeadLetter]
    ) -> int:
        """Store a batch, or its halves; returns how many rows could not be stored at all."""
        part = Flush(spans=[batch]) if signal is Signal.TRACES else Flush(logs=[batch])
        try:
            self._insist(lambda: self._write(part), "write")
        except StoreError as error:
            if batch.num_rows > 1:
                half = batch.num_rows // 2
                return self._store_halves(signal, batch.slice(0, half), letters) + (
                    self._store_halves(signal, batch.slice(half), letters)
                )
            letters.append(_letter(signal, batch, error))
            return 1
        return 0


def _parts(flush: Flush) -> Iterator[Flush]:
    """One table each: a bad row of one costs no other."""
    for name in ("steps", "runs", "removed", "events", "dead_letters"):
        rows: Sequence[Any] = getattr(flush, name)
        if rows:
            yield Flush(**{name: rows})


def _rows(flush: Flush) -> int:
    names = ("steps", "runs", "removed", "events", "dead_letters")
    return sum(len(getattr(flush, name)) for name in names)


def _letter(signal: Signal, row: pa.RecordBatch, error: StoreError) -> DeadLetter:
    payload = records.encode(row)
    return DeadLetter(
        at_ns=time.time_ns(),
        signal=signal.value,
        reason="refused_by_store",
        error=str(error)[:500],
        peer="",
        size_bytes=payload.size,
        sha256=hashlib.sha256(payload).hexdigest(),
        items=1,
    )
