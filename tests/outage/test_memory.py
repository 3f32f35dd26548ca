"""A collector holds nothing that the store does not hold: late spans, eviction, two collectors."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.outage.scene import check, rows, scene, until
from tests.support.clickhouse_faults import Faults
from tests.support.clickhouse_fixtures import (
    Database,
    clickhouse,  # noqa: F401
    clickhouse_server,  # noqa: F401
    database,
)
from tests.support.process import CollectorProcess
from tests.support.traffic import SPANS_PER_RUN, AgentRun, Sender, request

RUNS = 12


def runs_of_spans(count: int) -> list[list[Span]]:
    start_ns = time.time_ns() - 60 * 10**9
    return [AgentRun(number, start_ns).spans() for number in range(count)]


def send(collector: CollectorProcess, parts: Sequence[Sequence[Span]]) -> None:
    """A request for each part."""
    sender = Sender(collector.ports["grpc"])
    for part in parts:
        if part:
            assert sender.send(request(list(part))), sender.error
    sender.close()


def test_spans_of_forgotten_runs_are_folded_with_what_is_stored(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """First of runs whose root came first and ended them; then of 400 open runs of 5 spans, where
    1,000 steps are allowed, until their roots come."""
    spans = runs_of_spans(RUNS + 400)
    ended, opened = spans[:RUNS], spans[RUNS:]
    with scene(
        clickhouse, tmp_path / "data", runs_linger_secs=0.1, runs_open_steps_max=1000
    ) as one:
        send(one.collector, [[run[-1], run[0]] for run in ended])
        one.settle()
        until(lambda: gauge(one.collector, "agentrun_open_groups") == 0, "forgotten")
        send(one.collector, [run[1:-1] for run in ended])
        one.settle()
        check(clickhouse, RUNS)
        send(one.collector, [[span for run in opened for span in run[:-1]]])
        one.settle()
        until(lambda: gauge(one.collector, "agentrun_open_steps") <= 1000, "evicted")
        send(one.collector, [[run[-1] for run in opened]])
        one.settle()
        check(clickhouse, RUNS + 400)


def test_an_evicted_run_is_closed_when_it_is_quiet(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Its root never comes: it is read back, closed, and says what is missing."""
    spans = runs_of_spans(400)
    with scene(
        clickhouse,
        tmp_path / "data",
        runs_open_steps_max=1000,
        runs_quiet_secs=1.5,
        runs_linger_secs=0.5,
    ) as one:
        send(one.collector, [[span for run in spans for span in run[:-1]]])
        one.settle()
        until(lambda: gauge(one.collector, "agentrun_open_steps") <= 1000, "evicted")
        until(lambda: not open_runs(clickhouse), "closed")
        [found] = rows(
            clickhouse,
            "SELECT count() AS n, countIf(has(DataQuality, 'root_missing')) AS missing"
            " FROM agent_runs FINAL",
        )
        assert (found["n"], found["missing"]) == (400, 400)


def test_two_collectors_that_see_half_of_each_trace_leave_whole_runs(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The last insert folds everything, whoever makes it."""
    spans = runs_of_spans(3 * RUNS)
    with (
        scene(clickhouse, tmp_path / "a", runs_linger_secs=0.3) as a,
        scene(clickhouse, tmp_path / "b", runs_linger_secs=0.3) as b,
    ):
        for at in range(SPANS_PER_RUN):  # in turns
            send((a, b)[at % 2].collector, [[run[at]] for run in spans[:RUNS]])
            time.sleep(0.06)
        at_once = spans[RUNS : 2 * RUNS]
        send(a.collector, [run[3:] for run in at_once])
        send(b.collector, [run[:3] for run in at_once])
        root_last = spans[2 * RUNS :]
        send(a.collector, [run[:3] for run in root_last])
        send(b.collector, [run[3:-1] for run in root_last])
        a.settle()
        b.settle()
        send(a.collector, [run[-1:] for run in root_last])
        a.settle()
        until(lambda: whole(clickhouse, 3 * RUNS), "whole runs", secs=10)
    check(clickhouse, 3 * RUNS)


def test_two_collectors_and_a_store_that_fails_leave_the_documents_of_one_that_never_did(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Promise 3.  Spans in any order to either of them, a quarter of them twice; then the same
    spans, in order, to one collector on a store without faults."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  # to repeat a failure
    rng = random.Random(seed)
    runs = runs_of_spans(RUNS)
    spans = [span for run in runs for span in run]
    spans += rng.sample(spans, len(spans) // 4)
    rng.shuffle(spans)
    with (
        scene(clickhouse, tmp_path / "a", runs_linger_secs=0.3) as a,
        scene(clickhouse, tmp_path / "b", runs_linger_secs=0.3) as b,
    ):
        with clickhouse.broken(Faults(every_insert=3, insert_fault="error")):
            for at in range(0, len(spans), 5):
                send(rng.choice((a, b)).collector, [spans[at : at + 5]])
            a.settle()
            b.settle()
        until(lambda: whole(clickhouse, RUNS), "whole runs", secs=15)
        found = documents(a.collector)
        assert documents(b.collector) == found
    check(clickhouse, RUNS)
    with database(clickhouse.server) as other, scene(other, tmp_path / "c") as c:
        send(c.collector, runs)
        c.settle()
        assert documents(c.collector) == found


def documents(collector: CollectorProcess) -> list[Any]:
    return sorted(collector.get("/v1/runs?limit=1000"), key=lambda run: run["run_id"])


def whole(database: Database, runs: int) -> bool:
    [found] = rows(
        database,
        f"SELECT countIf(Status = 'completed' AND Steps = {SPANS_PER_RUN - 1}) AS n"
        " FROM agent_runs FINAL",
    )
    return bool(found["n"] == runs)


def open_runs(database: Database) -> int:
    [found] = rows(database, "SELECT countIf(Status = 'running') AS n FROM agent_runs FINAL")
    return int(found["n"])


def gauge(collector: CollectorProcess, name: str) -> float:
    lines = collector.get("/metrics").splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
    return float(value)
