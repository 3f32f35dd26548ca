"""The collector starts and stops whatever the store does; its successor stores what it took."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
from pathlib import Path

import pytest

from tests.outage.scene import Scene, check, scene, until
from tests.support.clickhouse_faults import DOWN, HANG, HEALTHY
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
        with pytest.raises(urllib.error.HTTPError) as caught:
            one.collector.get("/v1/runs")
        with caught.value as answer:
            assert answer.code == 503
            assert "Is ClickHouse running" in answer.read().decode()
        clickhouse.inject(HEALTHY)
        assert one.settle() < 6
        one.check()


def test_an_ingest_into_a_store_that_is_down_says_so_at_once(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Who types a command wants to know; only a collector waits for its store."""
    file = tmp_path / "spans.jsonl"
    file.write_text('{"resourceSpans": []}\n')
    clickhouse.inject(DOWN)
    done = subprocess.run(
        [sys.executable, "-m", "otel_agentrun", "ingest", str(file), "--store", clickhouse.url],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "Is ClickHouse running" in done.stderr


def test_starts_and_stops_are_prompt_while_the_store_hangs_or_is_down(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """What each life leaves in the journal, the next one that reaches the store writes to it."""
    with clickhouse.broken(HANG), scene(clickhouse, tmp_path / "data") as hangs_at_start:
        hangs_at_start.send(RUNS)
        promptly(hangs_at_start)
    runs = RUNS
    for faults in (DOWN, HANG):
        with scene(clickhouse, tmp_path / "data", store_insert_timeout_secs=1) as one:
            # Or more: a segment is read again as long as anything in it is not stored.
            assert one.collector.settle()["recovered"] >= RUNS * SPANS_PER_RUN
            one.runs = runs
            one.check()
            with clickhouse.broken(faults):
                one.send(RUNS)
                promptly(one)
            runs = one.runs
    with scene(clickhouse, tmp_path / "data") as last:
        last.settle()
    check(clickhouse, runs)


def promptly(one: Scene) -> None:
    """Within the time of an insert, however long the store takes."""
    began = time.monotonic()
    assert one.collector.stop() == 0
    assert time.monotonic() - began < 10


def test_restarts_in_the_middle_of_runs_make_one_run_of_each(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """A third of the spans each before a kill, before a stop, and after: the totals of all."""
    start_ns = time.time_ns() - 60 * 10**9
    spans = [AgentRun(number, start_ns).spans() for number in range(RUNS)]
    for life in range(3):
        with scene(clickhouse, tmp_path / "data") as one:
            sender = Sender(one.collector.ports["grpc"])
            for run in spans:
                assert sender.send(request(run[2 * life : 2 * life + 2]))
            sender.close()
            if life == 0:
                one.collector.kill()
            else:
                one.settle()
                assert one.collector.stop() == 0
    check(clickhouse, RUNS)
