"""Migrations: numbered, repeatable, reversible, and the same text for one node and a cluster."""

from __future__ import annotations

import re

import pytest

from collector.errors import StoreError
from collector.store import schema
from collector.store.client import Store
from collector.store.schema import Retention
from tests.support.store import fresh_store, store, store_database, store_engine, store_path  # noqa: F401

EXPORTER_TRACES = [
    ("Timestamp", "DateTime64(9)"),
    ("TraceId", "String"),
    ("SpanId", "String"),
    ("ParentSpanId", "String"),
    ("TraceState", "String"),
    ("SpanName", "LowCardinality(String)"),
    ("SpanKind", "LowCardinality(String)"),
    ("ServiceName", "LowCardinality(String)"),
    ("ResourceAttributes", "Map(LowCardinality(String), String)"),
    ("ScopeName", "String"),
    ("ScopeVersion", "String"),
    ("SpanAttributes", "Map(LowCardinality(String), String)"),
    ("Duration", "UInt64"),
    ("StatusCode", "LowCardinality(String)"),
    ("StatusMessage", "String"),
    ("Events.Timestamp", "Array(DateTime64(9))"),
    ("Events.Name", "Array(LowCardinality(String))"),
    ("Events.Attributes", "Array(Map(LowCardinality(String), String))"),
    ("Links.TraceId", "Array(String)"),
    ("Links.SpanId", "Array(String)"),
    ("Links.TraceState", "Array(String)"),
    ("Links.Attributes", "Array(Map(LowCardinality(String), String))"),
]
EXPORTER_LOGS = [
    ("Timestamp", "DateTime64(9)"),
    ("TraceId", "String"),
    ("SpanId", "String"),
    ("TraceFlags", "UInt8"),
    ("SeverityText", "LowCardinality(String)"),
    ("SeverityNumber", "UInt8"),
    ("ServiceName", "LowCardinality(String)"),
    ("Body", "String"),
    ("ResourceSchemaUrl", "LowCardinality(String)"),
    ("ResourceAttributes", "Map(LowCardinality(String), String)"),
    ("ScopeSchemaUrl", "LowCardinality(String)"),
    ("ScopeName", "String"),
    ("ScopeVersion", "LowCardinality(String)"),
    ("ScopeAttributes", "Map(LowCardinality(String), String)"),
    ("LogAttributes", "Map(LowCardinality(String), String)"),
    ("EventName", "String"),
]
TABLES = {
    "otel_traces", "otel_traces_trace_id_ts", "otel_logs", "agent_content", "agent_runs",
    "agent_steps", "agent_events", "dead_letters", "trace_tombstones", "store_canary",
    "decision_ledger",
}  # fmt: skip
VIEWS = {"runs", "steps", "agent_feedback"}


def tables(opened: Store) -> set[str]:
    return set(opened.column("SELECT name FROM system.tables WHERE database = currentDatabase()"))


def ttl(opened: Store, table: str) -> list[str]:
    statement = opened.query(f"SHOW CREATE TABLE {table}")[0]["statement"]
    return re.findall(r"TTL toDateTime\(ReceivedAt\) \+ toIntervalDay\((\d+)\)", statement)


def test_applying_twice_applies_once(store: Store) -> None:  # noqa: F811
    """Every start of a collector applies the schema."""
    assert tables(store) == TABLES | VIEWS | {"schema_migrations"}
    assert schema.apply(store) == []


def test_rolling_back_leaves_nothing_and_can_be_undone(fresh_store: Store) -> None:  # noqa: F811
    names = [migration.name for migration in schema.migrations()]

    assert schema.rollback(fresh_store, 0) == names[::-1]
    assert tables(fresh_store) == {"schema_migrations"}
    assert schema.apply(fresh_store) == names
    assert tables(fresh_store) == TABLES | VIEWS | {"schema_migrations"}


def test_rolling_back_stops_at_a_number(fresh_store: Store) -> None:  # noqa: F811
    names = [migration.name for migration in schema.migrations()]
    assert schema.rollback(fresh_store, 2) == names[:1:-1]
    assert tables(fresh_store) == TABLES - {"decision_ledger"} | {"schema_migrations"}


def test_a_half_applied_migration_is_finished(fresh_store: Store) -> None:  # noqa: F811
    """ClickHouse has no transaction over DDL: a crash in between must not need a person."""
    schema.rollback(fresh_store, 1)
    first = schema.statements(schema.migrations()[1].up, None)[0]
    fresh_store.command(first)

    names = [migration.name for migration in schema.migrations()]
    assert schema.apply(fresh_store) == names[1:]


def test_a_newer_schema_is_refused(fresh_store: Store) -> None:  # noqa: F811
    """An older version would write rows that the newer one reads wrongly."""
    fresh_store.command(
        "INSERT INTO schema_migrations VALUES (999, '0999_future', 'x', 'up', now64(9))"
    )

    with pytest.raises(StoreError, match="migration 999") as caught:
        schema.apply(fresh_store)
    assert "newer otel-agentrun" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "columns"), [("otel_traces", EXPORTER_TRACES), ("otel_logs", EXPORTER_LOGS)]
)
def test_raw_tables_begin_with_the_exporters_columns(
    store: Store,  # noqa: F811
    table: str,
    columns: list[tuple[str, str]],
) -> None:
    """Readers made for the OpenTelemetry ClickHouse exporter work on our tables."""
    rows = store.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase()"
        " AND table = %(table)s ORDER BY position",
        {"table": table},
    )
    found = [(row["name"], row["type"]) for row in rows]

    assert found[: len(columns)] == columns


