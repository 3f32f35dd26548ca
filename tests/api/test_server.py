"""The API at its real boundary: a port, and the client that the command line uses."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from collector.accounting import Accounting
from collector.api.app import create_app
from collector.api.health import Health
from collector.api.metrics import Metrics
from collector.api.remote import RemoteOperations, UnreachableError
from collector.api.server import bind
from collector.api.service import Feedback, Operations, RunQuery, Selector
from collector.api.updates import FOLLOWERS_MAX, QUEUE_MAX, Updates
from collector.api.values import NotFoundError, RequestError
from collector.errors import ForbiddenError, StoreError, UnauthenticatedError
from collector.receiver.auth import KeyEntry, Keyring, Role, key_digest
from tests.api.fakes import FakeOperations, a_run, a_step
from tests.api.serving import serving


@dataclass
class Served:
    url: str
    operations: FakeOperations
    updates: Updates


KEYS = Keyring(
    [
        KeyEntry(name="tenant", sha256=key_digest("t"), roles=frozenset([Role.READ]),
                 workspace="acme"),
        KeyEntry(name="boss", sha256=key_digest("b"), roles=frozenset([Role.ADMIN])),
    ]
)  # fmt: skip


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    operations = FakeOperations(
        documents={name: a_run(name, minutes_ago=at) for at, name in enumerate(("t1", "t 2/ä"))},
        steps={"t1": [a_step("s1")]},
    )
    updates = Updates()
    app = create_app(
        operations,
        health=Health({}),
        metrics=Metrics(Accounting()),
        updates=updates,
        keyring=getattr(request, "param", None),
    )
    with serving(app, updates) as url:
        yield Served(url, operations, updates)


def test_the_answers_over_http_are_those_of_the_store(served: Served) -> None:
    """The command line prints the same with `--collector` and with `--store`."""
    remote: Operations = RemoteOperations(served.url)
    query = RunQuery(agent="support", tags={"k": "a&b=c"}, since_ns=123, limit=7)

    assert remote.runs(query) == served.operations.runs(query)
    assert served.operations.queries == [query, query]
    for run_id in ("t1", "t 2/ä", "nope"):
        assert remote.run(run_id) == served.operations.run(run_id)
    assert remote.doctor() == served.operations.doctor()
    given = Feedback(run_id="t1", name="rating", score=0.1, label="good")
    assert remote.feedback(given, actor="me")["name"] == "agentrun.feedback"
    assert served.operations.judged == [(given, "anonymous")]
    erased = remote.delete(Selector(run_ids=("t1", "t 2/ä")), actor="me")
    assert erased["runs"] == 2
    remote.delete(Selector(session="s", until_ns=99), actor="me")
    assert served.operations.deleted[-1][0] == Selector(session="s", until_ns=99)


def test_errors_over_http_are_those_of_the_store(served: Served) -> None:
    """By class, message and hint, so that the command line says the same either way."""
    remote = RemoteOperations(served.url)

    with pytest.raises(NotFoundError, match="nope"):
        remote.feedback(Feedback(run_id="nope", name="rating", score=1))
    with pytest.raises(RequestError, match="status"):
        remote.runs(RunQuery(status="dead"))
    served.operations.down = True
    with pytest.raises(StoreError, match="does not answer") as caught:
        remote.runs(RunQuery())
    assert caught.value.hint.startswith("Start it")


@pytest.mark.parametrize("served", [KEYS], indirect=True)
def test_keys_are_sent_and_their_refusal_is_said(served: Served) -> None:
    with pytest.raises(UnauthenticatedError, match="API key missing"):
        RemoteOperations(served.url).runs(RunQuery())
    with pytest.raises(ForbiddenError, match="admin"):
        RemoteOperations(served.url, api_key="t").delete(Selector(user="u"))
    RemoteOperations(served.url, api_key="b").delete(Selector(user="u"))
    assert served.operations.deleted[-1][1] == "boss"


def test_nobody_there_is_said_as_such() -> None:
    """Nothing listens; something else listens; the URL is none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no collector answers"):
            RemoteOperations(url).runs(RunQuery())
    for wrong in ("localhost:4319", "ftp://x", "http://", "http://x:port", ""):
        with pytest.raises(RequestError, match="no URL"):
            RemoteOperations(wrong)


