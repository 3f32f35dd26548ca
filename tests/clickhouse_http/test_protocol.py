"""ClickHouse's HTTP protocol as clients see it, on a running collector."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest
from backports import zstd
from lz4 import frame as lz4  # type: ignore[import-untyped]  # lz4 publishes no types

from tests.clickhouse_http.conftest import KEYS, Response, talk
from tests.support.process import CollectorProcess

SLOW = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))"


def test_a_query_is_taken_from_url_and_body(collector: CollectorProcess) -> None:
    """GET has it in the URL, POST in the body, in the URL, or in both, joined."""
    port = collector.ports["reads"]

    assert talk(port, "SELECT 1", method="GET").body == b"1\n"
    assert talk(port, "SELECT 2").body == b"2\n"
    assert talk(port, "+ 1", query="SELECT 2").body == b"3\n"
    assert talk(port, "SELECT {a:UInt8} + 1", param_a="3").body == b"4\n"
    assert talk(port, "SELECT 5", default_format="JSONEachRow").body == b'{"5":5}\n'
    assert talk(port, "SELECT 6", headers={"X-ClickHouse-Format": "CSV"}).body == b"6\n"
    assert talk(port, "SELECT 1", session_id="x", session_check="1").body == b"1\n"


def test_probes_need_no_query(collector: CollectorProcess) -> None:
    """Load balancers and drivers ask these first."""
    port = collector.ports["reads"]

    for path in ("/ping", "/replicas_status", "/"):
        assert talk(port, method="GET", path=path).body == b"Ok.\n"
    assert talk(port, method="GET", path="/other").status == 404
    assert talk(port, method="HEAD").status == 200


def test_an_answer_says_what_it_is(collector: CollectorProcess) -> None:
    """Drivers read format, zone, query id and summary from headers."""
    answer = talk(collector.ports["reads"], "SELECT 1 FORMAT JSON", query_id="abc")

    assert answer.headers["x-clickhouse-format"] == "JSON"
    assert answer.headers["x-clickhouse-query-id"] == "abc"
    assert answer.headers["x-clickhouse-timezone"] in ("UTC", "Etc/UTC")
    assert answer.headers["content-type"].startswith("application/json")
    assert int(json.loads(answer.headers["x-clickhouse-summary"])["elapsed_ns"]) > 0


@pytest.mark.parametrize(
    ("encoding", "undo"),
    [("gzip", gzip.decompress), ("zstd", zstd.decompress), ("lz4", lz4.decompress)],
)
def test_an_answer_is_compressed_as_asked(
    collector: CollectorProcess, encoding: str, undo: object
) -> None:
    """Of what is accepted the engine's first choice; a setting switches it off."""
    port = collector.ports["reads"]
    asks = {"Accept-Encoding": encoding}
    answer = talk(port, "SELECT number FROM numbers(1000)", headers=asks)
    plain = talk(port, "SELECT 1", headers=asks, enable_http_compression="0")

    assert answer.headers["content-encoding"] == encoding
    assert callable(undo)
    assert undo(answer.body).endswith(b"999\n")
    assert plain.body == b"1\n"


def test_an_error_has_code_name_and_status(collector: CollectorProcess) -> None:
    """Clients parse the body's shape and the header."""
    port = collector.ports["reads"]
    for sql, code, name, status in (
        ("SELEC 1", 62, "SYNTAX_ERROR", 400),
        ("SELECT * FROM nope", 60, "UNKNOWN_TABLE", 404),
        ("SELECT nope FROM agent_runs", 47, "UNKNOWN_IDENTIFIER", 404),
        ("DROP TABLE agent_runs", 497, "ACCESS_DENIED", 403),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 500),
        ("", 62, "SYNTAX_ERROR", 400),
    ):
        answer = talk(port, sql)
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (status, str(code))
        assert answer.body.startswith(f"Code: {code}. DB::Exception: ".encode()), answer.body
        assert f"({name})".encode() in answer.body
        assert len(answer.body) < 3000


def test_a_slow_query_is_ended(collector: CollectorProcess) -> None:
    """By the engine's own clock, whatever the client asked for."""
    started = time.monotonic()
    answer = talk(collector.ports["reads"], SLOW, max_execution_time="600")

    assert b"TIMEOUT_EXCEEDED" in answer.body
    assert answer.status == 408
    assert time.monotonic() - started < 6


