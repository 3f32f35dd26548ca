"""Rows that the store can never take, and more of them than the journal can hold."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.outage.scene import Scene, check, rows, scene
from tests.receiver.requests import retry_secs, status_of
from tests.support.clickhouse_faults import DOWN, HEALTHY, Faults
from tests.support.clickhouse_fixtures import (
    Database,
    clickhouse,  # noqa: F401
    clickhouse_server,  # noqa: F401
)
from tests.support.traffic import EXPORT, SPANS_PER_RUN, Sender, request, requests

RUNS = 20
POISON = "POISON-7"


def poisoned(number: int) -> Span:
    """A span of no run, whose name the store does not take."""
    return Span(
        trace_id=number.to_bytes(16, "little"),
        span_id=b"\xee" * 8,
        name=f"a {POISON} name",
        start_time_unix_nano=time.time_ns() - 10**9,
        end_time_unix_nano=time.time_ns(),
    )


def test_a_poison_row_costs_itself_and_becomes_a_dead_letter(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Found by halves: all else of the flush is stored, steps and runs included, and the terms add
    up.  Of the second one, an agent's, also the rows of its step and its run are refused."""
    agent = poisoned(2)
    agent.attributes.add(key="gen_ai.operation.name").value.string_value = "invoke_agent"
    agent.attributes.add(key="gen_ai.agent.name").value.string_value = POISON
    with scene(clickhouse, tmp_path / "data", store_flush_secs=0.5) as one:
        for bad in (poisoned(1), agent):
            with clickhouse.broken(Faults(poison=POISON)):
                sender = Sender(one.collector.ports["grpc"])
                for number, (_, spans) in enumerate(requests(one.runs, RUNS)):
                    assert sender.send(request([*spans, bad] if number == 3 else spans))
                sender.close()
                one.runs += RUNS
                one.settle()
            one.check()
        terms = one.collector.terms()
        assert terms["dead_lettered"] == 2
        assert terms["stored"] == 2 * RUNS * SPANS_PER_RUN
        assert terms["received"] == terms["stored"] + terms["dead_lettered"]
        letters = rows(clickhouse, "SELECT Signal, Reason, Error, Items FROM dead_letters FINAL")
        assert len(letters) == 2
        for letter in letters:
            assert (letter["Signal"], letter["Reason"]) == ("traces", "refused_by_store")
            assert "Incorrect data" in letter["Error"]
            assert letter["Items"] == 1
        assert "rows_refused_by_store" in one.log()
        one.send(3)  # life goes on
        one.settle()
        one.check()


def test_a_full_journal_tells_senders_to_wait_and_keeps_what_it_took(
    clickhouse: Database,  # noqa: F811
    tmp_path: Path,
) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo, 429 with Retry-After; what was refused is sent again."""
    with scene(
        clickhouse,
        tmp_path / "data",
        journal_bytes_max=40_000,
        journal_segment_bytes=10_000,
    ) as one:
        one.send(1)
        one.settle()
        clickhouse.inject(DOWN)
        waiting = [body for body, _ in requests(1, 100)]
        refused = fill(one, waiting)
        assert 0 < len(refused) < len(waiting)
        tells_over_grpc(one, refused[0])
        tells_over_http(one, refused[0])
        stats = one.collector.get("/metrics")
        assert size(stats, "agentrun_journal_bytes") <= size(stats, "agentrun_journal_bytes_max")
        clickhouse.inject(HEALTHY)
        began = time.monotonic()
        while refused:  # as exporters do
            refused = fill(one, refused)
            assert time.monotonic() - began < 20
            time.sleep(0.1)
        one.settle()
        check(clickhouse, 101)
        terms = one.collector.terms()
        assert terms["refused"] > 0
        assert terms["stored"] + terms["deduplicated"] == 101 * SPANS_PER_RUN


def fill(one: Scene, bodies: list[bytes]) -> list[bytes]:
    """Those of them that were not acknowledged."""
    sender = Sender(one.collector.ports["grpc"])
    refused = [body for body in bodies if not sender.send(body)]
    sender.close()
    return refused


def tells_over_grpc(one: Scene, body: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{one.collector.ports['grpc']}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(EXPORT)(body, timeout=5)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = status_of(caught.value)
        assert "journal is full" in status.message
        assert (retry_secs(status) or 0) > 0


def tells_over_http(one: Scene, body: bytes) -> None:
    url = f"http://127.0.0.1:{one.collector.ports['http']}/v1/traces"
    headers = {"Content-Type": "application/x-protobuf"}
    asked = urllib.request.Request(url, data=body, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=5)
    with caught.value as error:
        assert error.code == 429
        assert int(error.headers["Retry-After"]) >= 1
        assert "journal is full" in status_pb2.Status.FromString(error.read()).message


def size(metrics: str, name: str) -> float:
    [line] = [line for line in metrics.splitlines() if line.startswith(f"{name} ")]
    return float(json.loads(line.split()[1]))
