"""One client for chDB and ClickHouse: URLs, errors that help, queries at the same time."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from collector.errors import ConfigError, StoreError
from collector.store import failures, schema
from collector.store.client import Store
from collector.store.url import parse_url
from collector.store.writer import Writer
from tests.support.clickhouse_faults import (
    HEALTHY,
    MEMORY_LIMIT,
    OUT_OF_DISK,
    READ_ONLY,
    Faults,
)
from tests.support.clickhouse_fixtures import Database, database
from tests.support.clickhouse_http import ClickHouseDouble
from tests.support.store import fresh_store, store, store_database, store_engine, store_path  # noqa: F401

CANARY = pa.table({"WriterId": pa.array([1], pa.uint64()), "Value": pa.array([7], pa.uint64())})


@pytest.fixture
def server(store_engine: str, store_path: Path) -> Iterator[Database]:  # noqa: F811
    with ClickHouseDouble(str(store_path)) as double, database(double) as one:
        yield one


def test_a_url_never_shows_its_password() -> None:
    """It is in logs and error messages."""
    url = parse_url("clickhouses://me:p%40ss@db.example:9443/runs?verify=false&max_threads=2")

    assert str(url) == "clickhouses://me@db.example:9443/runs"
    assert "p@ss" not in repr(url)
    assert url.arguments["password"] == "p@ss"
    assert url.arguments["interface"] == "https"
    assert url.arguments["verify"] == "false"
    assert url.settings == {"max_threads": "2"}
    assert url.database == "runs"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("chdb:///var/lib/agentrun/store", "chdb:///var/lib/agentrun/store"),
        ("chdb://:memory:", "chdb://:memory:"),
        ("chdb://memory", "chdb://:memory:"),
        ("clickhouse://localhost", "clickhouse://localhost:8123"),
        ("https://db.example/x", "clickhouses://db.example:8443/x"),
    ],
)
def test_a_store_is_chosen_by_url(url: str, shown: str) -> None:
    """S1.10."""
    assert str(parse_url(url)) == shown


@pytest.mark.parametrize(
    "url", ["mysql://x", "chdb://relative/path", "clickhouse://", "clickhouse://h:port", "x"]
)
def test_a_bad_url_says_what_would_be_right(url: str) -> None:
    with pytest.raises(ConfigError, match="Fix: use chdb:///absolute/path"):
        parse_url(url)


def test_a_missing_table_names_the_command(store: Store) -> None:  # noqa: F811
    with pytest.raises(StoreError) as caught:
        store.query("SELECT 1 FROM nowhere")

    assert "agentrun schema apply" in caught.value.hint
    assert not caught.value.permanent


def test_a_missing_column_is_an_outage_not_a_bad_row(fresh_store: Store) -> None:  # noqa: F811
    """The journal holds until the schema is applied; nothing may be dead-lettered for it."""
    fresh_store.command("ALTER TABLE dead_letters DROP COLUMN Peer")

    with pytest.raises(StoreError) as caught:
        fresh_store.insert_arrow("dead_letters", pa.table({"Peer": ["127.0.0.1"]}))

    assert "agentrun schema apply" in caught.value.hint
    assert not caught.value.permanent


def test_a_row_of_the_wrong_type_is_permanent(store: Store) -> None:  # noqa: F811
    bad = pa.table({"WriterId": ["not a number"], "Value": ["x"]})

    with pytest.raises(StoreError) as caught:
        store.insert_arrow("store_canary", bad)

    assert caught.value.permanent


def test_a_second_process_is_told_who_holds_the_store(
    store: Store,  # noqa: F811
    store_path: Path,  # noqa: F811
) -> None:
    """chDB's own message names neither the cause nor the way out."""
    script = (
        "import sys\n"
        "from collector.errors import StoreError\n"
        "from collector.store.client import Store\n"
        "try:\n"
        f"    Store.open('chdb://{store_path}')\n"
        "except StoreError as error:\n"
        "    print(error, '|', error.hint)\n"
        "    sys.exit(3)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 3, ended.stderr
    assert "another process holds it" in ended.stdout
    assert "--collector" in ended.stdout


def test_a_second_path_in_one_process_is_refused(store: Store, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(StoreError) as caught:
        Store.open(f"chdb://{tmp_path}")

    assert caught.value.hint == failures.ONE_PATH_HINT


def test_queries_run_at_the_same_time(store: Store) -> None:  # noqa: F811
    """A chDB client is one lock; a dashboard's query must not hold up the others."""
    done = []

    def run() -> None:
        done.append(store.column("SELECT sleep(0.5)"))

    threads = [threading.Thread(target=run) for _ in range(4)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) == 4
    assert time.monotonic() - started < 1.5


def test_quotes_in_parameters_stay_values(store: Store) -> None:  # noqa: F811
    value = 'it\'s \\ a "test" %(x)s\n'

    assert store.column("SELECT %(v)s", {"v": value}) == [value]
    assert store.column("SELECT %(v)s IN %(l)s", {"v": value, "l": (value, "b")}) == [1]
    assert store.column("SELECT 'x' IN %(l)s", {"l": ()}) == [0]


def test_times_are_utc(store: Store) -> None:  # noqa: F811
    assert store.column("SELECT toString(toDateTime(0))") == ["1970-01-01 00:00:00"]


def test_an_embedded_store_is_flushed_to_disk(store: Store) -> None:  # noqa: F811
    """The journal drops what is stored, so that what is stored must survive power loss."""
    statement = store.query("SHOW CREATE TABLE otel_traces")[0]["statement"]

    assert "fsync_after_insert = 1" in statement
    assert "fsync_part_directory = 1" in statement


def test_the_same_code_writes_to_a_server(server: Database) -> None:
    with Store.open(server.url) as opened:
        assert schema.apply(opened)[0] == "0001_raw"
        writer = Writer(opened, writer_id=1)
        writer.canary(41)
        writer.canary(42)
        assert opened.column("SELECT Value FROM store_canary FINAL") == [42]
        statement = opened.query("SHOW CREATE TABLE otel_traces")[0]["statement"]
    assert "fsync" not in statement


@pytest.mark.parametrize(
    ("faults", "hint"),
    [
        (READ_ONLY, failures.READ_ONLY_HINT),
        (OUT_OF_DISK, failures.DISK_HINT),
        (MEMORY_LIMIT, failures.BUSY_HINT),
        (Faults(down=True), failures.REFUSED_HINT),
    ],
)
def test_an_outage_is_explained_and_ends(server: Database, faults: Faults, hint: str) -> None:
    with Store.open(server.url) as opened:
        schema.apply(opened)
        with server.broken(faults), pytest.raises(StoreError) as caught:
            opened.insert_arrow("store_canary", CANARY)
        assert caught.value.hint == hint
        assert not caught.value.permanent

        server.inject(HEALTHY)
        opened.insert_arrow("store_canary", CANARY)
        assert opened.column("SELECT Value FROM store_canary FINAL") == [7]


def test_bad_rows_on_a_server_are_permanent(server: Database) -> None:
    with Store.open(server.url) as opened:
        schema.apply(opened)
        with (
            server.broken(Faults(refuse_inserts=117)),
            pytest.raises(StoreError) as caught,
        ):
            opened.insert_arrow("store_canary", CANARY)
    assert caught.value.permanent


def test_a_wrong_password_is_named(server: Database) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(server.server.url(server.name, password="wrong"))

    assert caught.value.hint == failures.AUTHENTICATION_HINT
    assert "wrong" not in str(caught.value)


def test_nobody_listening_is_named() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with pytest.raises(StoreError) as caught:
            Store.open(f"clickhouse://127.0.0.1:{port}")

    assert caught.value.hint == failures.REFUSED_HINT
