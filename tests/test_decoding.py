"""Decoding in a process of its own (docs/adr/0008)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import normalize, records
from collector.decoding import DecodePool, Prepared
from collector.errors import PermanentError, RetryableError
from collector.model import SPANS, Signal
from collector.normalized import Normalized
from collector.receiver.decode import Limits
from collector.store import step_columns
from otel_agentrun.redact import RedactSettings
from tests.support.traffic import AgentRun, request

BODY = request(
    [span for number in range(20) for span in AgentRun(number, time.time_ns() - 10**9).spans()]
)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(Limits(), RedactSettings(key=b"k" * 32), processes=1)
    yield pool
    pool.close()


def prepare(pool: DecodePool, body: bytes) -> Prepared:
    return asyncio.run(pool.prepare(Signal.TRACES, body, "protobuf", {}))


def test_steps_made_in_the_process_are_those_of_the_record(pool: DecodePool) -> None:
    """The shortcut changes nothing: a record read back from disk gives the same steps."""
    prepared = prepare(pool, BODY)

    assert prepared.payload is not None
    again = normalize.steps_of(records.decode(prepared.payload, SPANS))
    assert step_columns.decode(step_columns.from_bytes(prepared.steps)) == again
    assert (prepared.items, len(prepared.trace_ids)) == (120, 20)


def test_a_refusal_crosses_the_border_with_its_reason(pool: DecodePool) -> None:
    """It is an answer to the sender and a label of a metric."""
    with pytest.raises(PermanentError) as caught:
        prepare(pool, b"\xff\xff\xff\xff")

    assert caught.value.reason == "malformed"


def test_a_decoder_that_dies_costs_its_requests_only(pool: DecodePool) -> None:
    """A native crash or the kernel short of memory: the sender resends, a new process takes it."""
    prepare(pool, BODY)
    for child in children():
        os.kill(child, signal.SIGKILL)

    with pytest.raises(RetryableError) as caught:
        prepare_until_it_fails(pool)
    assert caught.value.reason == "decoder_died"
    assert prepare(pool, BODY).items == 120


def prepare_until_it_fails(pool: DecodePool) -> None:
    for _ in range(100):  # a death takes a moment to be noticed
        prepare(pool, BODY)


def children() -> list[int]:
    """Process ids of this process's decoders (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat[1]) == os.getpid() and b"spawn_main" in command:
                found.append(int(entry.name))
    return found


def test_steps_that_nobody_takes_give_way() -> None:
    """Records read back from disk leave theirs behind; that is bounded."""
    held = Normalized(bytes_max=100)
    first, second = b"one", b"two"
    held.put(first, b"x" * 80)
    held.put(second, b"y" * 80)

    assert held.take(first) == b""
    assert held.take(second) == b"y" * 80
    assert held.take(second) == b""
