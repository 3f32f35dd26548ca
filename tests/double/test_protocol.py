"""The double is a ClickHouse server to clickhouse-connect and to plain HTTP."""

from __future__ import annotations

import datetime as dt
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import clickhouse_connect
import httpx
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.clickhouse_http.encoding import encoded
from tests.support.clickhouse_fixtures import Database
from tests.support.clickhouse_http import PASSWORD, USER

ROWS = pa.table({"a": pa.array([1, 2], pa.uint64()), "b": ["x", "y"]})


def http(clickhouse: Database, **arguments: object) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{clickhouse.server.port}",
        auth=(USER, PASSWORD),
        params={"database": clickhouse.name},
        **arguments,  # type: ignore[arg-type]  # any argument of httpx.Client
    )


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def test_every_way_to_insert_stores_the_rows(client: Client) -> None:
    """Native, Arrow, a raw Arrow stream as the collector sends it, VALUES, and INSERT SELECT."""
    client.insert("t", [[1, "native"]], column_names=["a", "b"])
    client.insert_arrow("t", pa.table({"a": pa.array([2], pa.uint64()), "b": ["arrow"]}))
    body = stream(pa.table({"a": pa.array([3], pa.uint64()), "b": ["raw"]}), "lz4")
    summary = client.raw_insert("t", ["a", "b"], body, fmt="ArrowStream")
    client.command("INSERT INTO t VALUES (%(a)s, %(b)s)", {"a": 4, "b": "it's"})
    client.command("INSERT INTO t (a, b) VALUES ({a:UInt64}, {b:String})", {"a": 5, "b": "bound"})
    client.command("INSERT INTO t SELECT 6, 'select'")

    assert summary.written_rows == 1
    assert client.query("SELECT a, b FROM t ORDER BY a").result_rows == [
        (1, "native"),
        (2, "arrow"),
        (3, "raw"),
        (4, "it's"),
        (5, "bound"),
        (6, "select"),
    ]


def test_every_way_to_read_gives_the_rows(client: Client) -> None:
    client.insert_arrow("t", ROWS)

    assert client.query("SELECT * FROM t ORDER BY a").result_rows == [(1, "x"), (2, "y")]
    assert client.query_arrow("SELECT * FROM t ORDER BY a")["a"].to_pylist() == [1, 2]
    assert client.raw_query("SELECT a FROM t ORDER BY a", fmt="JSONEachRow") == (
        b'{"a":1}\n{"a":2}\n'
    )
    assert client.command("SELECT count() FROM t") == 2
    assert client.command("SELECT a FROM t WHERE a > 2") == ""
    assert client.query("SELECT a FROM t LIMIT 0").column_names == ("a",)
    with client.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
        assert sum(len(block) for block in blocks) == 200_000


def test_an_empty_arrow_stream_has_a_schema(client: Client) -> None:
    body = client.raw_query("SELECT a, b FROM t", fmt="ArrowStream")

    assert pa.ipc.open_stream(body).read_all().schema.names == ["a", "b"]


