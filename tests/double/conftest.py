"""The double under test, and a client of a database on it."""

from __future__ import annotations

from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.clickhouse_fixtures import Database, clickhouse, clickhouse_server

__all__ = ["clickhouse", "clickhouse_server"]


@pytest.fixture
def client(clickhouse: Database) -> Iterator[Client]:
    """Of a database with the table `t (a UInt64, b String)`."""
    clickhouse.server.execute(f"CREATE DATABASE {clickhouse.name}")
    clickhouse.execute("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    client = clickhouse_connect.get_client(dsn=clickhouse.url)
    yield client
    client.close()
