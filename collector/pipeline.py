"""From the journal to the store: normalize, fold, write, release.

One thread reads the journal in order and folds; at each flush it hands what is to be written to a
second thread and goes on reading while that one writes.  At most one flush is under way, so memory
stays bounded while the store is slow or down: the journal holds the rest.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector import normalize, records, salvage, unrecognized
from collector.accounting import Accounting
from collector.errors import RetryableError, StoreError
from collector.flushing import Abandoned, Flusher, Pending, Write
from collector.journal.entry import Entry, Position
from collector.journal.journal import Journal
from collector.journal.segment import RecordKind
from collector.log_spans import log_spans
from collector.model import LOGS, SPANS, Signal
from collector.normalized import Normalized
from collector.runs.assembler import Assembler, Stored, Unknown
from collector.runs.events import CONTROL
from collector.runs.run import Changes, DeadLetter, Run
from collector.store import step_columns
from collector.store.writer import Flush
from collector.tombstones import erased_rows, may_hold_erased
from otel_agentrun.step import Event

log = logging.getLogger(__name__)

IDLE_SECS: Final = 0.05
BUSY_SECS: Final = 0.01
"""How often a flush that is due looks whether the one before is in the store."""
HOUSEKEEPING_SECS: Final = 0.5
JUDGE_SECS: Final = 0.005
"""Live runs are judged this long after the last time at the earliest."""
JUDGE_SHARE: Final = 4
"""And after this many times as long as that took."""
HOPS_MAX: Final = 16
"""What the store is asked of at once: a trace that links to a trace that links to ..."""
STUCK_SECS: Final = 3.0
"""How long the end waits for an answer of a store that hangs; the journal has what it was sent."""

T = TypeVar("T")


class Recall(Protocol):
    """What the store knows of traces and runs that are new here."""

    def __call__(self, unknown: Unknown) -> Sequence[Stored]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    flush_rows: int = 20_000
    """Rows that make a flush due at once."""
    flush_secs: float = 0.4
    """A flush is due so long after its first row."""


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
        of_others: Callable[[Collection[str]], Collection[str]] | None = None,
        encode: Callable[[Flush], Callable[[], None]] | None = None,
        normalized: Normalized | None = None,
        on_idle: Callable[[], None] = lambda: None,
        on_control: Callable[[Sequence[Event]], None] = lambda _: None,
        on_flush: Callable[[Flush], None] = lambda _: None,
        called_for: Callable[[Sequence[Event]], list[Event]] = lambda _: [],
    ) -> None:
        """`dead_letters` gives those that wait to be stored; `on_runs` hears of written runs.

        `on_connected` is called in the fold thread until it raises no StoreError, before anything
        is read from the journal.  `erased` gives what was erased: nothing of it may be stored.
        `of_others` gives those that other collectors wrote of, when the store has others.  `encode`
        makes the rows of a flush and gives what stores them, as `write` would: the rows are made in
        the fold thread, since two threads in turns at the interpreter's lock are slower than one.
        `normalized` has steps that were made elsewhere.  `on_idle` is called in the fold thread now
        and then; `on_control` too, with the events that control is made of as they are read from
        the journal: they are durable then, and not folded yet.  `on_flush` is called in the writer
        thread once with each flush, before it is written: what it keeps on disk stays known when
        the journal lets go of it.  `called_for` gives what verdicts of the rules call for, to be
        journaled with them.
        """
        self._journal = journal
        self._assembler = assembler
        self._recall = recall
        self._accounting = accounting
        self._settings = settings
        self._dead_letters = dead_letters
        self._on_connected = on_connected
        self._erased = erased
        self._of_others = of_others
        self._normalized = normalized or Normalized()
        self._on_idle = on_idle
        self._on_control = on_control
        self._called_for = called_for
        self._flusher = Flusher(
            journal=journal,
            accounting=accounting,
            write=write,
            encode=encode,
            on_flush=on_flush,
            on_runs=on_runs,
        )
        self._pending = Pending()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._connected = False
        self._ended = False
        self._recording: Future[Position] | None = None
        """Verdicts of the last flush, on their way into the journal."""
        self._thread = threading.Thread(target=self._run, name="fold", daemon=True)
        self._housekept = 0.0
        self._judge_again = 0.0
        self.open_runs = 0
        """As of the last look around."""

    @property
    def runs_written(self) -> int:
        """Rows of runs, counting each time one was written."""
        return self._flusher.runs_written

    @property
    def failure(self) -> str:
        """Why the store does not take what it should, in words; "" while it does."""
        return self._flusher.failure

    def start(self) -> None:
        self._thread.start()

    def stop(self, drain_secs: float) -> None:
        """Write what was read and what the journal still holds, for `drain_secs` at most.

        What is left stays in the journal for the next process.
        """
        self._stopping.set()
        deadline = time.monotonic() + drain_secs
        # While the store is not there, waiting would only delay the end.
        while self._connected and not self.failure and time.monotonic() < deadline:
            self._thread.join(IDLE_SECS)
            if not self._thread.is_alive():
                break
        self._flusher.abandon.set()
        self._thread.join(STUCK_SECS)
        if self._thread.is_alive():
            log.warning("store_hangs", extra={"fix": "nothing is lost: the journal has it"})
            self._flusher.left = True

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
        while True:
            while (entry := self._journal.next(0.0)) is not None:
                self._take(entry)
            self._flush()
            if self._recording is None:
                break
            # What rules found in this flush comes back through the journal.
            self._recording.result()
            self._recording = None
        self._flusher.wait()
        if self.failure:
            raise StoreError(self.failure, "Wait until the store works again.")

    def behind(self) -> int:
        """Spans that are acknowledged and not stored; 0 while the store takes nothing."""
        return 0 if self.failure else self._accounting.pending(Signal.TRACES)

    def judge_again(self, trace_ids: Collection[str]) -> None:
        """In the fold thread: what rules look at beside the runs has changed for these."""
        self._assembler.judge_again(trace_ids)
        self._flush(always=True)

    def close_runs(self) -> int:
        """In the fold thread: close all open runs as if the quiet period had passed."""
        events = self._assembler.quiet(time.time_ns(), everything=True)
        self._record(events, self._assembler.not_closed)
        return len(events)

    # ------------------------------------------------------------------ the fold thread

    def _run(self) -> None:
        try:
            self._flusher.insist(self._on_connected, "connect")
            self._connected = True
            while not self._stopping.is_set():
                self._step()
            abandon = self._flusher.abandon
            while not abandon.is_set() and (entry := self._journal.next(0.0)) is not None:
                self._take(entry)
                if self._pending.rows >= self._settings.flush_rows:
                    self._flush()
            if not abandon.is_set():
                self._flush()
                self._flusher.wait()
        except Abandoned:
            pass
        except Exception:
            # A bug of ours.  The journal keeps everything; readiness says so.
            self._flusher.failure = "the fold thread has ended with an error: see the log; restart"
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
        elif self._assembler.is_urgent and (entry is None or now >= self._judge_again):
            self._judge(now)
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

    def _judge(self, now: float) -> None:
        """Ask the rules before the flush is due; what they want to be done comes back through the
        journal."""
        self._record_verdicts(self._assembler.verdicts())
        # However many runs are live and however long: most of the time is left for the rest.
        self._judge_again = now + max(JUDGE_SECS, JUDGE_SHARE * (time.monotonic() - now))

    def _wait_secs(self) -> float:
        if self._assembler.is_urgent:
            return max(self._judge_again - time.monotonic(), 0.0)
        if not self._pending.since:
            return IDLE_SECS
        left = self._pending.since + self._settings.flush_secs - time.monotonic()
        return min(max(left, 0.0 if self._flusher.is_idle else BUSY_SECS), IDLE_SECS)

    def _due(self, now: float) -> bool:
        pending = self._pending
        if pending.rows >= self._settings.flush_rows:
            return True
        # Until the store has taken the flush before, live runs are judged all the same.
        is_late = bool(pending.since) and now - pending.since >= self._settings.flush_secs
        return is_late and self._flusher.is_idle

    def _take(self, entry: Entry) -> None:
        """Read one journal entry into the groups it belongs to."""
        pending = self._pending
        try:
            self._read(entry, pending, time.time_ns())
        except pa.ArrowException as error:  # its checksum is right: another version wrote it
            signal = records.SIGNAL_OF[entry.kind]
            log.error("record_not_read", extra={"items": entry.items, "reason": str(error)})
            self._accounting.dead_lettered(signal, "unreadable_record", entry.items)
            pending.letters.append(
                salvage.unreadable(
                    signal,
                    entry.payload,
                    entry.items,
                    error,
                    time.time_ns(),
                    "unreadable_record",
                )
            )
        pending.rows += entry.items
        pending.upto = entry.position
        pending.since = pending.since or time.monotonic()

    def _read(self, entry: Entry, pending: Pending, now_ns: int) -> None:
        if entry.kind is RecordKind.SPANS:
            spans = records.decode(entry.payload, SPANS)
            kept = self._without_erased(Signal.TRACES, spans)
            ready = self._normalized.take(entry.payload)
            self._take_spans(kept, ready if kept is spans else b"", now_ns)
        elif entry.kind is RecordKind.LOGS:
            batch = self._without_erased(Signal.LOGS, records.decode(entry.payload, LOGS))
            try:
                self._take_events(normalize.events_of(batch), now_ns)
            except Exception:  # a bug of ours: the logs are stored all the same
                log.exception("batch_not_folded")
            self._take_log_spans(batch, now_ns)
            pending.logs.append(batch)
            pending.items[Signal.LOGS] += batch.num_rows
        else:
            new = self._take_events(records.decode_events(entry.payload), now_ns)
            pending.items[Signal.EVENTS] += len(new)
            pending.events.update(event.event_id for event in new)
            self._accounting.deduplicated(Signal.EVENTS, entry.items - len(new))

    def _take_events(self, events: Sequence[Event], now_ns: int) -> list[Event]:
        """Fold events; those that are new."""
        control = [event for event in events if event.name in CONTROL]
        if control:
            self._on_control(control)
        new = []
        alone = self._pending.alone
        for event in events:
            if event.trace_id or event.run_id:
                is_new = self._assembler.add_event(event, now_ns)
            else:
                is_new = event.event_id not in alone
                alone[event.event_id] = event
            if is_new:
                new.append(event)
        return new

    def _without_erased(self, signal: Signal, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What was acknowledged before its trace was erased and not stored yet."""
        erased = self._erased()
        if not may_hold_erased(signal, pc.unique(batch.column("TraceId")).to_pylist(), erased):
            return batch
        gone = erased_rows(signal, batch, erased)
        kept = batch.filter(pc.invert(gone))
        self._accounting.dropped(signal, "erased", batch.num_rows - kept.num_rows)
        return kept

    def _take_log_spans(self, logs: pa.RecordBatch, now_ns: int) -> None:
        """Log events that stand for spans: nobody sent those, so they are not accounted for."""
        try:
            spans = log_spans(logs)
        except Exception:  # a bug of ours: the logs are stored all the same
            log.exception("batch_not_folded")
            return
        if spans.num_rows:
            self._take_spans(self._without_erased(Signal.TRACES, spans), b"", now_ns, sent=False)

    def _take_spans(
        self, batch: pa.RecordBatch, ready: bytes, now_ns: int, *, sent: bool = True
    ) -> None:
        """`ready` are the steps of the batch, made by a decoder process of ours, or nothing."""
        try:
            if ready:
                columns = step_columns.from_bytes(ready)
                steps = step_columns.decode(columns)
                self._pending.made.append((steps, columns))
            else:
                steps = normalize.steps_of(batch)
            duplicates = self._assembler.add(steps, now_ns)
            self._accounting.unrecognized(unrecognized.scopes(batch, steps))
        except Exception:  # a bug of ours: the spans are stored all the same, and can be re-folded
            log.exception("batch_not_folded")
            duplicates = []
        # What spans tell of comes after their steps and has no row.
        duplicates = [row for row in duplicates if row < batch.num_rows]
        if duplicates:
            keep = np.ones(batch.num_rows, dtype=bool)
            keep[duplicates] = False
            batch = batch.filter(pa.array(keep))
            if sent:
                self._accounting.deduplicated(Signal.TRACES, len(duplicates))
        if batch.num_rows:
            self._pending.received_ns.append(batch.column("ReceivedAt")[0].value)
            self._pending.spans.append(batch)
            if sent:
                self._pending.items[Signal.TRACES] += batch.num_rows

    def _housekeep(self) -> None:
        """Close what is quiet, forget what has ended, write letters nobody else triggers."""
        now_ns = time.time_ns()
        self.open_runs = self._assembler.open_runs
        self._look_again(now_ns)
        self._record(self._assembler.quiet(now_ns), self._assembler.not_closed)
        self._assembler.forget(now_ns)
        self._on_idle()
        if not self._pending.since and self._flusher.is_idle:
            letters = self._dead_letters()
            if letters:
                self._flusher.wait()
                self._flusher.hand_over(Flush(dead_letters=letters), Pending())

    def _look_again(self, now_ns: int) -> None:
        """Fold anew what the store has more of: groups that other collectors wrote of, and open
        ones that were dropped for want of room."""
        overdue = set(self._assembler.overdue(now_ns))
        silent = self._assembler.silent(now_ns) if self._of_others is not None else []
        if not overdue and not silent:
            return
        # After our own insert, so that the last of several collectors sees what all wrote.
        self._flusher.wait()

        def look() -> None:
            if overdue:
                for stored in self._recall(Unknown(traces=overdue)):
                    self._assembler.revive(stored, now_ns)
            if self._of_others is not None and (shared := set(self._of_others(silent))):
                for stored in self._recall(Unknown(traces=shared)):
                    self._assembler.restore(stored, now_ns)

        self._flusher.insist(look, "recall")
        self._flush(always=True)

    def _record_verdicts(self, verdicts: Sequence[Event]) -> Future[Position] | None:
        """In one record with the directives that they call for: each record waits for the disk."""
        events = [*self._called_for(verdicts), *verdicts]
        return self._record(events, self._assembler.not_recorded)

    def _record(
        self, events: Sequence[Event], not_recorded: Callable[[], None]
    ) -> Future[Position] | None:
        """Journal events of the collector's own; they come back through `next`."""
        if not events:
            return None
        try:
            recording = self._journal.append(
                RecordKind.EVENT, records.encode_events(list(events)), len(events)
            )
        except RetryableError as error:
            not_recorded()
            log.warning("events_not_recorded", extra={"events": len(events), "reason": str(error)})
            return None

        def done(recorded: Future[Position]) -> None:
            if recorded.exception() is not None:
                self._commands.put(not_recorded)

        recording.add_done_callback(done)
        return recording

    # ------------------------------------------------------------------ flushing

    def _flush(self, *, always: bool = False) -> None:
        """Fold what was read and hand it to the writer; `always`: also where nothing was read."""
        if self._pending.upto is None and not always:
            return
        # The flush before must be in the store before the store is asked what it knows.
        self._flusher.wait()
        self._take_in()
        pending, self._pending = self._pending, Pending()
        changes = self._assembler.changes()
        for key, error in self._assembler.failures:
            log.error("group_not_folded", extra={"group": key}, exc_info=error)
        self._assembler.failures.clear()
        self._recording = self._record_verdicts(changes.verdicts)
        self._accounting.found(event for event, is_new in changes.findings if is_new)
        flush = Flush(
            spans=pending.spans,
            logs=pending.logs,
            steps=changes.steps,
            made=pending.made,
            runs=changes.runs,
            removed=changes.removed,
            events=(*changes.events, *((event, "", "") for event in pending.alone.values())),
            heard_of=changes.heard_of,
            dead_letters=[*pending.letters, *self._dead_letters()],
        )
        if pending.upto is not None or changes != Changes():
            self._flusher.hand_over(flush, pending)

    def _take_in(self) -> None:
        """Take in what the store has of the traces that are new, and of what these link to."""
        for _ in range(HOPS_MAX):
            unknown = self._assembler.unknown()
            if not unknown:
                return
            self._flusher.insist(partial(self._restore, unknown), "recall")

    def _restore(self, unknown: Unknown) -> None:
        for stored in self._recall(unknown):
            self._assembler.restore(stored, time.time_ns())
