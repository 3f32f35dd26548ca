"""`agentrun migrate`: everything arrives, once, and what does not is found."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.errors import StoreError
from collector.migrate.migration import Moved, Plan, migrate
from collector.migrate.tables import NOT_MOVED, split, tables
from collector.store import schema
from collector.store.client import Store
from tests.e2e.otlp import a_run, as_json, trace_id, traces
from tests.e2e.talk import agentrun
from tests.support.clickhouse_fixtures import Database, clickhouse, clickhouse_server
from tests.support.store import store_engine, store_path

__all__ = ["clickhouse", "clickhouse_server", "store_engine", "store_path"]

NUMBERS = itertools.count(1)
ROWS = 40
DAYS = 3


@pytest.fixture(scope="module")
def source(store_engine: str) -> Iterator[Store]:
    """Every table has `ROWS` rows of every type it can hold, over `DAYS` days."""
    with Store.open(store_engine, database=f"source_{next(NUMBERS)}") as opened:
        schema.apply(opened)
        for table in tables(opened):
            if not table.graves:
                fill(opened, table.name, table.columns, ROWS)
        yield opened
        opened.command(f"DROP DATABASE {opened.database} SYNC")


@pytest.fixture
def target(store_engine: str) -> Iterator[Store]:
    with Store.open(store_engine, database=f"target_{next(NUMBERS)}") as opened:
        schema.apply(opened)
        yield opened
        opened.command(f"DROP DATABASE {opened.database} SYNC")


def fill(store: Store, name: str, columns: Any, rows: int, seed: int = 7) -> None:
    """Random values, with times that no retention is after."""
    kinds = {
        column: re.sub(r"^SimpleAggregateFunction\(\w+, (.*)\)$", r"\1", kind)
        for column, kind in columns
    }
    made = []
    for column, kind in kinds.items():
        if kind.startswith("DateTime"):
            made.append(f"CAST(now() - 60 - number % {DAYS} * 86400 - number AS {kind})")
        elif column == "IsDeleted":
            made.append("toUInt8(number % 4 = 0)")
        elif column == "TraceId":
            made.append(f"concat('{name}-', toString(number))")
        else:
            made.append(f"`{column}`")
    structure = ", ".join(f"`{column}` {kind}" for column, kind in kinds.items())
    store.command(
        f"INSERT INTO {name} ({', '.join(f'`{column}`' for column in kinds)})"
        f" SELECT {', '.join(made)} FROM (SELECT *, rowNumberInAllBlocks() AS number FROM"
        f" generateRandom({structure!r}, {seed}, 12, 3) LIMIT {rows})".replace('"', "'")
    )


def moved(source: Any, target: Any, **values: Any) -> dict[str, Moved]:
    plan = Plan(now_secs=int(time.time()), **values)
    return {each.table: each for each in migrate(source, target, plan, lambda *_: None)}


def content(store: Store) -> dict[str, set[str]]:
    """All rows of all tables as text."""
    found = {}
    for table in tables(store):
        rows = store.query(f"SELECT {table.select} FROM {table.source}")
        for row in rows:  # united, in no order
            if "Writers" in row:
                row["Writers"] = sorted(row["Writers"])
        found[table.title] = {repr(row) for row in rows}
    return found


def test_every_table_of_the_schema_arrives(source: Store, target: Store) -> None:
    """Tables come from the engine: one that a later migration adds is moved as well;
    only the two that say why are left."""
    report = moved(source, target, block_rows=7)

    assert all(each.well for each in report.values()), report
    assert content(target) == content(source)
    assert all(content(target).values())
    in_schema = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+?)(?:_local)?\s", schema.render()))
    assert {each.removesuffix(" (deleted rows)") for each in report} == in_schema - set(NOT_MOVED)


def test_deleted_rows_of_runs_arrive(source: Store, target: Store) -> None:
    """They say which run took the steps of an old id, and FINAL leaves them out."""
    report = moved(source, target)

    sql = "SELECT count() AS n FROM agent_runs WHERE IsDeleted"
    assert target.query(sql) == source.query(sql) == [{"n": ROWS / 4}]
    assert report["agent_runs (deleted rows)"].rows_sent == ROWS / 4


def test_a_second_time_sends_nothing(source: Store, target: Store) -> None:
    moved(source, target)

    again = moved(source, target)

    assert sum(each.rows_sent for each in again.values()) == 0
    assert {part.state for each in again.values() for part in each.partitions} == {"there"}


class Breaks:
    """A target that fails after some inserts, and may have stored the last one all the same."""

    def __init__(self, store: Store, inserts: int) -> None:
        self._store = store
        self._left = inserts
        self.query = store.query
        self.arrow = store.arrow

    def insert_arrow(self, table: str, data: pa.Table) -> None:
        self._store.insert_arrow(table, data)
        self._left -= 1
        if self._left == 0:
            raise StoreError("the network is gone")


@pytest.mark.parametrize("inserts", [1, 11])
def test_an_interrupted_migration_goes_on_where_it_was(
    source: Store, target: Store, inserts: int
) -> None:
    """Partitions that are there are skipped; the one under way is sent again, and no row is there
    twice."""
    with pytest.raises(StoreError, match="network"):
        moved(source, Breaks(target, inserts), block_rows=7)

    report = moved(source, target, block_rows=7)

    assert all(each.well for each in report.values())
    assert content(target) == content(source)
    states = [part.state for each in report.values() for part in each.partitions]
    assert states.count("there") >= inserts // 3


def test_a_dry_run_writes_nothing(source: Store, target: Store) -> None:
    before = content(target)

    report = moved(source, target, dry_run=True)

    assert content(target) == before
    assert {part.state for each in report.values() for part in each.partitions} == {"missing"}
    assert report["otel_traces"].rows == ROWS


def test_a_changed_target_is_found_and_repaired(source: Store, target: Store) -> None:
    """Count and checksum are over contents, not only numbers of rows."""
    moved(source, target)
    for change in (
        "ALTER TABLE agent_steps UPDATE Name = 'x' WHERE 1",
        "ALTER TABLE otel_logs DELETE WHERE RecordId % 2",
        "ALTER TABLE agent_runs UPDATE BusyNs = BusyNs + 1 WHERE NOT IsDeleted",
    ):
        target.command(f"{change} SETTINGS mutations_sync = 2")

    found = moved(source, target, dry_run=True)
    changed = {"agent_steps", "otel_logs", "agent_runs"}
    assert {each.table for each in found.values() if not each.well} == changed

    repaired = moved(source, target)
    assert all(each.well for each in repaired.values())
    assert {each.table for each in repaired.values() if each.rows_sent} == changed
    assert content(target) == content(source)


def test_rows_that_arrive_changed_are_said(source: Store, target: Store) -> None:
    """Whatever happened on the way: what was written is read back and compared."""

    class Forges(Breaks):
        def insert_arrow(self, table: str, data: pa.Table) -> None:
            if table == "otel_traces":
                at = data.schema.get_field_index("SpanName")
                forged = pa.array(["forged"] * data.num_rows, data.schema.field(at).type)
                data = data.set_column(at, data.schema.field(at), forged)
            self._store.insert_arrow(table, data)

    report = moved(source, Forges(target, 0))

    traces = report["otel_traces"]
    assert not traces.well
    assert {part.state for part in traces.partitions} == {"differs"}
    assert "are different" in traces.partitions[0].problem


def test_a_target_with_rows_of_its_own_keeps_them(source: Store, target: Store) -> None:
    """A laptop's runs move to the team's server: sums differ there, so rows are compared one by
    one; a newer version of a row in the target stays."""
    for table in tables(target):
        if not table.graves:
            fill(target, table.name, table.columns, 5, seed=8)
    newer = source.arrow("SELECT * FROM agent_steps FINAL LIMIT 1")
    at = newer.schema.get_field_index("Version")
    version = pa.array([2**64 - 1], pa.uint64())
    target.insert_arrow("agent_steps", newer.set_column(at, newer.schema.field(at), version))

    report = moved(source, target)

    assert all(each.well for each in report.values()), report
    assert sum(part.newer for part in report["agent_steps"].partitions) == 1
    assert content(target)["otel_logs"] >= content(source)["otel_logs"]
    assert len(content(target)["otel_traces"]) > ROWS


def test_what_was_erased_in_the_target_does_not_come_back(source: Store, target: Store) -> None:
    """Erasing is a promise to a person, whatever is sent later."""
    trace = source.column("SELECT TraceId FROM otel_traces LIMIT 1")[0]
    target.command(
        "INSERT INTO trace_tombstones (TraceId, ErasedAt) VALUES (%(id)s, now64(9))", {"id": trace}
    )

    report = moved(source, target)

    assert all(each.well for each in report.values())
    assert report["otel_traces"].rows == ROWS - 1
    assert not target.query("SELECT 1 FROM otel_traces WHERE TraceId = %(id)s", {"id": trace})


def test_since_takes_what_was_received_since(source: Store, target: Store) -> None:
    since = int(time.time()) - 86_400

    report = moved(source, target, since_secs=since)

    assert 0 < report["otel_traces"].rows < ROWS
    assert report["otel_traces"].well
    oldest = target.column("SELECT min(toUnixTimestamp(ReceivedAt)) FROM otel_traces")[0]
    assert oldest >= since


def test_schemas_must_be_alike(source: Store, store_engine: str) -> None:
    """What to do about it is said."""
    with Store.open(store_engine, database=f"target_{next(NUMBERS)}") as empty:
        with pytest.raises(StoreError, match="target has no tables") as raised:
            moved(source, empty)
        assert "schema apply" in raised.value.hint
        schema.apply(empty)
        schema.rollback(empty, len(schema.migrations()) - 1)
        with pytest.raises(StoreError, match="schemas differ") as raised:
            moved(source, empty)
        assert "of the target" in raised.value.hint
        empty.command(f"DROP DATABASE {empty.database} SYNC")


def test_a_table_that_keeps_repeated_rows_is_not_sent_twice(source: Store, target: Store) -> None:
    """None of ours is one today; a later one must not be doubled by going on."""
    for store in (source, target):
        store.command("CREATE TABLE plain (Day Date, N UInt64) ENGINE = MergeTree"
                      " PARTITION BY Day ORDER BY N")  # fmt: skip
    source.command("INSERT INTO plain SELECT today(), number FROM numbers(10)")
    target.command("INSERT INTO plain SELECT today(), number FROM numbers(3)")

    with pytest.raises(StoreError, match="would be there twice") as raised:
        moved(source, target)
    assert "DROP PARTITION" in raised.value.hint

    target.command("TRUNCATE TABLE plain")
    assert moved(source, target)["plain"].well
    assert moved(source, target)["plain"].rows_sent == 0
    source.command("DROP TABLE plain SYNC")


def test_to_a_server_over_http_and_back(source: Store, clickhouse: Database, target: Store) -> None:
    """The two ends speak different protocols and hold the same rows."""
    with Store.open(clickhouse.url) as server:
        schema.apply(server)
        assert all(each.well for each in moved(source, server).values())
        assert all(each.well for each in moved(server, target).values())
    assert content(target) == content(source)


def test_keys_are_split_at_their_own_commas() -> None:
    assert split("toStartOfHour(a), f(b, c), d") == ("toStartOfHour(a)", "f(b, c)", "d")
    assert split("") == ()


def test_from_folder_to_folder_by_the_command_line(tmp_path: Path) -> None:
    """One process holds one embedded store, so that the other end gets a process of its own."""
    here, there = (f"chdb://{tmp_path}/{name}" for name in ("here", "there"))
    file = tmp_path / "run.jsonl"
    file.write_bytes(as_json(traces(a_run(trace_id("moved")))) + b"\n")
    agentrun("ingest", str(file), "--store", here)

    refused = agentrun("migrate", here, there, check=False)
    assert refused.returncode == 1
    assert "the target has no tables" in refused.stderr
    assert "schema apply" in refused.stderr

    agentrun("schema", "apply", "--store", there)
    report = json.loads(agentrun("migrate", here, there, "--json").stdout)

    assert report["verified"]
    sent = {table["table"]: table["rows_sent"] for table in report["tables"]}
    assert (sent["otel_traces"], sent["agent_steps"], sent["agent_runs"]) == (4, 4, 1)
    one, other = (
        json.loads(agentrun("runs", "list", "--json", "--store", url).stdout)
        for url in (here, there)
    )
    assert one == other
    assert len(one) == 1


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (("chdb:///nowhere/at/all", "chdb:///tmp/x"), "there is no such folder"),
        (("chdb:///tmp", "chdb:///tmp"), "nothing would be moved"),
        (("postgres://x", "chdb:///tmp"), "unknown scheme"),
    ],
)
def test_ends_that_cannot_be_are_wrong_usage(ends: tuple[str, str], said: str) -> None:
    done = agentrun("migrate", *ends, check=False)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Fix:" in done.stderr
