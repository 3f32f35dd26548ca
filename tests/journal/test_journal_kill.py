"""Promise 1: a record that was acknowledged survives `kill -9`."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.journal.builders import opened, payloads_of, put, take_all

WRITER = """
import os, sys
from pathlib import Path
from collector.journal.journal import Journal, JournalSettings, RecordKind

settings = JournalSettings(directory=Path(sys.argv[1]), segment_bytes=200_000, cache_bytes=50_000)
journal = Journal.open(settings, lambda entries: None)
number = int(sys.argv[2])
while True:
    futures = []
    for _ in range(8):
        payload = b"%08d" % number + os.urandom(number % 3000)
        futures.append((number, journal.append(RecordKind.SPANS, payload, 1)))
        number += 1
    for acked, future in futures:
        future.result()
        os.write(1, b"%d\\n" % acked)
"""


def test_acknowledged_records_survive_kill_9_ten_times(tmp_path: Path) -> None:
    """Each process finds what the ones before it left, appends, and is killed at a random moment
    under load; in the end every acknowledged number is there once and in order."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  shown when the test fails
    moments = random.Random(seed)
    acked: list[int] = []
    for generation in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(generation * 1_000_000)],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.1))
        finally:
            process.kill()
            rest = process.communicate(timeout=10)[0]
        lines = (first + rest).split(b"\n")
        acked += map(int, filter(None, lines[:-1]))

    with opened(tmp_path) as journal:
        assert journal.quarantined == ()
        entries = take_all(journal)
        found = [int(payload[:8]) for payload in payloads_of(entries)]
        put(journal, b"alive")
        assert payloads_of(take_all(journal)) == [b"alive"]

    assert len(acked) >= 10
    assert set(acked) <= set(found)
    assert found == sorted(set(found))