def test_something_that_is_no_collector_is_said_as_such() -> None:
    """A proxy's HTML page or another protocol must not end in a traceback."""

    def answers(content: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(content)

            server = threading.Thread(target=serve)
            server.start()
            try:
                with pytest.raises(UnreachableError):
                    RemoteOperations(f"http://127.0.0.1:{listener.getsockname()[1]}").run("x")
            finally:
                server.join(5)

    answers(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>")
    answers(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
    answers(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n{}")
    answers(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")
    answers(b"")


def follow(remote: RemoteOperations, seen: list[str], missed: list[int]) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: seen.extend(run["run_id"] for run in remote.tail(missed.append))
    )
    thread.start()
    return thread


def wait_for(condition: object, secs: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_updates_reach_followers_and_stopping_ends_them(served: Served) -> None:
    """`runs tail`: what is published from another thread arrives; shutdown is a clean end."""
    seen: list[str] = []
    follower = follow(RemoteOperations(served.url), seen, [])
    wait_for(lambda: served.updates.wanted)

    served.updates.publish([a_run("t1"), a_run("t2")])
    served.updates.publish([a_run("t3")])
    wait_for(lambda: len(seen) == 3)
    assert seen == ["t1", "t2", "t3"]

    served.updates.close()
    follower.join(5)
    assert not follower.is_alive()
    wait_for(lambda: not served.updates.wanted)


@pytest.mark.parametrize("served", [KEYS], indirect=True)
def test_a_tenant_follows_its_own_workspace(served: Served) -> None:
    seen: list[str] = []
    follower = follow(RemoteOperations(served.url, api_key="t"), seen, [])
    wait_for(lambda: served.updates.wanted)

    served.updates.publish([a_run("theirs", workspace="other"), a_run("ours", workspace="acme")])
    wait_for(lambda: seen)
    served.updates.close()
    follower.join(5)
    assert seen == ["ours"]


def test_a_follower_that_left_is_forgotten(served: Served) -> None:
    """Closed terminals must not collect updates for ever."""
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    connection.request("GET", "/v1/events")
    response = connection.getresponse()
    assert response.getheader("content-type", "").startswith("text/event-stream")
    assert response.readline() == b": following\n"
    assert served.updates.wanted

    response.close()
    connection.close()
    wait_for(lambda: not served.updates.wanted)


def test_too_many_followers_are_told_to_come_back(served: Served) -> None:
    """Followers are bounded like every queue; the refusal is an error document."""
    parts = urlsplit(served.url)
    open_ones = []
    try:
        for _ in range(FOLLOWERS_MAX):
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
            connection.request("GET", "/v1/events")
            open_ones.append((connection, connection.getresponse()))
        with pytest.raises(StoreError, match="too many"):
            next(RemoteOperations(served.url).tail(lambda _: None))
    finally:
        for connection, response in open_ones:
            response.close()
            connection.close()


@pytest.mark.anyio
async def test_a_slow_follower_loses_the_oldest_and_hears_how_many() -> None:
    """The pipeline never waits for a terminal."""
    updates = Updates()
    with updates.follow() as follower:
        assert follower is not None
        for number in range(QUEUE_MAX + 10):
            updates.publish([{"run_id": str(number)}])
        heard = await follower.next(5)
        assert heard is not None
        runs, missed = heard
        assert missed == 10
        assert [runs[0]["run_id"], runs[-1]["run_id"]] == ["10", str(QUEUE_MAX + 9)]
        assert await follower.next(0.01) == ([], 0)
        updates.publish([{"run_id": "last"}])
        updates.close()
        assert await follower.next(5) == ([{"run_id": "last"}], 0)
        assert await follower.next(5) is None
    assert not updates.wanted


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_taken_port_is_said_with_what_to_do() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="Fix: stop what listens there"),
    ):
        bind("127.0.0.1", taken.getsockname()[1])
