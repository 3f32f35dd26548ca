"""Each fault does what the real one does, starts and ends when told, and leaves no trace."""

from __future__ import annotations

import socket
import threading
import time

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, Error, OperationalError

from tests.support.clickhouse_faults import (
    DOWN,
    HANG,
    HEALTHY,
    MEMORY_LIMIT,
    OUT_OF_DISK,
    READ_ONLY,
    TOO_MANY_PARTS,
    Faults,
)
from tests.support.clickhouse_fixtures import Database
from tests.support.clickhouse_http import ClickHouseDouble


def insert(client: Client, number: int = 1, text: str = "x") -> None:
    client.insert("t", [[number, text]], column_names=["a", "b"], column_type_names=TYPES)


TYPES = ["UInt64", "String"]


def test_down_refuses_connections_until_it_is_up_again(
    clickhouse: Database, client: Client
) -> None:
    """On the same port; what was open is gone, and what was stored is still there."""
    insert(client)
    for _ in range(3):
        with clickhouse.broken(DOWN):
            with pytest.raises(OperationalError):
                insert(client, 2)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", clickhouse.server.port), timeout=5)
    insert(client, 3)

    assert client.query("SELECT a FROM t ORDER BY a").result_rows == [(1,), (3,)]


def test_hanging_answers_nothing_and_stores_nothing(clickhouse: Database, client: Client) -> None:
    """The client's own timeout is all that ends it; ping hangs too."""
    patient = clickhouse_connect.get_client(dsn=clickhouse.url, send_receive_timeout=1)
    with clickhouse.broken(HANG):
        assert not patient.ping(timeout=0.2)
        with pytest.raises(OperationalError, match="timed out"):
            insert(patient)
    insert(patient, 2)

    assert client.query("SELECT a FROM t").result_rows == [(2,)]
    patient.close()


def test_the_end_of_a_hang_ends_who_waits(clickhouse: Database, client: Client) -> None:
    """As when a stuck server is restarted: at once, without an answer."""
    clickhouse.inject(HANG)
    threading.Timer(0.1, clickhouse.inject, [HEALTHY]).start()
    started = time.monotonic()

    insert(client)  # clickhouse-connect sends it again after the reset

    assert time.monotonic() - started < 5
    assert clickhouse.execute("SELECT count() FROM t") == "1"


def test_slow_answers_late_but_right(clickhouse: Database, client: Client) -> None:
    with clickhouse.broken(Faults(delay_secs=0.2)):
        started = time.monotonic()
        assert client.command("SELECT 1") == 1
        assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("faults", "code", "name", "reads", "ddl"),
    [
        (READ_ONLY, 164, "READONLY", True, False),
        (OUT_OF_DISK, 243, "NOT_ENOUGH_SPACE", True, True),
        (TOO_MANY_PARTS, 252, "TOO_MANY_PARTS", True, True),
        (MEMORY_LIMIT, 241, "MEMORY_LIMIT_EXCEEDED", False, False),
        (Faults(refuse_all=202), 202, "TOO_MANY_SIMULTANEOUS_QUERIES", False, False),
    ],
)
def test_refusals_are_typed_and_store_nothing(
    clickhouse: Database,
    client: Client,
    faults: Faults,
    code: int,
    name: str,
    reads: bool,
    ddl: bool,
) -> None:
    """A full disk still answers queries; a read-only server also refuses ALTER."""
    with clickhouse.broken(faults):
        with pytest.raises(DatabaseError, match=name) as caught:
            insert(client)
        assert caught.value.code == code
        for works, sql in ((reads, "SELECT 1"), (ddl, "ALTER TABLE t ADD COLUMN c UInt8")):
            if works:
                client.command(sql)
            else:
                with pytest.raises(DatabaseError, match=name):
                    client.command(sql)
    insert(client, 2)

    assert client.query("SELECT a FROM t").result_rows == [(2,)]


