"""Everything of one flush into its tables, in an order and a form that make a retry harmless.

Every table absorbs a repeated row (docs/store.md), so that a flush that failed half-way, or whose
answer was lost, is written again as a whole.  Runs go last: who sees a run finds its steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from collector.errors import StoreError
from collector.ledger.chain import Ledger
from collector.model import LOGS, SPANS, TIME
from collector.runs.run import DeadLetter, PlacedStep, Removed, Run
from collector.store import rows
from collector.store.client import Store
from collector.store.content import move_large
from collector.store.rows import MadeSteps
from otel_agentrun.step import Event

PARTITIONS_MAX: Final = 90
"""Per insert: the engine refuses a block over more than 100."""
NOT_STORED: Final = ("SpanAttributeTypes",)
"""Text is what readers ask for, and the types cost a map's worth of merging per span."""
HOUR_NS: Final = 3_600_000_000_000
"""Rows of a run that start in the same hour have the same key."""
DAY: Final = "day"
MONTH: Final = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """What is to be stored together."""

    spans: Sequence[pa.RecordBatch] = ()
    """`model.SPANS`."""
    logs: Sequence[pa.RecordBatch] = ()
    """`model.LOGS`."""
    steps: Sequence[PlacedStep] = ()
    made: Sequence[MadeSteps] = ()
    """Columns of some of the steps, where they were made already."""
    runs: Sequence[Run] = ()
    removed: Sequence[Removed] = ()
    """Run rows that are no more, also those of runs whose start moved to another hour."""
    events: Sequence[tuple[Event, str, str]] = ()
    """(event, run id, group id)."""
    heard_of: Sequence[tuple[str, int]] = ()
    """(trace id, time) of traces that only events are known of: their spans find them by it."""
    dead_letters: Sequence[DeadLetter] = ()


class Writer:
    """Writes flushes; one at a time."""

    def __init__(
        self,
        store: Store,
        *,
        inline_value_bytes_max: int = 16_384,
        writer_id: int = 0,
        ledger: Ledger | None = None,
    ) -> None:
        """`writer_id` tells this collector process from others that write to the same store;
        `ledger` is where the decisions among the events become entries."""
        self._store = store
        self._inline_value_bytes_max = inline_value_bytes_max
        self._writer_id = writer_id
        self._ledger = ledger

    def write(self, flush: Flush) -> None:
        """Store all of it.  Raises StoreError; then write the same flush again."""
        self.insert(
            inserts(
                flush,
                inline_value_bytes_max=self._inline_value_bytes_max,
                writer_id=self._writer_id,
            ),
            flush.events,
        )

    def insert(self, rows: Iterable[Insert], events: Sequence[tuple[Event, str, str]] = ()) -> None:
        """Store what `inserts` made, in its order, after the entries that the ledger has for
        `events`.  Raises StoreError; may be repeated."""
        if events and self._ledger is not None:
            self._ledger.record(self._store, events)
        for insert in rows:
            for part in by_partition(insert.rows, insert.time, insert.unit):
                self._store.insert_arrow(insert.table, part)

    def canary(self, value: int) -> None:
        """Write `value` (growing, such as a time) and read it back.  Raises StoreError."""
        row = {"WriterId": [self._writer_id], "Value": [value]}
        self._store.insert_arrow(
            "store_canary", pa.table(row, schema=pa.schema(dict.fromkeys(row, pa.uint64())))
        )
        found = self._store.column(
            "SELECT max(Value) FROM store_canary WHERE WriterId = %(writer)s",
            {"writer": self._writer_id},
        )
        if found[0] < value:
            raise StoreError(
                f"{self._store.url}: a row was written but could not be read back",
                "Check replication lag, and that the URL's host serves what it stores.",
            )


class Insert(NamedTuple):
    """Rows of one table, partitioned by `unit` (day | month) of the column `time`."""

    table: str
    rows: pa.Table
    time: str
    unit: str


def inserts(flush: Flush, *, inline_value_bytes_max: int, writer_id: int) -> list[Insert]:
    """A flush as rows: pure, so that it can be made in another thread than it is stored in."""
    found: list[Insert] = []
    if flush.spans:
        found += _span_inserts(flush.spans, inline_value_bytes_max, writer_id)
    if flush.logs:
        found.append(Insert("otel_logs", pa.Table.from_batches(flush.logs, LOGS), "Timestamp", DAY))
    if flush.heard_of:
        heard_of = rows_of_events(flush.heard_of, writer_id)
        found.append(Insert("otel_traces_trace_id_ts", heard_of, "Start", DAY))
    if flush.events:
        found.append(Insert("agent_events", rows.event_rows(flush.events), "Timestamp", MONTH))
    if flush.dead_letters:
        letters = rows.dead_letter_rows(flush.dead_letters)
        found.append(Insert("dead_letters", letters, "Timestamp", MONTH))
    if flush.steps:
        steps = rows.step_rows(flush.steps, flush.made, sparse=True)
        found.append(Insert("agent_steps", steps, "Timestamp", DAY))
    if flush.runs or flush.removed:
        removed = _elsewhere(flush.removed, flush.runs)
        runs = rows.run_rows(flush.runs, removed, sparse=True)
        found.append(Insert("agent_runs", runs, "StartTime", MONTH))
    return found


