"""How much the journal takes: `python tests/bench/bench_journal.py [DIRECTORY]` (about 6 s).

Senders are event loop style: each keeps one append in flight and sends the next one when it is
durable.  CPU is that of the whole process (senders, committer and reader).
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from collector.journal.entry import MIB
from collector.journal.journal import Journal, JournalSettings, RecordKind

CASES = ((1, 100_000), (4, 100_000), (16, 100_000), (64, 100_000), (16, 1_000), (4, 700_000))
"""(appends in flight, payload bytes)."""
CASE_SECS = 0.8


def measure(directory: Path, senders: int, payload_bytes: int) -> tuple[str, ...]:
    settings = JournalSettings(directory=directory, bytes_max=4096 * MIB)
    journal = Journal.open(settings, lambda entries: None)
    payload = os.urandom(payload_bytes)
    end = time.perf_counter() + CASE_SECS
    acks_secs: list[float] = []
    idle = threading.Semaphore(0)

    def send() -> None:
        if time.perf_counter() >= end:
            idle.release()
            return
        started = time.perf_counter()

        def resolved(_: object) -> None:
            acks_secs.append(time.perf_counter() - started)
            send()

        journal.append(RecordKind.SPANS, payload, 512).add_done_callback(resolved)

    def read() -> None:
        # As the store's writer does: in groups, released together.
        taken = 0
        while (entry := journal.next(CASE_SECS * 2)) is not None:
            taken += 1
            if taken % 32 == 0:
                journal.release(entry.position)

    reader = threading.Thread(target=read)
    reader.start()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(senders):
        send()
    for _ in range(senders):
        idle.acquire()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    stats = journal.stats()
    journal.close()
    reader.join()
    acks_secs.sort()
    records = stats.committed_records
    return (
        str(senders),
        f"{payload_bytes:,}",
        f"{records / wall:,.0f}",
        f"{records * payload_bytes / wall / MIB:,.0f}",
        f"{records / stats.commits:.1f}",
        f"{stats.sync_secs / stats.commits * 1e3:.2f}",
        f"{cpu / records * 1e6:,.0f}",
        f"{acks_secs[records // 2] * 1e3:.1f}",
        f"{acks_secs[records * 99 // 100] * 1e3:.1f}",
    )


def measure_start(directory: Path, payload_bytes: int, total_bytes: int) -> str:
    journal = Journal.open(JournalSettings(directory=directory), lambda entries: None)
    payload = os.urandom(payload_bytes)
    count = total_bytes // payload_bytes
    for number in range(count):
        future = journal.append(RecordKind.SPANS, payload, 512)
        if number % 100 == 99 or number == count - 1:
            future.result()
    journal.close()
    started = time.perf_counter()
    journal = Journal.open(JournalSettings(directory=directory), lambda entries: None)
    opened = time.perf_counter()
    for _ in range(count):
        assert journal.next(0) is not None
    read = time.perf_counter()
    journal.close()
    return (
        f"start with {total_bytes / MIB:.0f} MiB of {payload_bytes:,}-byte records: checked at "
        f"{total_bytes / (opened - started) / MIB:,.0f} MiB/s, "
        f"read again at {total_bytes / (read - opened) / MIB:,.0f} MiB/s"
    )


def main() -> None:
    console = Console(width=120)
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    table = Table(title="journal, one process")
    for name in (
        "in flight", "payload", "appends/s", "MiB/s", "per group", "sync ms", "CPU µs/append",
        "p50 ms", "p99 ms",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for senders, payload_bytes in CASES:
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            table.add_row(*measure(Path(folder), senders, payload_bytes))
    console.print(table)
    for payload_bytes in (100_000, 1_000):
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            console.print(measure_start(Path(folder), payload_bytes, 64 * MIB))


if __name__ == "__main__":
    main()
