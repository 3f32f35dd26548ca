"""The store misbehaves: the journal holds, writing resumes, nothing is lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.outage.scene import Scene, scene, until
from tests.support.clickhouse_faults import (
    DOWN,
    HANG,
    HEALTHY,
    MEMORY_LIMIT,
    OUT_OF_DISK,
    READ_ONLY,
    TOO_MANY_PARTS,
    Faults,
    InsertFault,
)
from tests.support.clickhouse_fixtures import clickhouse_server, database  # noqa: F401
from tests.support.clickhouse_http import ClickHouseDouble
from tests.support.traffic import SPANS_PER_RUN

RECOVERY_SECS = 6.0
"""The longest pause between two attempts is 5 s."""


@pytest.fixture(scope="module")
def one(
    clickhouse_server: ClickHouseDouble,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One collector that lives through all of it."""
    folder = tmp_path_factory.mktemp("faults") / "data"
    with (
        database(clickhouse_server) as named,
        scene(named, folder, store_insert_timeout_secs=1) as made,
    ):
        made.send(3)
        made.settle()
        yield made


@pytest.mark.parametrize(
    ("faults", "says", "advises"),
    [
        pytest.param(DOWN, "cannot be reached", "Is ClickHouse running", id="down"),
        pytest.param(READ_ONLY, "readonly", "may only read", id="read-only"),
        pytest.param(OUT_OF_DISK, "no space left", "disk is full", id="out-of-disk"),
        pytest.param(TOO_MANY_PARTS, "Too many parts", "cannot keep up", id="too-many-parts"),
        pytest.param(MEMORY_LIMIT, "memory limit", "short of memory", id="out-of-memory"),
        pytest.param(Faults(gateway_status=502), "502", "a proxy", id="gateway"),
    ],
)
def test_an_outage_is_bridged_and_the_log_explains_it(
    one: Scene, faults: Faults, says: str, advises: str
) -> None:
    """Senders notice nothing; the log has one line with what is wrong and what to do."""
    logged = len(one.log())
    with one.database.broken(faults):
        one.send(10)
        until(lambda: "store_failed" in one.log()[logged:], "in the log")
        assert one.collector.terms()["pending"] > 0
    assert one.settle() < RECOVERY_SECS
    [line] = [line for line in one.log()[logged:].splitlines() if "store_failed" in line]
    assert says in line
    assert advises in line
    one.check()


def test_readyz_explains_an_outage_and_its_end(one: Scene) -> None:
    """Its answers are kept for 2 s, so that it may tell of what was just before."""
    with one.database.broken(OUT_OF_DISK):
        one.send(10)
        for name in ("store", "pipeline"):
            until(partial(explains, one, name, "no space left", "disk is full"), name)
        assert one.ready()[0] == 503
    one.settle()
    until(lambda: one.ready()[0] == 200, "ready")


def explains(one: Scene, name: str, says: str, advises: str) -> bool:
    finding = one.ready()[1][name]
    return says in finding["message"] and advises in f"{finding['message']} {finding['hint']}"


def test_a_store_that_hangs_is_given_up_after_the_insert_timeout(one: Scene) -> None:
    """`store.insert_timeout_secs`, 1 s here; the client's own default would be a minute."""
    one.database.inject(HANG)
    began = time.monotonic()
    one.send(10)
    until(lambda: "does not answer" in one.log(), "given up")
    assert time.monotonic() - began < 5
    assert any("answers too slowly" in line for line in one.log().splitlines()[-5:])
    one.database.inject(HEALTHY)
    assert one.settle() < RECOVERY_SECS
    one.check()


def test_a_slow_store_delays_and_nothing_else(one: Scene) -> None:
    logged = len(one.log())
    with one.database.broken(Faults(delay_secs=0.1)):
        one.send(20)
        one.settle()
    assert "store_failed" not in one.log()[logged:]
    one.check()


@pytest.mark.parametrize("fault", ["answer_lost", "reset", "error"])
def test_every_third_insert_fails_and_is_stored_once(one: Scene, fault: InsertFault) -> None:
    """Also when it was stored and only its answer got lost: every table absorbs the repetition."""
    with one.database.broken(Faults(every_insert=3, insert_fault=fault)):
        for _ in range(5):
            one.send(3)
        one.settle()
    one.check()


@pytest.mark.parametrize("table", ["otel_traces", "agent_steps", "agent_runs"])
def test_one_table_that_refuses_holds_back_the_flush_and_nothing_else(
    one: Scene, table: str
) -> None:
    """What of the flush was stored before is stored again, and counts once."""
    with one.database.broken(Faults(refuse_inserts=252, only=f"`{table}`", times=3)):
        one.send(10)
        one.settle()
    one.check()


def test_answers_cut_in_the_middle_are_read_again(one: Scene) -> None:
    """A group that was recalled in part would fold to a run with less in it."""
    with one.database.broken(Faults(cut_answers=True, times=4)):
        one.send(10)
        one.settle()
    one.check()


def test_a_missing_column_is_explained_and_bridged_until_it_is_back(one: Scene) -> None:
    """An outage, not bad rows: nothing becomes a dead letter for it."""
    logged = len(one.log())
    one.database.execute("ALTER TABLE agent_steps DROP COLUMN ToolName")
    one.send(10)
    until(lambda: "store_failed" in one.log()[logged:], "in the log")
    assert "ToolName" in one.log()[logged:]
    assert "agentrun schema print" in one.log()[logged:]
    one.database.execute("ALTER TABLE agent_steps ADD COLUMN ToolName LowCardinality(String)")
    assert one.settle() < RECOVERY_SECS
    assert one.collector.terms().get("dead_lettered", 0) == 0
    one.check()


def test_after_all_of_it_nothing_is_left_over(one: Scene) -> None:
    """The journal is empty, the terms add up to what was sent, and the collector is ready."""
    until(lambda: one.ready()[0] == 200, "ready")
    terms = one.collector.settle()
    assert terms["received"] == terms["stored"] + terms["deduplicated"]
    assert terms["received"] == one.runs * SPANS_PER_RUN
    assert one.watch.pending_max > 0
