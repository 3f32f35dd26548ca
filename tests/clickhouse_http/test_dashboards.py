"""Every query of every dashboard passes the guard, with the text that Grafana's plugin sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from collector.clickhouse_http.allowed_settings import QueryLimits
from collector.clickhouse_http.engine import Engine
from collector.clickhouse_http.native import hello, is_hello
from collector.clickhouse_http.reader import QueryReader, new_token
from collector.clickhouse_http.request import read_http_query
from collector.dashboards import query
from collector.dashboards.macros import Context
from collector.dashboards.scope import FILTERS, LIST_FILTERS
from tests.support.store import (  # noqa: F401
    START,
    store_database,
    store_engine,
    store_path,
)

CASES = [(name, by) for name in query.names() for by in (list(query.load(name).dimensions) or [""])]


@pytest.fixture(scope="module")
def reader(store_database: str) -> Iterator[QueryReader]:  # noqa: F811
    engine = Engine()
    yield QueryReader(engine, store_database, QueryLimits())
    engine.close()


@pytest.mark.parametrize(("name", "by"), CASES)
@pytest.mark.parametrize("chosen", ["", "it's"])
def test_a_panel_is_answered(
    reader: QueryReader,
    store_database: str,  # noqa: F811
    name: str,
    by: str,
    chosen: str,
) -> None:
    """With everything selected and with a filter of each kind, alone and with an ad hoc filter."""
    asked = query.load(name)
    given = dict.fromkeys([*FILTERS, *LIST_FILTERS], chosen) | {"level": "tasks", "run": "r"}
    context = Context(since_ns=START, until_ns=START + 3_600_000_000_000, given=given)
    trusted = {"database": store_database, "by": asked.dimensions.get(by, "''") or "''"}
    sql = asked.runnable(replace(context, trusted=trusted)).rstrip().rstrip(";")
    ad_hoc = f" settings additional_table_filters={{'{store_database}.runs' : ' Status = ''x'' '}}"

    for text in (sql, sql + ad_hoc):
        sent = read_http_query("POST", "default_format=Native", {}, text.encode(), compresses=True)
        reader.run(sent, new_token())


def test_what_the_plugin_asks_of_a_new_datasource(
    reader: QueryReader,
    store_database: str,  # noqa: F811
) -> None:
    """Databases, tables and columns for its query builder and ad hoc filters."""
    for sql in (
        "SELECT 1",
        "SELECT version()",
        "SHOW DATABASES",
        "SELECT name FROM system.databases",
        f"SELECT name FROM system.tables WHERE database = '{store_database}'",
        f'DESC TABLE "{store_database}"."otel_traces"',
        f"SELECT name, type, table FROM system.columns WHERE database IN ('{store_database}')",
        "SELECT timezone()",
    ):
        sent = read_http_query("POST", "default_format=CSV", {}, sql.encode(), compresses=True)
        assert reader.run(sent, new_token()).answer.body, sql


def test_the_first_block_of_clickhouse_go_says_revision_0() -> None:
    """Decoded here as a driver does at its own revision: block info, and a byte per column."""
    sql = "SELECT displayName(), version(), revision(), timezone()"

    assert is_hello(sql, "Native", {"client_protocol_version": "54460"})
    assert not is_hello(sql, "Native", {})
    assert not is_hello(sql + " FROM system.one", "Native", {"client_protocol_version": "1"})
    assert hello("a", "26.9", "UTC") == (
        b"\x01\x00\x02\xff\xff\xff\xff\x00"  # block info
        b"\x04\x01"  # columns, rows
        b"\x0ddisplayName()\x06String\x00\x01a"
        b"\x09version()\x06String\x00\x0426.9"
        b"\x0arevision()\x06UInt32\x00\x00\x00\x00\x00"
        b"\x0atimezone()\x06String\x00\x03UTC"
    )


def test_the_list_of_functions_is_of_this_engine(reader: QueryReader) -> None:
    """After an upgrade of the engine its new functions are read before they are allowed; those that
    it no longer has do no harm, so only what is refused by mistake fails here."""
    import json

    from collector.clickhouse_http import functions

    rows = map(json.loads, reader.engine.text(functions.CATALOG).splitlines())

    assert functions.LIST.read_text().split() == functions.chosen(rows)
