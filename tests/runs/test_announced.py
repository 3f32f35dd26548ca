"""Runs that are heard of before their first span."""

from __future__ import annotations

from itertools import permutations

import pyarrow as pa

from collector.runs.assembler import Assembler
from collector.runs.events import RUN_HEARTBEAT, RUN_STARTED, make_event
from collector.store.writer import by_partition

NOW = 1_800_000_000_000_000_000


def test_a_run_known_by_heartbeats_alone_began_with_the_first() -> None:
    """Its start was lost, or comes later: a row without a time would be in no partition."""
    beats = [make_event(RUN_HEARTBEAT, NOW + n, run_id="r1", attributes={}) for n in range(3)]
    for order in permutations(beats):
        assembler = Assembler()
        for event in order:
            assembler.add_event(event, NOW)
            changes = assembler.changes()
        assert [(run.run_id, run.started_at_ns) for run in changes.runs] == [("r1", NOW)]
    assembler.add_event(make_event(RUN_STARTED, NOW - 5, run_id="r1", attributes={}), NOW)
    assert [run.started_at_ns for run in assembler.changes().runs] == [NOW - 5]


def test_rows_without_a_time_are_one_partition() -> None:
    """A column of nothing but defaults is left out; that must not end the fold."""
    rows = pa.table({"RunId": ["a", "b"]})
    assert list(by_partition(rows, "StartTime", "month")) == [rows]
