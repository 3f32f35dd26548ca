"""What storing and reading cost: flushes of spans, steps and runs; look-ups; run lists.

    python -m tests.bench store [--flushes 20] [--spans 20000] [--per-sec 40000]
        [--traces 1000000]

CPU is that of the whole process, merges included; building the flushes is not counted.  Spans are
those of `otlp_load` (25 per run, 1.4 KB each), paced like live traffic (about 40 s).
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from collector.normalize import steps_of
from collector.receiver.decode import Decoder
from collector.runs.assembler import Assembler
from collector.store import documents, rows, schema
from collector.store.client import Store
from collector.store.reader import Reader, RunFilter
from collector.store.writer import Flush, Writer
from tests.bench.otlp_load import build_pool

REQUEST_SPANS = 512
REPEATS = 5


class Timed(Store):
    """A store that adds up what each table's inserts take."""

    cpu: ClassVar[defaultdict[str, float]] = defaultdict(float)
    wall: ClassVar[defaultdict[str, float]] = defaultdict(float)

    def insert_arrow(self, table: str, data: pa.Table | pa.RecordBatch) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        super().insert_arrow(table, data)
        self.cpu[table] += time.process_time() - cpu
        self.wall[table] += time.perf_counter() - wall


def flushes(count: int, spans: int) -> list[Flush]:
    """Each with whole runs of its own: distinct ids, half a second later than the one before."""
    decoder = Decoder()
    pool = build_pool(spans // 25 + 1, REQUEST_SPANS, 1)
    now = time.time_ns()
    start = now - count * 500_000_000
    prefix = secrets.randbits(20) << 10
    found = []
    for number in range(count):
        batches = [
            decoder.traces(
                payload.stamp(prefix + number + 1, start + number * 500_000_000),
                received_at_ns=now,
            ).batch
            for payload in pool
        ]
        assembler = Assembler()
        for batch in batches:
            assembler.add(steps_of(batch), now)
        changes = assembler.changes()
        found.append(Flush(spans=batches, steps=changes.steps, runs=changes.runs))
    return found


def write_all(store: Timed, given: list[Flush], pause_secs: float) -> list[tuple[str, ...]]:
    writer = Writer(store, writer_id=1)
    spans = sum(batch.num_rows for flush in given for batch in flush.spans)
    cpu, worst = time.process_time(), 0.0
    for flush in given:
        started = time.perf_counter()
        writer.write(flush)
        took = time.perf_counter() - started
        worst = max(worst, took)
        time.sleep(max(0.0, pause_secs - took))
    whole = (time.process_time() - cpu) / spans * 1e6
    per_flush = 1e3 / len(given)
    inserts = sum(store.cpu.values()) / spans * 1e6
    return [
        (f"write, all tables, merges included ({spans:,} spans)", f"{whole:.1f} µs CPU/span"),
        ("  of it while inserting (other threads' merges included)", f"{inserts:.1f} µs CPU/span"),
        *(
            (f"  insert into {table}", f"{wall * per_flush:.0f} ms per flush")
            for table, wall in sorted(store.wall.items(), key=lambda entry: -entry[1])
        ),
        ("  slowest flush", f"{worst * 1e3:.0f} ms"),
    ]


def build_rows(flush: Flush) -> list[tuple[str, ...]]:
    steps = best(lambda: rows.step_rows(flush.steps)) / max(len(flush.steps), 1)
    runs = best(lambda: rows.run_rows(flush.runs)) / max(len(flush.runs), 1)
    return [
        (f"rows of {len(flush.steps):,} steps", f"{steps * 1e3:.1f} µs/step"),
        (f"rows of {len(flush.runs):,} runs", f"{runs * 1e3:.1f} µs/run"),
    ]


def look_up(store: Store, traces: int) -> list[tuple[str, ...]]:
    store.command(
        "INSERT INTO otel_traces_trace_id_ts (TraceId, Start, End, ReceivedAt, Writers)"
        " SELECT lower(hex(sipHash128(number))), now() - number %% 2592000 AS S, S, now(), [1]"
        " FROM numbers(%(n)s)",
        {"n": traces},
    )
    reader = Reader(store)
    known = [
        store.column(
            "SELECT lower(hex(sipHash128(number * 997 + %(k)s))) FROM numbers(1000)", {"k": k}
        )
        for k in range(REPEATS)
    ]
    sets = iter(known)
    there = best(lambda: reader.known_traces(next(sets)))
    absent = best(lambda: reader.known_traces(secrets.token_hex(16) for _ in range(1000)))
    return [
        (f"known_traces, 1000 known ids of {traces:,}", f"{there:.1f} ms"),
        (f"known_traces, 1000 new ids of {traces:,}", f"{absent:.1f} ms"),
    ]


def read_all(store: Store) -> list[tuple[str, ...]]:
    reader = Reader(store)
    found = reader.runs(RunFilter(limit=100))
    one = found[50]
    return [
        ("run rows, newest 100", f"{best(lambda: reader.runs(RunFilter(limit=100))):.0f} ms"),
        (
            "run documents with content, newest 100",
            f"{best(lambda: documents.run_documents(reader, found)):.0f} ms",
        ),
        ("run row by id", f"{best(lambda: reader.run(one.run_id)):.1f} ms"),
        ("run document with steps", f"{best(lambda: documents.shown(reader, one.run_id)):.0f} ms"),
        ("load one group", f"{best(lambda: reader.load_group([one.group_id])):.0f} ms"),
    ]


def best(call: Callable[[], Any]) -> float:
    """Milliseconds, the median."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return sorted(taken)[REPEATS // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description="what storing and reading cost")
    parser.add_argument("--flushes", type=int, default=20)
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--per-sec", type=int, default=40_000)
    parser.add_argument("--traces", type=int, default=1_000_000)
    options = parser.parse_args()
    given = flushes(options.flushes, options.spans)
    shown = Table("what", "figure", title="store (chDB, fsync on)")
    with tempfile.TemporaryDirectory() as folder, Timed.open(f"chdb://{folder}") as store:
        assert isinstance(store, Timed)
        schema.apply(store)
        results = build_rows(given[0])
        results += write_all(store, given, options.spans / options.per_sec)
        results += read_all(store)
        disk = store.query(
            "SELECT table, sum(bytes_on_disk) / sum(rows) AS b, count() AS parts FROM system.parts"
            " WHERE active AND database = currentDatabase()"
            " AND table IN ('otel_traces', 'agent_steps', 'agent_runs') GROUP BY table"
        )
        results += [
            (f"{row['table']} on disk", f"{row['b']:.0f} bytes/row, {row['parts']} parts")
            for row in disk
        ]
        results += look_up(store, options.traces)
    for result in results:
        shown.add_row(*result)
    Console(width=110).print(shown)


if __name__ == "__main__":
    main()