def _span_inserts(
    batches: Sequence[pa.RecordBatch], inline_value_bytes_max: int, writer_id: int
) -> Iterator[Insert]:
    spans = pa.Table.from_batches(batches, SPANS).drop_columns(list(NOT_STORED))
    spans = spans.combine_chunks()
    # The index goes first: a trace that is stored but not known would never be folded again.
    yield Insert("otel_traces_trace_id_ts", trace_rows(spans, writer_id), "Start", DAY)
    spans, content = move_large(spans, inline_value_bytes_max)
    if content is not None:
        yield Insert("agent_content", content, "Timestamp", DAY)
    yield Insert("otel_traces", spans, "Timestamp", DAY)


def _elsewhere(removed: Sequence[Removed], runs: Sequence[Run]) -> list[Removed]:
    """Without the rows that a live run of the same key replaces by itself."""
    live = {_key(run) for run in runs}
    return [row for row in removed if _key(row) not in live]


def _key(row: Run | Removed) -> tuple[int, str, str]:
    """The sorting key of `agent_runs`."""
    return (row.started_at_ns // HOUR_NS, row.run_id, row.workspace)


def trace_rows(spans: pa.Table, writer_id: int) -> pa.Table:
    """Rows of `otel_traces_trace_id_ts`: first and last start of each trace in `spans`."""
    seconds = pa.timestamp("s", tz="UTC")
    times = pa.table(
        {
            "TraceId": spans["TraceId"],
            "Timestamp": pc.cast(spans["Timestamp"], seconds, safe=False),
            "ReceivedAt": pc.cast(spans["ReceivedAt"], seconds, safe=False),
        }
    )
    found = times.group_by("TraceId", use_threads=False).aggregate(
        [("Timestamp", "min"), ("Timestamp", "max"), ("ReceivedAt", "max")]
    )
    columns = ("TraceId", "Timestamp_min", "Timestamp_max", "ReceivedAt_max")
    return _index(*(found[name] for name in columns), writer_id=writer_id)


def rows_of_events(heard_of: Sequence[tuple[str, int]], writer_id: int) -> pa.Table:
    """Rows of `otel_traces_trace_id_ts` for traces of (id, time of an event)."""
    trace_ids, times = (pa.array(column) for column in zip(*heard_of, strict=True))
    at = pc.cast(times.cast(TIME), pa.timestamp("s", tz="UTC"), safe=False)
    return _index(trace_ids, at, at, at, writer_id=writer_id)


def _index(
    trace_ids: pa.Array, first: pa.Array, last: pa.Array, received: pa.Array, *, writer_id: int
) -> pa.Table:
    writers = pa.array([writer_id], pa.uint64())
    one = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), writers)
    return pa.table(
        {
            "TraceId": trace_ids,
            "Start": first,
            "End": last,
            "ReceivedAt": received,
            "Writers": one.take(pa.array([0] * len(trace_ids), pa.int32())),
        }
    )


def by_partition(data: pa.Table, time: str, unit: str) -> Iterator[pa.Table]:
    """`data` in pieces of at most `PARTITIONS_MAX` partitions each; nearly always one piece."""
    if time not in data.column_names:  # left out: all rows have the default, one partition
        yield data
        return
    column = data[time]
    ends = pc.min_max(column)
    if len(data) and _span_days(ends) < PARTITIONS_MAX:
        yield data
        return
    partitions = pc.floor_temporal(column, unit=unit)
    distinct = sorted(pc.unique(partitions).to_pylist())
    for start in range(0, len(distinct), PARTITIONS_MAX):
        some = pa.array(distinct[start : start + PARTITIONS_MAX], column.type)
        yield data.filter(pc.is_in(partitions, some))


def _span_days(ends: pa.StructScalar) -> float:
    seconds = pa.timestamp("s", tz="UTC")
    first, last = (pc.cast(ends[name], seconds, safe=False).value for name in ("min", "max"))
    return float(last - first) / 86_400
