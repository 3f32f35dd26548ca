"""Promise 1 with everything against it: collector or store killed while the store refuses."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from tests.outage.scene import Watch, check, scene, until
from tests.support.clickhouse_faults import DOWN, HEALTHY, OUT_OF_DISK, READ_ONLY, Faults
from tests.support.clickhouse_fixtures import (
    Database,
    clickhouse,  # noqa: F401
    clickhouse_server,  # noqa: F401
)
from tests.support.clickhouse_process import ClickHouseProcess
from tests.support.process import CollectorProcess
from tests.support.traffic import SPANS_PER_RUN, Sender, requests

KILLS = 30
RUNS_PER_LIFE = 20
REFUSALS = (
    READ_ONLY,
    OUT_OF_DISK,
    Faults(every_insert=2, insert_fault="answer_lost"),
    Faults(refuse_inserts=252, only="`agent_runs`"),
    Faults(every_insert=2, insert_fault="reset"),
)
pytestmark = pytest.mark.crash


def test_nothing_is_lost_or_doubled_over_thirty_kills_while_the_store_refuses_now_and_then(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Killed at random moments under load; senders resend what was not acknowledged, and some of
    what was.  For half of the time the store takes nothing, a part, or hides that it did."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  # to repeat a failure
    rng = random.Random(seed)
    collector = CollectorProcess(
        tmp_path / "data", store=clickhouse.url, store_flush_secs=0.05, log_level="warning"
    )
    unsent: list[bytes] = []
    acknowledged = runs = 0
    with Watch(collector):
        for life in range(KILLS):
            clickhouse.inject(rng.choice(REFUSALS) if life % 2 else HEALTHY)
            collector.start()
            sender = Sender(collector.ports["grpc"])
            unsent += [body for body, _ in requests(runs, RUNS_PER_LIFE)]
            runs += RUNS_PER_LIFE
            killer = threading.Timer(rng.uniform(0.05, 0.4), collector.kill)
            killer.start()
            kept: list[bytes] = []
            for body in unsent:
                if not sender.send(body, timeout=2.0):
                    kept.append(body)
                    continue
                acknowledged += 1
                if rng.random() < 0.05:  # an answer that got lost: the exporter sends it again
                    kept.append(body)
            killer.join()
            sender.close()
            unsent = kept
        clickhouse.inject(HEALTHY)
        with collector:
            sender = Sender(collector.ports["grpc"])
            for body in unsent:
                assert sender.send(body)
            sender.close()
            collector.settle()
            assert collector.stop() == 0
    assert acknowledged > KILLS, "the collector was killed before it did anything"
    check(clickhouse, runs)
    assert not list((tmp_path / "data" / "journal").glob("*.segment"))


def test_kills_while_the_store_is_down_add_up_in_the_journal(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Each life reads what the ones before it took, and takes more; then the store is back."""
    collector = CollectorProcess(tmp_path / "data", store=clickhouse.url, store_flush_secs=0.05)
    clickhouse.inject(DOWN)
    runs = 0
    for life in range(3):
        collector.start()
        assert collector.terms()["recovered"] == runs * SPANS_PER_RUN
        sender = Sender(collector.ports["grpc"])
        for body, _ in requests(runs, 15):
            assert sender.send(body)
        sender.close()
        runs += 15
        if life < 2:
            collector.kill()
    with Watch(collector):
        clickhouse.inject(HEALTHY)
        collector.settle()
        assert collector.stop() == 0
    check(clickhouse, runs)


def test_a_store_that_is_killed_in_the_middle_of_inserts_loses_nothing(tmp_path: Path) -> None:
    """kill -9 of the server, three times under load: what it had not answered is sent again."""
    with ClickHouseProcess(tmp_path / "store") as server:
        named = Database(server=server, name="killed")
        with scene(named, tmp_path / "data", store_flush_secs=0.02) as one:
            for _ in range(3):
                load = threading.Thread(target=one.send, args=(40,))
                load.start()
                time.sleep(0.15)
                server.kill()
                load.join()
                server.restart()
            until(lambda: one.collector.terms()["pending"] == 0, "stored")
            one.check()
        assert server.bugs() == []