def test_the_exporter_can_insert_without_our_columns(store: Store) -> None:  # noqa: F811
    """A column of ours without a default would break its INSERT."""
    names = ", ".join(f"`{name}`" for name, _ in EXPORTER_TRACES)
    values = ", ".join(f"defaultValueOfTypeName('{type_}')" for _, type_ in EXPORTER_TRACES)

    store.command(f"INSERT INTO otel_traces ({names}) SELECT {values}")

    assert store.column("SELECT ReceivedAt > now() - 60 FROM otel_traces") == [1]


def test_retention_follows_the_config(fresh_store: Store) -> None:  # noqa: F811
    """It counts from the time of receipt, so that replayed old data is not deleted at once."""
    assert ttl(fresh_store, "otel_traces") == ["30"]
    assert ttl(fresh_store, "agent_runs") == [str(Retention().runs_days)]

    schema.apply(fresh_store, Retention(traces_days=7, runs_days=None))

    assert ttl(fresh_store, "otel_traces") == ["7"]
    assert ttl(fresh_store, "otel_traces_trace_id_ts") == ["7"]
    assert ttl(fresh_store, "agent_runs") == []


def test_retention_is_at_least_a_day() -> None:
    with pytest.raises(ValueError, match="logs_days must be at least 1 day"):
        Retention(logs_days=0)


def cluster_statements() -> list[str]:
    return [one for one in schema.render("prod").rstrip(";\n").split(";\n\n") if one]


def test_the_cluster_variant_parses(store: Store) -> None:  # noqa: F811
    """No cluster can be had here; the engine's own parser reads every statement."""
    for statement in cluster_statements():
        sql = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
        tree = str(store.command(f"EXPLAIN AST {sql}"))
        assert "CreateQuery" in tree or "AlterQuery" in tree, statement


def test_the_cluster_variant_replicates_and_distributes() -> None:
    """Spans and steps by trace, runs by run id: all versions of a row meet on one shard."""
    rendered = schema.render("prod")
    keys = dict(
        re.findall(
            r"CREATE TABLE IF NOT EXISTS (\w+) ON CLUSTER 'prod' AS \1_local\n"
            r"ENGINE = Distributed\('prod', currentDatabase\(\), '\1_local', (.+?)\)(?=;|$)",
            rendered,
            flags=re.MULTILINE,
        )
    )

    assert set(keys) == TABLES | {"schema_migrations"}
    assert {keys[table] for table in ("otel_traces", "agent_steps", "agent_content")} == {
        "cityHash64(TraceId)"
    }
    assert keys["agent_runs"] == "cityHash64(RunId)"
    engines = re.findall(r"^ENGINE = (\w+)", rendered, flags=re.MULTILINE)
    assert set(engines) == {
        "ReplicatedMergeTree", "ReplicatedReplacingMergeTree", "ReplicatedAggregatingMergeTree",
        "Distributed",
    }  # fmt: skip
    for statement in cluster_statements():
        assert "ON CLUSTER 'prod'" in statement, statement


def test_one_node_has_no_trace_of_a_cluster() -> None:
    rendered = schema.render()

    assert not re.search(r"CLUSTER|Replicated|Distributed|_local|\$", rendered)
    assert "TTL toDateTime(ReceivedAt) + toIntervalDay(30)" in rendered


def test_rolling_back_a_cluster_drops_both_tables() -> None:
    down = schema.statements(schema.migrations()[0].down, "prod")

    assert "DROP TABLE IF EXISTS otel_traces ON CLUSTER 'prod' SYNC" in down
    assert "DROP TABLE IF EXISTS otel_traces_local ON CLUSTER 'prod' SYNC" in down


def test_a_new_column_of_a_cluster_comes_in_both_tables() -> None:
    """The shards' tables have it before the distributed one asks them for it, and lose it after."""
    sketches = next(each for each in schema.migrations() if each.name == "0006_sketches")
    column = "ArgumentsSketch String CODEC(ZSTD(1)) AFTER ArgumentsDigest"

    assert schema.statements(sketches.up, "prod") == [
        f"ALTER TABLE agent_steps_local ON CLUSTER 'prod' ADD COLUMN IF NOT EXISTS {column}",
        f"ALTER TABLE agent_steps ON CLUSTER 'prod' ADD COLUMN IF NOT EXISTS {column}",
    ]
    assert schema.statements(sketches.up, None) == [
        f"ALTER TABLE agent_steps ADD COLUMN IF NOT EXISTS {column}"
    ]
    assert schema.statements(sketches.down, "prod") == [
        "ALTER TABLE agent_steps ON CLUSTER 'prod' DROP COLUMN IF EXISTS ArgumentsSketch",
        "ALTER TABLE agent_steps_local ON CLUSTER 'prod' DROP COLUMN IF EXISTS ArgumentsSketch",
    ]


def test_steps_from_before_a_new_column_are_read(fresh_store: Store) -> None:  # noqa: F811
    """An upgrade keeps what is stored: without a sketch, as of calls without text."""
    schema.rollback(fresh_store, 5)
    fresh_store.command("INSERT INTO agent_steps (TraceId, SpanId) VALUES ('a', 'b')")

    assert "0006_sketches" in schema.apply(fresh_store)
    assert fresh_store.column("SELECT ArgumentsSketch FROM agent_steps") == [""]