def test_values_are_bound_by_the_server(client: Client) -> None:
    """Text with quotes, backslashes and tabs, times, lists; long ones travel as a form."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    text = "it's\ta \\ tab\nand ünï"
    query = "SELECT {x:String}, {t:DateTime}, {l:Array(String)}"

    bound = client.query(query, {"x": text, "t": moment, "l": [text, "b"]})
    assert bound.result_rows == [(text, moment.replace(tzinfo=None), [text, "b"])]
    long = client.query("SELECT length({x:String})", {"x": "x" * 100_000})
    assert long.result_rows == [(100_000,)]


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_requests_and_answers_may_be_compressed(
    clickhouse: Database, client: Client, compress: str | bool
) -> None:
    rows = [[number, "text" * 50] for number in range(5_000)]
    other = clickhouse_connect.get_client(dsn=clickhouse.url, compress=compress)
    other.insert("t", rows, column_names=["a", "b"])

    assert other.query("SELECT * FROM t ORDER BY a").result_rows[-1] == (4_999, "text" * 50)
    other.close()


def test_the_answer_has_the_encoding_that_was_asked_for(
    clickhouse: Database, client: Client
) -> None:
    """Of several, zstd first; none where the client switches compression off."""
    with http(clickhouse) as server:
        for accepted, encoding in (
            ("gzip, lz4, zstd", "zstd"),
            ("gzip, lz4, zstd;q=0", "lz4"),
            ("gzip", "gzip"),
            ("identity", None),
        ):
            with server.stream(
                "POST", "/", content="SELECT 1", headers={"Accept-Encoding": accepted}
            ) as answer:
                body = b"".join(answer.iter_raw())
            assert answer.headers.get("Content-Encoding") == encoding
            assert body == encoded(b"1\n", encoding or "")
        off = server.post(
            "/",
            params={"enable_http_compression": "0"},
            content="SELECT 1",
            headers={"Accept-Encoding": "gzip"},
        )
        assert "Content-Encoding" not in off.headers


def test_statement_and_data_may_travel_apart(clickhouse: Database, client: Client) -> None:
    """`?query=INSERT …` with compressed data in pieces as the body; a whole query in the URL."""
    data = encoded(b'{"a":1,"b":"x"}\n', "lz4") + encoded(b'{"a":2,"b":"y"}\n', "lz4")
    with http(clickhouse) as server:
        inserted = server.post(
            "/",
            params={"query": "INSERT INTO t FORMAT JSONEachRow"},
            content=iter([data[:7], data[7:]]),
            headers={"Content-Encoding": "lz4"},
        )
        read = server.get("/", params={"query": "SELECT sum(a) FROM t"})

    assert json.loads(inserted.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert read.text == "3\n"
    assert read.headers["X-ClickHouse-Format"] == "TabSeparated"
    assert read.headers["X-ClickHouse-Query-Id"]


def test_get_only_reads(clickhouse: Database, client: Client) -> None:
    with http(clickhouse) as server:
        refused = server.get("/", params={"query": "INSERT INTO t SELECT 1, 'x'"})

    assert refused.headers["X-ClickHouse-Exception-Code"] == "164"
    assert clickhouse.execute("SELECT count() FROM t") == "0"


def test_settings_hold_for_one_request(clickhouse: Database, client: Client) -> None:
    """Known ones reach the engine, server-only ones are harmless, unknown ones are refused."""
    sql = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    settings = {"max_threads": 1, "insert_quorum": 2, "async_insert": 0, "query_id": "mine"}

    assert client.query(sql, settings=settings).result_rows == [("1",)]
    assert client.query(sql).result_rows != [("1",)]
    assert clickhouse.seen()[-2].settings["insert_quorum"] == "2"
    with pytest.raises(DatabaseError, match="UNKNOWN_SETTING") as caught:
        client.query("SELECT 1", settings={"no_such_setting": 1})
    assert caught.value.code == 115


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT * FROM missing", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT missing FROM t", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("INSERT INTO t (c) VALUES (1)", 500, 16, "NO_SUCH_COLUMN_IN_TABLE"),
        ("INSERT INTO t FORMAT CSV\nx,y\n", 400, 27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("", 400, 62, "SYNTAX_ERROR"),
    ],
)
def test_errors_have_a_code_a_name_and_a_status(
    clickhouse: Database, client: Client, sql: str, status: int, code: int, name: str
) -> None:
    """As a server sends them: nothing of chDB's own words, one trailer."""
    with http(clickhouse) as server:
        answer = server.post("/", content=sql)

    assert answer.status_code == status
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert answer.text.count("DB::Exception") == 1
    assert answer.text.count(f"({name})") == 1


def test_a_database_that_does_not_exist_is_an_error(clickhouse: Database) -> None:
    """So a store that connects to it before creating it fails here as against a server."""
    with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE") as caught:
        clickhouse_connect.get_client(dsn=clickhouse.url)
    assert caught.value.code == 81


def test_only_known_users_get_in(clickhouse: Database) -> None:
    """Wrong password, no such user: 516.  Header, parameter or Basic: all are read."""
    server = clickhouse.server
    for url in (server.url(password="wrong"), server.url(user="nobody")):
        with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED") as caught:
            clickhouse_connect.get_client(dsn=url)
        assert caught.value.code == 516

    base = f"http://127.0.0.1:{server.port}/?query=SELECT+1"
    headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    assert httpx.get(base, headers=headers).text == "1\n"
    assert httpx.get(base, params={"query": "SELECT 1", "user": "default"}).text == "1\n"
    refused = httpx.get(base, headers={"Authorization": "Basic ???"})
    assert refused.status_code == 403


def test_ping_needs_no_user(clickhouse: Database, client: Client) -> None:
    base = f"http://127.0.0.1:{clickhouse.server.port}"

    assert client.ping()
    assert [httpx.get(base + path).text for path in ("/ping", "/", "/replicas_status")] == (
        ["Ok.\n"] * 3
    )
    assert httpx.get(base + "/nothing").status_code == 404


def test_a_session_serves_one_request_at_a_time(clickhouse: Database, client: Client) -> None:
    """373 to the second; a client that shares a session between threads fails as it would."""
    started = threading.Event()

    def ask(sql: str) -> str:
        with http(clickhouse) as server:
            started.set()
            return server.post("/", params={"session_id": "one"}, content=sql).text

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, "SELECT sleep(0.5)")
        started.wait(5)
        answers = []
        while not slow.done():
            answers.append(ask("SELECT 1"))
    assert any("SESSION_IS_LOCKED" in answer for answer in answers)
    assert ask("SELECT 1") == "1\n"


def test_many_clients_at_once_lose_nothing(clickhouse: Database, client: Client) -> None:
    def insert(worker: int) -> None:
        mine = clickhouse_connect.get_client(dsn=clickhouse.url)
        for number in range(10):
            mine.insert("t", [[worker * 100 + number, "x"]], column_names=["a", "b"])
        mine.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(insert, range(6)))

    assert clickhouse.execute("SELECT count(), uniqExact(a) FROM t") == "60\t60"
