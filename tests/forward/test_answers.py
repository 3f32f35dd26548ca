"""What a backend says, and what becomes of the items then: the forwarding process's loop against
real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector.forward import payload, spool
from collector.forward.send import retry_after
from collector.forward.settings import Backend
from collector.forward.spool import Name
from collector.forward.worker import Lane
from collector.model import Signal
from tests.e2e.talk import eventually
from tests.forward.backends import OVER, Heard, Says
from tests.support.store import spans

PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http"])
UNAVAILABLE = {"grpc": 14, "http": 503}
SLOW_DOWN = {"grpc": 8, "http": 429}
INVALID = {"grpc": 3, "http": 400}
WRONG_KEY = {"grpc": 16, "http": 401}
BROKEN = {"grpc": 13, "http": 500}


class Told:
    """What a lane reports."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []

    def __call__(self, report: dict[str, Any]) -> None:
        self.reports.append(report)

    def items(self, event: str) -> int:
        return sum(each["items"] for each in self.reports if each["event"] == event)

    def of(self, event: str, key: str) -> list[Any]:
        return [each[key] for each in self.reports if each["event"] == event]


def put(folder: Path, count: int, number: int = 1, prefix: str = "s") -> None:
    """A file of so many spans."""
    batch = spans(
        *({"SpanId": f"{number:08x}{n + 1:08x}", "SpanName": f"{prefix}{n}"} for n in range(count))
    )
    content = payload.encode_spans([batch], [], [])
    folder.mkdir(exist_ok=True)
    spool.write(folder / Name(number, Signal.TRACES, count).waiting, content)


@contextmanager
def sending(folder: Path, protocol: str, port: int, **settings: Any) -> Iterator[Told]:
    """A lane at work on a spool."""
    told = Told()
    backend = Backend(
        name="b",
        endpoint=f"http://127.0.0.1:{port}",
        directory=str(folder),
        protocol=protocol,  # type: ignore[arg-type]
        **({"timeout_secs": 2.0} | settings),
    )
    lane = Lane(backend, told, jitter=lambda: 0.0)
    thread = threading.Thread(target=lane.run)
    thread.start()
    try:
        yield told
    finally:
        lane.stopping.set()
        lane.wake.set()
        thread.join(10)
        assert not thread.is_alive()


