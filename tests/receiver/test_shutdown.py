"""What senders see while the collector stops: resend, never a wrong acknowledgment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import httpx
import pytest
from anyio.from_thread import BlockingPortal

from tests.receiver.edge import Edge, eventually, serving
from tests.receiver.requests import JSON, a_trace_request, call, retry_secs, status_of


@pytest.fixture
def stopping(portal: BlockingPortal) -> Iterator[Edge]:
    """Receivers of this test alone, whose intake takes half a second."""
    with serving(portal) as edge:
        edge.intake.wait_secs = 0.5
        yield edge


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def post(edge: Edge) -> httpx.Response:
    return httpx.post(
        edge.http_url + "/v1/traces", content=b"{}", headers={"content-type": JSON}, timeout=10
    )


def is_closed(edge: Edge) -> bool:
    """Whether nobody listens on the HTTP port any more."""
    try:
        post(edge)
    except httpx.TransportError:
        return True
    return False


def in_flight(edge: Edge, pool: ThreadPoolExecutor) -> tuple[Future[httpx.Response], Future[bytes]]:
    """One request on each port that the intake has begun."""
    futures = pool.submit(post, edge), pool.submit(call, edge, a_trace_request())
    assert eventually(lambda: edge.intake.running == 2)
    return futures


def test_refusing_answers_new_requests_and_finishes_those_in_flight(
    stopping: Edge, pool: ThreadPoolExecutor
) -> None:
    """UNAVAILABLE / 503 with a delay while shutting down (OTLP specification, Failures)."""
    over_http, over_grpc = in_flight(stopping, pool)

    stopping.portal.call(stopping.exchange.refuse)

    answer = post(stopping)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "shutting down" in answer.json()["message"]
    with pytest.raises(grpc.RpcError) as caught:
        call(stopping, a_trace_request())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_secs(status_of(caught.value)) == 2.0
    assert over_http.result(5).status_code == 200
    assert over_grpc.result(5) == b""
    assert stopping.outcomes() == {"ok": 2, "stopping": 2}


def test_stopping_lets_requests_in_flight_end_within_the_grace_period(
    stopping: Edge, pool: ThreadPoolExecutor
) -> None:
    futures = in_flight(stopping, pool)

    stopping.stop(5.0)

    over_http, over_grpc = futures
    assert over_http.result(5).status_code == 200
    assert over_grpc.result(5) == b""
    with pytest.raises(httpx.ConnectError):
        post(stopping)
    with pytest.raises(grpc.RpcError) as caught:
        call(stopping, a_trace_request())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_past_the_grace_period_requests_are_told_to_resend(
    stopping: Edge, pool: ThreadPoolExecutor
) -> None:
    """They were not acknowledged; the codes are ones that exporters resend."""
    stopping.intake.wait_secs = 30.0
    over_http, over_grpc = in_flight(stopping, pool)
    started = time.monotonic()

    stopping.stop(0.2)

    assert time.monotonic() - started < 5
    answer = over_http.result(5)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    with pytest.raises(grpc.RpcError) as caught:
        over_grpc.result(5)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert eventually(lambda: stopping.intake.running == 0)
    assert stopping.stats.in_flight == stopping.stats.in_flight_bytes == 0


def test_cancelling_the_task_group_closes_the_ports(
    portal: BlockingPortal, pool: ThreadPoolExecutor
) -> None:
    """The last resort of the application's shutdown ends both servers, in-flight requests too."""
    with serving(portal) as edge:
        edge.intake.wait_secs = 30.0
        over_http, over_grpc = in_flight(edge, pool)
        for done in edge.done:
            done.cancel()
        assert over_http.result(5).status_code == 503
        with pytest.raises(grpc.RpcError):
            over_grpc.result(5)
        assert eventually(lambda: is_closed(edge))
        edge.done = ()
