"""One flush at a time into the store, for as long as that takes, and its journal records released.

A store that does not answer is asked again and again; rows that it can never take cost only
themselves (salvage.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import pyarrow as pa

from collector import salvage
from collector.accounting import Accounting
from collector.errors import RetryableError, StoreError
from collector.journal.entry import Position
from collector.journal.journal import Journal
from collector.model import Signal
from collector.runs.run import DeadLetter, Run
from collector.store.rows import MadeSteps
from collector.store.writer import Flush
from otel_agentrun.step import Event

log = logging.getLogger(__name__)

BACKOFF_SECS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Pending:
    """What was read since the last flush."""

    spans: list[pa.RecordBatch] = field(default_factory=list)
    logs: list[pa.RecordBatch] = field(default_factory=list)
    items: Counter[Signal] = field(default_factory=Counter)
    events: set[str] = field(default_factory=set)
    """Ids of the events among `items`: those of log records count as logs."""
    alone: dict[str, Event] = field(default_factory=dict)
    """Events of no run: a directive for all runs of an agent."""
    letters: list[DeadLetter] = field(default_factory=list)
    made: list[MadeSteps] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    """When each request with spans was received."""
    rows: int = 0
    upto: Position | None = None
    since: float = 0.0
    """Monotonic time of the first row; 0 while there is none."""


class Abandoned(RetryableError):
    """The collector stops first: what is not in the store stays in the journal."""

    def __init__(self) -> None:
        super().__init__("The collector is shutting down.", "stopping")


class Write(Protocol):
    """Writes one flush; idempotent.  Raises StoreError."""

    def __call__(self, flush: Flush) -> None: ...


class Flusher:
    """`hand_over`, `wait` and `insist` are for one thread, the one that folds."""

    def __init__(
        self,
        *,
        journal: Journal,
        accounting: Accounting,
        write: Write,
        encode: Callable[[Flush], Callable[[], None]] | None,
        on_flush: Callable[[Flush], None],
        on_runs: Callable[[Sequence[Run]], None],
    ) -> None:
        """All but the first two as of `Pipeline`."""
        self._journal = journal
        self._accounting = accounting
        self._write = write
        self._encode = encode
        self._on_flush = on_flush
        self._on_runs = on_runs
        self._writing: Future[None] | None = None
        self.abandon = threading.Event()
        """Set: nothing is tried again."""
        self.left = False
        """Nobody waits for what hangs: from now on the journal belongs to others."""
        self.runs_written = 0
        """Rows of runs, counting each time one was written."""
        self.failure = ""
        """Why the store does not take what it should, in words; "" while it does."""

    @property
    def is_idle(self) -> bool:
        return self._writing is None or self._writing.done()

    def wait(self) -> None:
        """Until the flush that was handed over is in the store.  Raises what stopped it."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def insist(self, action: Callable[[], None], what: str) -> None:
        """Try until the store does it.  Raises Abandoned; StoreError for rows it can never take."""
        attempt = 0
        while True:
            try:
                action()
            except StoreError as error:
                if error.permanent and what == "write":
                    raise
                self._failed(what, error, attempt)
            except (ValueError, ArithmeticError, pa.ArrowException) as error:
                if what != "write":
                    raise
                log.exception("rows_not_encoded")  # a bug of ours: it costs the rows that have it
                raise StoreError(f"a row cannot be encoded: {error}", permanent=True) from error
            else:
                if self.failure:
                    log.info("store_works_again", extra={"attempts": attempt})
                self.failure = ""
                return
            pause = BACKOFF_SECS[min(attempt, len(BACKOFF_SECS) - 1)]
            attempt += 1
            if self.abandon.wait(pause):
                raise Abandoned

    def hand_over(self, flush: Flush, pending: Pending) -> None:
        """Encode a flush here and store it in a thread of its own; `pending` is what it is made of.

        The flush before has to be in the store: `wait`.
        """
        writing: Future[None] = Future()
        prepared = [(part, self._prepare(part)) for part in salvage.parts(flush)]

        def work() -> None:
            try:
                self._on_flush(flush)
                self._store(prepared, pending, flush.runs)
            except BaseException as error:  # the fold thread ends with it
                writing.set_exception(error)
            else:
                writing.set_result(None)

        # A daemon: the process can end while a server hangs.
        threading.Thread(target=work, name="store-writer", daemon=True).start()
        self._writing = writing

    # ------------------------------------------------------------------ how it works

    def _prepare(self, part: Flush) -> Callable[[], None]:
        """What stores one part of a flush."""
        if self._encode is not None:
            try:
                return self._encode(part)
            except (ValueError, ArithmeticError, pa.ArrowException):
                pass  # the writer comes to it, and finds the row
        return partial(self._write, part)

    def _store(
        self,
        prepared: Sequence[tuple[Flush, Callable[[], None]]],
        pending: Pending,
        runs: Sequence[Run],
    ) -> None:
        began = time.monotonic()
        for part, store in prepared:
            try:
                self.insist(store, "write")
            except StoreError as error:
                self._salvage(part, pending, error)
        if self.left:
            return  # the store hung for too long: the journal is closed, its next owner repeats it
        self._accounting.flushed(time.monotonic() - began)
        for signal, items in pending.items.items():
            self._accounting.stored(signal, items)
        now_ns = time.time_ns()
        self._accounting.landed((now_ns - at_ns) / 1e9 for at_ns in pending.received_ns)
        if pending.upto is not None:
            self._journal.release(pending.upto)
        if runs:
            self.runs_written += len(runs)
            try:
                self._on_runs(runs)
            except StoreError as error:  # who follows hears of the next change
                log.warning("updates_not_sent", extra={"reason": str(error)})

    def _failed(self, what: str, error: StoreError, attempt: int) -> None:
        self.failure = f"{error} {error.hint}".strip()
        self._accounting.flush_failed(what)
        self._accounting.error("store", self.failure, at_ns=time.time_ns())
        if attempt == 0:  # one line when it begins, not one a second
            log.error("store_failed", extra={"what": what, "reason": str(error), "fix": error.hint})

    def _salvage(self, flush: Flush, pending: Pending, error: StoreError) -> None:
        """Some row can never be stored: it costs only itself, and leaves a dead letter."""
        log.error("rows_refused_by_store", extra={"reason": str(error), "fix": error.hint})

        def write(part: Flush) -> None:
            self.insist(partial(self._write, part), "write")

        letters: list[DeadLetter] = []
        lost: Counter[Signal] = Counter()
        refused: Counter[str] = Counter()
        for part, row, why in salvage.salvage(flush, write):
            refused[part] += 1
            if part in salvage.BATCHES:
                signal = salvage.BATCHES[part]
                lost[signal] += 1
                letters.append(salvage.letter(signal, row, why, time.time_ns()))
            elif part == "events" and row[0].event_id in pending.events:
                lost[Signal.EVENTS] += 1
        for part, _, _ in salvage.salvage(Flush(dead_letters=letters), write):
            refused[part] += 1
        log.error("rows_not_stored", extra=dict(refused))
        for signal, rows in lost.items():
            pending.items[signal] -= rows
            self._accounting.dead_lettered(signal, salvage.REASON, rows)