def test_a_query_is_ended_when_its_client_leaves(collector: CollectorProcess) -> None:
    """Somebody closes a dashboard: its queries must not go on."""
    port = collector.ports["reads"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/", SLOW.encode())
    _until(lambda: _gauge(collector, "agentrun_read_queries_running") == 1)
    connection.close()
    started = time.monotonic()
    _until(lambda: _gauge(collector, "agentrun_read_queries_running") == 0)

    assert time.monotonic() - started < 1.5  # its own time is two seconds
    assert _gauge(collector, 'agentrun_read_queries_total{outcome="gone"}') >= 1


def test_more_queries_than_may_wait_are_refused(collector: CollectorProcess) -> None:
    """Two run, four wait for half a second; nobody else is made to wait, nor is ingest."""
    port = collector.ports["reads"]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: talk(port, SLOW, max_execution_time="1"), range(12)))
    refused = [answer for answer in answers if answer.status == 429]

    assert len(refused) >= 6
    assert all(b"TOO_MANY_SIMULTANEOUS_QUERIES" in answer.body for answer in refused)
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert talk(port, "SELECT 1").body == b"1\n"


def test_limits_are_lowered_or_refused(collector: CollectorProcess) -> None:
    """What drivers send beside a query is lowered to the limits, what SQL says is refused."""
    port = collector.ports["reads"]

    assert talk(port, "SELECT 1", max_execution_time="65", max_threads="99").body == b"1\n"
    assert b"SETTING_CONSTRAINT_VIOLATION" in talk(port, "SELECT 1 SETTINGS max_threads=99").body
    assert b"READONLY" in talk(port, "SELECT 1", max_insert_threads="9").body
    huge = talk(port, "SELECT number FROM numbers(2000000)")
    assert b"TOO_MANY_ROWS_OR_BYTES" in huge.body
    memory = talk(port, "SELECT length(groupArray(number)) FROM numbers(1000000000)")
    assert b"MEMORY_LIMIT_EXCEEDED" in memory.body or b"TIMEOUT_EXCEEDED" in memory.body
    long = talk(port, f"SELECT 1 /* {'x' * (2 << 20)} */")
    assert b"TOO_MANY_BYTES" in long.body
    deep = talk(port, "SELECT " + "(" * 5000 + "1" + ")" * 5000)
    assert deep.status in (400, 500)
    assert talk(port, "SELECT 1").body == b"1\n"


def test_a_big_result_arrives_whole(collector: CollectorProcess) -> None:
    """A million rows, compressed."""
    sql = "SELECT number, toString(number) FROM numbers(1000000)"
    answer = talk(collector.ports["reads"], sql, headers={"Accept-Encoding": "lz4"})

    assert lz4.decompress(answer.body).count(b"\n") == 1_000_000


def test_web_pages_get_nothing(collector: CollectorProcess) -> None:
    """A rebound name, a page of another site, and an image that loads a query."""
    port = collector.ports["reads"]
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = talk(port, "SELECT 1", method="GET", headers=headers)
        assert answer.status == 403, headers
        assert "access-control-allow-origin" not in answer.headers


def test_a_key_is_taken_wherever_clients_put_it(locked: CollectorProcess) -> None:
    """Basic, ClickHouse's own headers, bearer and parameters, with any user name."""
    port, key = locked.ports["reads"], KEYS["reader"]
    basic = base64.b64encode(f"grafana:{key}".encode()).decode()

    for headers in (
        {"Authorization": f"Basic {basic}"},
        {"Authorization": f"Bearer {key}"},
        {"X-ClickHouse-User": "x", "X-ClickHouse-Key": key},
    ):
        assert talk(port, "SELECT 1", headers=headers).body == b"1\n"
    assert talk(port, "SELECT 1", user="x", password=key).body == b"1\n"


def test_without_a_key_that_reads_nothing_is_answered(locked: CollectorProcess) -> None:
    """None, an unknown one, one that only sends, and one that may see one workspace only."""
    port = locked.ports["reads"]

    def refusal(headers: dict[str, str]) -> Response:
        answer = talk(port, "SELECT 1", headers=headers)
        assert answer.status == 403
        return answer

    assert b"AUTHENTICATION_FAILED" in refusal({}).body
    assert b"AUTHENTICATION_FAILED" in refusal({"X-ClickHouse-Key": "unknown-unknown-un"}).body
    assert b"lacks the role `read`" in refusal({"X-ClickHouse-Key": KEYS["sender"]}).body
    assert b"bound to the workspace `acme`" in refusal({"X-ClickHouse-Key": KEYS["tenant"]}).body
    assert talk(port, method="GET", path="/ping").status == 200


def _gauge(collector: CollectorProcess, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{collector.ports['api']}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)


def _until(met: object, secs: float = 10.0) -> None:
    assert callable(met)
    pause = threading.Event()
    deadline = time.monotonic() + secs
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.02)
