"""The double as a process of its own: the same faults by command, and a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from collector.clickhouse_http.errors import ServerError
from tests.support.clickhouse_faults import DOWN, OUT_OF_DISK, Faults
from tests.support.clickhouse_fixtures import Database, database
from tests.support.clickhouse_process import ClickHouseProcess


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Database]:
    with ClickHouseProcess(tmp_path / "server") as server, database(server) as one:
        yield one


def test_a_process_obeys_and_survives_kill_9(own: Database) -> None:
    """What was stored is there after a restart on the same port; faults come and go on command."""
    server = own.server
    assert isinstance(server, ClickHouseProcess)
    server.execute(f"CREATE DATABASE {own.name}")
    own.execute("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    client = clickhouse_connect.get_client(dsn=own.url)
    client.insert("t", [[1]], column_names=["a"])
    with own.broken(OUT_OF_DISK), pytest.raises(DatabaseError, match="NOT_ENOUGH_SPACE"):
        client.insert("t", [[2]], column_names=["a"])
    with own.broken(DOWN), pytest.raises(OperationalError):
        client.command("SELECT 1")
    with own.broken(Faults(poison="x", only="nothing")):
        client.insert("t", [[3]], column_names=["a"])
    refused = [one.code for one in own.seen() if one.code]

    server.kill()
    with pytest.raises(OperationalError):
        client.command("SELECT 1")
    server.restart()

    assert client.query("SELECT a FROM t ORDER BY a").result_rows == [(1,), (3,)]
    assert refused == [243]
    with pytest.raises(ServerError, match="missing"):
        own.execute("SELECT * FROM missing")
    client.close()