def done(folder: Path) -> bool:
    """Asked twice: a file that is renamed while the folder is read may not show."""
    return not spool.listed(folder) and not spool.listed(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@PROTOCOLS
def test_all_is_sent_in_order_and_in_pieces(folder: Path, protocol: str) -> None:
    heard = Heard()
    put(folder, 5, 2, "later")
    put(folder, 5, 1, "first")
    with OVER[protocol](heard) as port, sending(folder, protocol, port, batch_items_max=2) as told:
        eventually(lambda: done(folder))

    assert heard.names == [f"{when}{n}" for when in ("first", "later") for n in range(5)]
    assert len(heard.requests) == 6
    assert told.items("sent") == 10


@PROTOCOLS
def test_a_backend_that_is_busy_gets_it_again(folder: Path, protocol: str) -> None:
    """After pauses that grow; what was sent before is not sent again."""
    heard = Heard(answers=[Says(), Says(status=UNAVAILABLE[protocol])])
    put(folder, 4)
    with OVER[protocol](heard) as port, sending(folder, protocol, port, batch_items_max=2) as told:
        eventually(lambda: done(folder))

    assert heard.names == ["s0", "s1", "s2", "s3"]
    assert told.items("sent") == 4
    assert told.of("failed", "pause") == [0.25]
    assert heard.at[2] - heard.at[1] >= 0.25


@PROTOCOLS
def test_the_delay_a_backend_asks_for_is_kept(folder: Path, protocol: str) -> None:
    """RetryInfo of gRPC, Retry-After of HTTP."""
    heard = Heard(answers=[Says(status=SLOW_DOWN[protocol], retry_secs=1)])
    put(folder, 1)
    with OVER[protocol](heard) as port, sending(folder, protocol, port) as told:
        eventually(lambda: done(folder))

    assert heard.at[1] - heard.at[0] >= 1.0
    assert told.of("failed", "pause") == [1.0]


@PROTOCOLS
def test_what_a_partial_success_rejects_is_counted_and_not_resent(
    folder: Path, protocol: str
) -> None:
    heard = Heard(answers=[Says(rejected=2, message="bad ids")])
    put(folder, 3)
    with OVER[protocol](heard) as port, sending(folder, protocol, port) as told:
        eventually(lambda: done(folder))

    assert len(heard.requests) == 1
    assert told.items("sent") == 1
    assert told.of("dropped", "reason") == ["partial_success"]
    assert told.of("dropped", "items") == [2]
    assert told.of("dropped", "message") == ["bad ids"]


@PROTOCOLS
def test_what_is_refused_for_good_is_dropped_and_the_rest_goes_on(
    folder: Path, protocol: str
) -> None:
    heard = Heard(answers=[Says(status=INVALID[protocol], message="no")])
    put(folder, 4)
    with OVER[protocol](heard) as port, sending(folder, protocol, port, batch_items_max=2) as told:
        eventually(lambda: done(folder))

    assert heard.names == ["s2", "s3"]
    assert told.of("dropped", "reason") == ["rejected"]
    assert (told.items("dropped"), told.items("sent")) == (2, 2)


@PROTOCOLS
def test_a_refused_key_keeps_everything_until_it_is_right(
    folder: Path, protocol: str, tmp_path: Path
) -> None:
    """The file of the header is read again."""
    key = tmp_path / "key"
    key.write_text("old\n")
    heard = Heard(answers=[Says(status=WRONG_KEY[protocol])])
    put(folder, 2)
    with (
        OVER[protocol](heard) as port,
        sending(folder, protocol, port, header_files={"X-Api-Key": str(key)}) as told,
    ):
        eventually(lambda: heard.at)
        key.write_text("new\n")
        eventually(lambda: done(folder))

    assert [each["x-api-key"] for each in heard.headers] == ["old", "new"]
    assert (told.items("dropped"), told.items("sent")) == (0, 2)


def test_what_is_too_large_goes_in_halves(folder: Path) -> None:
    """gRPC servers say so by RESOURCE_EXHAUSTED; by size it is split before."""
    said = "grpc: received message larger than max (5000000 vs. 4194304)"
    heard = Heard(answers=[Says(status=8, message=said)])
    put(folder, 4)
    with OVER["grpc"](heard) as port, sending(folder, "grpc", port) as told:
        eventually(lambda: done(folder))
    assert [len(r.resource_spans[0].scope_spans[0].spans) for r in heard.requests] == [2, 2]
    assert told.items("dropped") == 0

    heard = Heard()
    put(folder, 4)
    with OVER["http"](heard) as port, sending(folder, "http", port, batch_bytes_max=100):
        eventually(lambda: done(folder))
    assert sorted(heard.names) == ["s0", "s1", "s2", "s3"]
    assert len(heard.requests) > 1


def test_one_item_that_is_too_large_is_dropped(folder: Path) -> None:
    heard = Heard(answers=[Says(status=413)])
    put(folder, 1, 1)
    put(folder, 1, 2, "next")
    with OVER["http"](heard) as port, sending(folder, "http", port) as told:
        eventually(lambda: done(folder))

    assert heard.names == ["next0"]
    assert told.of("dropped", "reason") == ["too_large"]


def test_a_request_that_breaks_the_backend_stops_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few times again, then it is the data."""
    monkeypatch.setattr("collector.forward.worker.BACKOFF_SECS", 0.01)
    heard = Heard(answers=[Says(status=500, message="oops")] * 6)
    put(folder, 1, 1)
    put(folder, 1, 2, "next")
    with OVER["http"](heard) as port, sending(folder, "http", port) as told:
        eventually(lambda: done(folder))

    assert heard.names == ["next0"]
    assert told.of("dropped", "items") == [1]
    assert len(told.of("failed", "reason")) == 5


@PROTOCOLS
def test_a_dead_backend_gets_everything_when_it_is_back(folder: Path, protocol: str) -> None:
    heard = Heard()
    with OVER[protocol](heard) as port:
        pass
    put(folder, 2)
    with sending(folder, protocol, port) as told:
        eventually(lambda: told.of("failed", "reason"))
        with OVER[protocol](heard, port):
            eventually(lambda: done(folder))

    assert heard.names == ["s0", "s1"]
    assert told.items("dropped") == 0


@PROTOCOLS
def test_a_backend_that_hangs_is_given_up_after_the_timeout(folder: Path, protocol: str) -> None:
    heard = Heard(answers=[Says(wait_secs=1.0)])
    put(folder, 1)
    with (
        OVER[protocol](heard) as port,
        sending(folder, protocol, port, timeout_secs=0.3) as told,
    ):
        eventually(lambda: done(folder))

    assert told.of("failed", "reason")[0] in ("deadline_exceeded", "connection")
    assert heard.names == ["s0"]


def test_only_what_matches_is_sent(folder: Path) -> None:
    heard = Heard()
    put(folder, 5)
    with OVER["http"](heard) as port, sending(folder, "http", port, match='name == "s3"') as told:
        eventually(lambda: done(folder))

    assert heard.names == ["s3"]
    assert told.items("skipped") == 4


def test_a_damaged_file_costs_only_itself(folder: Path) -> None:
    heard = Heard()
    folder.mkdir()
    spool.write(folder / Name(1, Signal.TRACES, 7).waiting, b"not Arrow")
    put(folder, 1, 2)
    with OVER["http"](heard) as port, sending(folder, "http", port) as told:
        eventually(lambda: done(folder))

    assert told.of("dropped", "reason") == ["unreadable"]
    assert told.of("dropped", "items") == [7]
    assert heard.names == ["s0"]


def test_what_a_killed_process_had_claimed_is_sent_first(folder: Path) -> None:
    heard = Heard()
    put(folder, 1, 1, "claimed")
    put(folder, 1, 2)
    assert spool.claim(folder, Name(1, Signal.TRACES, 1)) is not None
    with OVER["http"](heard) as port, sending(folder, "http", port):
        eventually(lambda: done(folder))

    assert heard.names == ["claimed0", "s0"]


def test_delays_are_seconds_or_dates() -> None:
    now = 1_795_000_000.0
    assert retry_after("12", now) == 12.0
    assert retry_after(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now + 30)), now) == 30
    assert retry_after("", now) is None
    assert retry_after("soon", now) is None
