"""Fixtures: a ClickHouse server, and a database of its own for each test.

Import what a test module or conftest needs:
`from tests.support.clickhouse_fixtures import clickhouse, clickhouse_server  # noqa: F401`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.support.clickhouse_faults import HEALTHY, Faults
from tests.support.clickhouse_http import ClickHouseDouble, Seen
from tests.support.clickhouse_process import ClickHouseProcess

NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database of a server, named for one test; it does not exist yet."""

    server: ClickHouseDouble | ClickHouseProcess
    name: str

    @property
    def url(self) -> str:
        """For `Store.open` and `agentrun --store`."""
        return self.server.url(self.name)

    def execute(self, sql: str) -> str:
        """Run a statement past all faults; its result as tab-separated lines."""
        return self.server.execute(sql, self.name)

    def inject(self, faults: Faults) -> None:
        """Replace the faults in force; `HEALTHY` ends them."""
        self.server.inject(faults)

    @contextlib.contextmanager
    def broken(self, faults: Faults) -> Iterator[None]:
        """The faults, for the time of a block."""
        with self.server.broken(faults):
            yield

    def seen(self) -> list[Seen]:
        """The statements that arrived for this database, oldest first."""
        return self.server.seen(self.name)


@contextlib.contextmanager
def database(server: ClickHouseDouble | ClickHouseProcess) -> Iterator[Database]:
    """A name no other test has; afterwards faults end, the database is dropped, and errors of the
    double itself fail the test."""
    one = Database(server=server, name=f"test_{os.getpid()}_{next(NUMBERS)}")
    try:
        yield one
    finally:
        server.inject(HEALTHY)
        server.execute(f"DROP DATABASE IF EXISTS {one.name} SYNC")
    assert server.bugs() == []


@pytest.fixture(scope="module")
def clickhouse_server() -> Iterator[ClickHouseDouble]:
    """Shares the engine of an embedded store that is open in this process, else one in memory."""
    with ClickHouseDouble() as server:
        yield server


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseDouble) -> Iterator[Database]:
    """A server with a database for this test."""
    with database(clickhouse_server) as one:
        yield one
