"""The collector starts and stops whatever the store does; its successor stores what it took."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.outage.scene import check, scene, until
from tests.support.clickhouse_faults import DOWN, HANG, HEALTHY, Faults
from tests.support.clickhouse_fixtures import (
    Database,
    clickhouse,  # noqa: F401
    clickhouse_server,  # noqa: F401
)
from tests.support.traffic import SPANS_PER_RUN, AgentRun, Sender, request

RUNS = 12


def test_a_store_that_comes_after_the_start_is_made_and_written(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The collector accepts and journals; once the store answers it applies the schema."""
    clickhouse.inject(DOWN)
    with scene(clickhouse, tmp_path / "data") as one:
        one.send(RUNS)
        until(lambda: one.ready()[0] == 503, "not ready")
        assert one.collector.terms()["pending"] == RUNS * SPANS_PER_RUN
        clickhouse.inject(HEALTHY)
        assert one.settle() < 6
        one.check()


def test_a_store_that_hangs_at_start_delays_neither_start_nor_stop(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Everything is left to the next start.  The timeout is the default of 30 s."""
    with clickhouse.broken(HANG), scene(clickhouse, tmp_path / "data") as first:
        first.send(RUNS)
        began = time.monotonic()
        assert first.collector.stop() == 0
        assert time.monotonic() - began < 10
    with scene(clickhouse, tmp_path / "data") as second:
        assert second.collector.settle()["recovered"] == RUNS * SPANS_PER_RUN
    check(clickhouse, RUNS)


@pytest.mark.parametrize("faults", [DOWN, HANG], ids=["down", "hangs"])
def test_a_stop_while_the_store_fails_is_prompt_and_leaves_the_rest_to_the_journal(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
    faults: Faults,
) -> None:
    """It waits for the time of an insert at most."""
    with scene(clickhouse, tmp_path / "data", store_insert_timeout_secs=1) as first:
        first.send(RUNS)
        first.settle()
        with clickhouse.broken(faults):
            first.send(RUNS)
            began = time.monotonic()
            assert first.collector.stop() == 0
            assert time.monotonic() - began < 10
    with scene(clickhouse, tmp_path / "data") as second:
        # Or more: a segment of the journal is read again as long as anything in it is not stored.
        assert second.collector.settle()["recovered"] >= RUNS * SPANS_PER_RUN
    check(clickhouse, 2 * RUNS)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_restart_in_the_middle_of_runs_makes_one_run_of_each(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
    way: str,
) -> None:
    """Half of the spans before, half of them after: the totals are those of all."""
    start_ns = time.time_ns() - 60 * 10**9
    spans = [AgentRun(number, start_ns).spans() for number in range(RUNS)]
    halves = ([run[:3] for run in spans], [run[3:] for run in spans])
    for number, half in enumerate(halves):
        with scene(clickhouse, tmp_path / "data") as one:
            sender = Sender(one.collector.ports["grpc"])
            for part in half:
                assert sender.send(request(part))
            sender.close()
            if number or way == "stop":
                one.settle()
                assert one.collector.stop() == 0
            else:
                one.collector.kill()
    check(clickhouse, RUNS)
