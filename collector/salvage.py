"""When the store refuses rows: find them by halves, so that a bad row costs only itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from collector import records
from collector.errors import StoreError
from collector.model import Signal
from collector.runs.run import DeadLetter
from collector.store.writer import Flush

REASON: Final = "refused_by_store"
BATCHES: Final = {"spans": Signal.TRACES, "logs": Signal.LOGS}
"""Parts of a flush that are Arrow batches; the others are sequences of rows."""
ORDER: Final = (
    "spans", "logs", "heard_of", "events", "dead_letters", "steps", "removed", "runs",
)  # fmt: skip
"""A run after its steps, and after the deleted row that it replaces."""
ERROR_CHARS: Final = 500


def parts(flush: Flush) -> Iterator[Flush]:
    """A flush by what is written together: of one that fails in the middle only the rest is
    repeated, so that a store that fails now and then is no store that fails always."""
    for names in (*((name,) for name in ORDER[:-2]), ORDER[-2:]):
        rows = {name: getattr(flush, name) for name in names}
        if any(rows.values()):
            yield Flush(**rows, made=flush.made if "steps" in names else ())


def salvage(flush: Flush, write: Callable[[Flush], None]) -> Iterator[tuple[str, Any, StoreError]]:
    """Store all rows but those that are refused; yields (part of the flush, row, why) for these.

    A row of `spans` and `logs` is a batch of one.  `write` raises a permanent StoreError for what
    can never be stored, and whatever else it raises ends this.
    """
    for name in ORDER:
        rows = getattr(flush, name)
        if rows:
            yield from _store(name, rows, write)


def _store(
    name: str, rows: Sequence[Any], write: Callable[[Flush], None]
) -> Iterator[tuple[str, Any, StoreError]]:
    try:
        write(Flush(**{name: rows}))
    except StoreError as error:
        if not error.permanent:
            raise
        halves = _halves(name, rows)
        if not halves:
            yield name, rows[0], error
        for half in halves:
            yield from _store(name, half, write)


def _halves(name: str, rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """Nothing for a single row."""
    if len(rows) > 1:
        middle = len(rows) // 2
        return rows[:middle], rows[middle:]
    if name in BATCHES and rows[0].num_rows > 1:
        batch: pa.RecordBatch = rows[0]
        middle = batch.num_rows // 2
        # Not slices: Arrow writes the nested values of the rows beside them too.
        return [
            [batch.take(pa.array(range(*ends), pa.int32()))]
            for ends in ((0, middle), (middle, batch.num_rows))
        ]
    return ()


def letter(signal: Signal, row: pa.RecordBatch, error: Exception, at_ns: int) -> DeadLetter:
    """About an acknowledged row that cannot be stored: size and hash, as of all dead letters."""
    payload = records.encode(row)
    return unreadable(signal, payload, 1, error, at_ns, REASON)


def unreadable(
    signal: Signal, payload: Any, items: int, error: Exception, at_ns: int, reason: str
) -> DeadLetter:
    """About acknowledged bytes of `items` rows."""
    return DeadLetter(
        at_ns=at_ns,
        signal=signal.value,
        reason=reason,
        error=str(error)[:ERROR_CHARS],
        peer="",
        size_bytes=memoryview(payload).nbytes,
        sha256=hashlib.sha256(payload).hexdigest(),
        items=items,
    )
