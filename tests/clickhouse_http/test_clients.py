"""Real clients on the read endpoint of a running collector."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import anyio
import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.clickhouse_http.app import Admission, ReadEndpoint
from collector.clickhouse_http.serving import serve_reads
from collector.clickhouse_http.stats import ReadStats
from collector.receiver.auth import Keyring
from tests.clickhouse_http.conftest import KEYS, talk
from tests.support.node import project
from tests.support.process import CollectorProcess
from tests.support.traffic import MODEL_CALLS, Sender, requests

RUNNING = b"agentrun_read_queries_running"
NODE = Path(__file__).parent / "node"


@pytest.fixture
def client(collector: CollectorProcess) -> Iterator[Client]:
    made = clickhouse_connect.get_client(host="127.0.0.1", port=collector.ports["reads"])
    yield made
    made.close()


def test_clickhouse_connect_reads(client: Client) -> None:
    """Rows, Arrow, parameters, settings, blocks and `command`, in Native and other formats."""
    rows = client.query(
        "SELECT number, toString(number), [number], map('k', 'v'), toLowCardinality('x'),"
        " toNullable(1), toDateTime64(0, 9, 'UTC') FROM numbers(3)"
    ).result_rows

    assert [row[:6] for row in rows] == [(n, str(n), [n], {"k": "v"}, "x", 1) for n in range(3)]
    assert client.query_arrow("SELECT 1 AS a").to_pylist() == [{"a": 1}]
    assert client.query("SELECT {a:Int32} + 1", parameters={"a": 5}).result_rows == [(6,)]
    assert client.query("SELECT 1", settings={"max_threads": 1}).result_rows == [(1,)]
    assert client.command("SELECT count() FROM agent_runs") == 0
    assert client.raw_query("SELECT 1", fmt="JSONEachRow") == b'{"1":1}\n'
    with client.query_row_block_stream("SELECT number FROM numbers(200000)") as stream:
        assert sum(len(block) for block in stream) == 200_000
    assert client.ping()


def test_clickhouse_connect_cannot_write(client: Client) -> None:
    """Typed errors, also for an INSERT whose rows follow in Native."""
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        client.command("CREATE TABLE x (a Int8) ENGINE = Memory")
    with pytest.raises(DatabaseError):
        client.insert("agent_runs", [["x"]], column_names=["RunId"])
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        client.query("SELECT file('/etc/hostname')")


def test_clickhouse_connect_takes_a_key_as_password(locked: CollectorProcess) -> None:
    """Any user name; without the key there is no connection."""
    where = {"host": "127.0.0.1", "port": locked.ports["reads"], "username": "grafana"}
    made = clickhouse_connect.get_client(**where, password=KEYS["reader"])  # type: ignore[arg-type]

    assert made.command("SELECT 1") == 1
    made.close()
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(**where, password="wrong")  # type: ignore[arg-type]


def test_the_node_client_reads(locked: CollectorProcess) -> None:
    """The official client: parameters, streams, compression, settings, typed errors."""
    folder = project(NODE / "package.json")
    shutil.copy(NODE / "client.mjs", folder)
    url = f"http://127.0.0.1:{locked.ports['reads']}"
    done = subprocess.run(
        ["node", "client.mjs", url, KEYS["reader"]],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ping": True,
        "json": [{"n": 5, "who": "it's"}],
        "each": [{"n": 0}, {"n": 1}, {"n": 2}],
        "streamed": 100_000,
        "unknown": ["60", "UNKNOWN_TABLE"],
        "drop": ["497", "ACCESS_DENIED"],
        "insert": ["497", "ACCESS_DENIED"],
    }


def test_readers_and_ingest_go_on_together(tmp_path: Path) -> None:
    """Several readers ask without pause while spans come in: each sees runs that grow and never a
    wrong one, nothing is lost; stopping ends what still runs, and a restart shows the same."""
    runs = 24
    with CollectorProcess(tmp_path / "data", store_flush_secs=0.05) as collector:
        port, seen = collector.ports["reads"], []
        stop = threading.Event()
        sql = "SELECT count(), countIf(ModelCalls > {calls:UInt8}) FROM runs"

        def read() -> list[int]:
            counts = []
            while not stop.wait(0.03):
                answer = talk(port, sql, param_calls=str(MODEL_CALLS))
                assert answer.status == 200, answer.body
                count, wrong = map(int, answer.body.split())
                assert wrong == 0
                counts.append(count)
            return counts

        sender = Sender(collector.ports["grpc"])
        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            try:
                for body, _ in requests(0, runs):
                    assert sender.send(body), sender.error
                terms = collector.settle()
            finally:
                stop.set()
                sender.close()
            for reader in readers:
                seen = reader.result()
                assert seen == sorted(seen)
        assert terms["stored"] == runs * 6
        assert talk(port, "SELECT count() FROM runs").body == f"{runs}\n".encode()
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(
                talk, port, "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
            )
            while b" 1.0" not in _running(collector):
                assert not slow.done()
            began = time.monotonic()
            collector.stop()
            assert time.monotonic() - began < 5  # the query could have gone on for 30 s
            assert b"QUERY_WAS_CANCELLED" in slow.result().body
        collector.start()
        again = collector.ports["reads"]
        assert talk(again, "SELECT count() FROM runs").body == f"{runs}\n".encode()
        assert talk(again, "SELECT count() FROM runs", max_threads="1").status == 200


def _running(collector: CollectorProcess) -> bytes:
    metrics = talk(collector.ports["api"], method="GET", path="/metrics").body
    return next(line for line in metrics.splitlines() if line.startswith(RUNNING + b" "))


@pytest.mark.anyio
async def test_a_taken_port_ends_the_start_only_where_it_was_chosen() -> None:
    """A ClickHouse server may have 8123: the collector then does without this endpoint."""
    endpoint = ReadEndpoint(
        lambda: pytest.fail("nobody asked"),
        keyring=Keyring(),
        stats=ReadStats(),
        admission=Admission(),
    )
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        serve = partial(serve_reads, endpoint, host="127.0.0.1", port=other.getsockname()[1])
        async with anyio.create_task_group() as tasks:
            assert await tasks.start(partial(serve, optional=True)) is None
        with pytest.raises(OSError, match="read_endpoint: cannot listen"):
            await serve()