def test_a_missing_column_or_table_is_really_missing(clickhouse: Database, client: Client) -> None:
    clickhouse.execute("ALTER TABLE t DROP COLUMN b")
    with pytest.raises(DatabaseError) as caught:
        insert(client)
    assert caught.value.code == 16

    clickhouse.execute("DROP TABLE t SYNC")
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        insert(client)


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_a_poison_row_is_refused_with_its_whole_insert(
    clickhouse: Database, client: Client, compression: str | None
) -> None:
    """Also inside compressed Arrow buffers; other inserts go through."""

    def send(texts: list[str]) -> None:
        table = pa.table({"a": pa.array(range(len(texts)), pa.uint64()), "b": texts})
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        body = sink.getvalue().to_pybytes()
        client.raw_insert("t", ["a", "b"], body, fmt="ArrowStream")

    with clickhouse.broken(Faults(poison="MARK-7", poison_code=53)):
        with pytest.raises(DatabaseError, match="TYPE_MISMATCH") as caught:
            send(["good" * 100, "a MARK-7 b" + "x" * 1000])
        assert caught.value.code == 53
        send(["good"])
        with pytest.raises(DatabaseError, match="TYPE_MISMATCH"):
            client.command("INSERT INTO t VALUES (1, 'MARK-7')")

    assert clickhouse.execute("SELECT count() FROM t") == "1"


def test_every_third_insert_fails_before_it_is_stored(clickhouse: Database, client: Client) -> None:
    failed = {}
    with clickhouse.broken(Faults(every_insert=3, insert_fault="error")):
        for number in range(9):
            try:
                insert(client, number)
            except DatabaseError as error:
                failed[number] = error.code

    assert failed == {2: 999, 5: 999, 8: 999}
    assert clickhouse.execute("SELECT groupArray(a) FROM (SELECT a FROM t ORDER BY a)") == (
        "[0,1,3,4,6,7]"
    )


def test_a_lost_answer_leaves_the_rows_and_doubles_them_on_a_blind_retry(
    clickhouse: Database, client: Client
) -> None:
    """What the collector must survive: clickhouse-connect itself sends the insert again, and a
    plain MergeTree then has the rows twice."""
    with clickhouse.broken(Faults(every_insert=2, insert_fault="answer_lost")):
        insert(client, 1)
        insert(client, 2)

    inserts = [one for one in clickhouse.seen() if one.sql.startswith("INSERT")]
    assert [(one.rows, one.answered) for one in inserts] == [(1, True), (1, False), (1, True)]
    assert client.query("SELECT a, count() FROM t GROUP BY a ORDER BY a").result_rows == [
        (1, 1),
        (2, 2),
    ]


def test_a_reset_before_storing_leaves_nothing(clickhouse: Database, client: Client) -> None:
    with (
        clickhouse.broken(Faults(every_insert=1, insert_fault="reset")),
        pytest.raises(OperationalError),
    ):
        insert(client)

    assert clickhouse.execute("SELECT count() FROM t") == "0"


@pytest.mark.parametrize("rows", [1, 50_000])
def test_an_answer_is_cut_in_the_middle(clickhouse: Database, client: Client, rows: int) -> None:
    """The client notices; it never takes a part for the whole."""
    sql = f"SELECT number, toString(number) FROM numbers({rows})"
    with clickhouse.broken(Faults(cut_answers=True)):
        with pytest.raises(Error):
            client.query(sql)
        with pytest.raises(Error):
            client.raw_query(sql, fmt="ArrowStream")

    assert len(client.query(sql).result_rows) == rows


def test_a_gateway_in_front_may_fail(clickhouse: Database, client: Client) -> None:
    """Its answer has no ClickHouse code."""
    with (
        clickhouse.broken(Faults(gateway_status=502)),
        pytest.raises(DatabaseError, match="502") as caught,
    ):
        insert(client)
    assert caught.value.code is None


def test_a_fault_may_meet_one_table_and_end_by_itself(clickhouse: Database, client: Client) -> None:
    """`only` and `times`: the second table of a flush fails twice, then works."""
    clickhouse.execute("CREATE TABLE u AS t")
    with clickhouse.broken(Faults(refuse_inserts=243, only="`u`", times=2)):
        insert(client)
        for _ in range(2):
            with pytest.raises(DatabaseError):
                client.command("INSERT INTO `u` VALUES (1, 'x')")
        client.command("INSERT INTO `u` VALUES (2, 'x')")

    assert clickhouse.execute("SELECT a FROM u") == "2"


def test_stopping_leaves_no_thread_and_no_listener() -> None:
    before = threading.active_count()
    server = ClickHouseDouble()
    client = clickhouse_connect.get_client(dsn=server.url())
    client.command("SELECT 1")
    server.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    client.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
    assert server.bugs() == []
