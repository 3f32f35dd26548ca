"""A process has one engine: the double takes what is open, and leaves it to its owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.store.client import Store
from tests.support.clickhouse_engine import MEMORY
from tests.support.clickhouse_http import ClickHouseDouble


def test_an_embedded_store_and_the_double_see_the_same_rows(tmp_path: Path) -> None:
    """One path per process: an embedded store that is open already is shared, and stays open."""
    with Store.open(f"chdb://{tmp_path}/store") as embedded:
        embedded.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        with ClickHouseDouble() as server, Store.open(server.url("agentrun")) as remote:
            remote.command("INSERT INTO t VALUES (1)")
            assert server.engine.path == f"{tmp_path}/store"
            assert embedded.column("SELECT a FROM t") == [1]
        assert embedded.column("SELECT a FROM t") == [1]


def test_a_path_of_its_own_survives_the_double(tmp_path: Path) -> None:
    """As a server's data folder does; and without a path it lives in memory."""
    for expected in ([], [1]):
        with ClickHouseDouble(str(tmp_path)) as server, Store.open(server.url("kept")) as store:
            store.command("CREATE TABLE IF NOT EXISTS t (a UInt64) ENGINE = MergeTree ORDER BY a")
            assert store.column("SELECT a FROM t") == expected
            store.command("INSERT INTO t VALUES (1)")
    with ClickHouseDouble() as server:
        assert server.engine.path == MEMORY


def test_another_path_than_the_open_one_is_an_error(tmp_path: Path) -> None:
    with ClickHouseDouble(), pytest.raises(RuntimeError, match="already initialized"):
        ClickHouseDouble(str(tmp_path))
