"""OTLP/HTTP at its port: what comes in, what is answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from google.rpc import status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.errors import OverloadedError, PermanentError, RetryableError, TooLargeError
from collector.model import Signal
from collector.receiver import http_app
from collector.receiver.intake import ExportResult, Refusal
from collector.receiver.settings import Limits
from collector.receiver.stats import RequestKey
from tests.receiver.edge import Edge, eventually, serving
from tests.receiver.requests import (
    JSON,
    PROTOBUF,
    a_logs_request,
    a_metrics_request,
    a_trace_request,
    retry_secs,
)

JSON_BODY = b'{"resourceSpans":[]}'


def post(
    edge: Edge, body: bytes, path: str = "/v1/traces", media_type: str = PROTOBUF, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(
        edge.http_url + path, content=body, headers={"content-type": media_type, **named}
    )


def raw(edge: Edge, sent: bytes, timeout: float = 5.0) -> bytes:
    """What the server answers to these bytes until it closes, or `timeout` seconds of silence."""
    with socket.create_connection(("127.0.0.1", edge.http_port), timeout=timeout) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize(
    ("path", "signal", "body", "media_type"),
    [
        ("/v1/traces", Signal.TRACES, a_trace_request(), PROTOBUF),
        ("/v1/logs", Signal.LOGS, a_logs_request(), PROTOBUF),
        ("/v1/metrics", Signal.METRICS, a_metrics_request(), PROTOBUF),
        ("/v1/traces", Signal.TRACES, JSON_BODY, JSON),
        ("/v1/traces/", Signal.TRACES, JSON_BODY, "Application/JSON; charset=utf-8"),
        ("/api/public/otel/v1/traces", Signal.TRACES, a_trace_request(), PROTOBUF),
    ],
)
def test_each_path_hands_over_the_bytes_and_answers_in_kind(
    edge: Edge, path: str, signal: Signal, body: bytes, media_type: str
) -> None:
    """The last path is where Langfuse's exporters post."""
    answer = post(edge, body, path, media_type)

    is_json = media_type != PROTOBUF
    assert answer.status_code == 200
    assert answer.headers["content-type"] == (JSON if is_json else PROTOBUF)
    assert answer.content == (b"{}" if is_json else b"")
    (seen,) = edge.intake.calls
    encoding = "json" if is_json else "protobuf"
    assert (seen.signal, seen.body, seen.encoding) == (signal, body, encoding)
    assert seen.peer.startswith("127.0.0.1:")
    assert edge.stats.requests == {RequestKey("http", signal, encoding, "ok"): 1}
    assert edge.stats.wire_bytes["http", signal.value] == len(body)


@pytest.mark.parametrize("padding", [2_000, 3_000_000])
@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:500]) + gzip.compress(body[500:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("identity", bytes),
    ],
)
def test_content_encodings(edge: Edge, coding: str, compress: object, padding: int) -> None:
    """Also several gzip members in a row, and the raw deflate that some clients send."""
    body = a_trace_request(padding)

    answer = post(edge, compress(body), content_encoding=coding)  # type: ignore[operator]

    assert answer.status_code == 200
    assert edge.intake.calls[0].body == body
    assert edge.stats.body_bytes["http", "traces"] == len(body)


def test_chunked_bodies_are_taken(edge: Edge) -> None:
    """No Content-Length is needed (so there is no 411)."""

    def pieces() -> Iterator[bytes]:
        yield from (JSON_BODY[:5], JSON_BODY[5:])

    answer = httpx.post(
        edge.http_url + "/v1/traces", content=pieces(), headers={"content-type": JSON}
    )

    assert answer.status_code == 200
    assert edge.intake.calls[0].body == JSON_BODY


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_partial_success_in_the_encoding_of_the_request(edge: Edge, media_type: str) -> None:
    edge.intake.result = ExportResult(received=2, refused=(Refusal("bad_ids", 2, "16 bytes"),))

    answer = post(edge, JSON_BODY, media_type=media_type)

    assert answer.status_code == 200
    if media_type == JSON:
        # int64 is a string in proto3 JSON.
        assert answer.json() == {
            "partialSuccess": {
                "rejectedSpans": "2",
                "errorMessage": "2 refused (bad_ids): 16 bytes",
            }
        }
    else:
        partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert partial.rejected_spans == 2


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("error", "http_code", "code", "delay", "retry_after"),
    [
        (PermanentError("not OTLP"), 400, 3, None, None),
        (TooLargeError("too deep"), 413, 8, None, None),
        (OverloadedError("full", "journal", 2.5), 429, 8, 2.5, "3"),
        (RetryableError("down", "store", 0.2), 503, 14, 0.2, "1"),
        (ZeroDivisionError("secret"), 503, 14, 5.0, "5"),
    ],
)
def test_errors_are_a_status_in_the_encoding_of_the_request(
    edge: Edge,
    error: Exception,
    http_code: int,
    code: int,
    delay: float | None,
    retry_after: str | None,
    media_type: str,
) -> None:
    """429 and 503 carry Retry-After in whole seconds, rounded up, and RetryInfo in the body."""
    edge.intake.error = error

    answer = post(edge, JSON_BODY, media_type=media_type)

    assert answer.status_code == http_code
    assert answer.headers["content-type"] == media_type
    assert answer.headers.get("retry-after") == retry_after
    if media_type == JSON:
        document = answer.json()
        assert document["code"] == code
        found = document.get("details", [{}])[0].get("retryDelay")
        assert found == (None if delay is None else f"{delay:.3f}s".replace(".000", ""))
        message = document["message"]
    else:
        status = status_pb2.Status.FromString(answer.content)
        assert (status.code, retry_secs(status)) == (code, delay)
        message = status.message
    if isinstance(error, ZeroDivisionError):
        assert "secret" not in message
        assert "ZeroDivisionError" in message
    else:
        assert message == str(error)


@pytest.mark.parametrize(
    ("method", "path", "headers", "http_code", "says"),
    [
        ("POST", "/", {"content-type": JSON}, 404, "/v1/traces"),
        ("POST", "/v1/trace", {"content-type": JSON}, 404, "'/v1/trace'"),
        ("GET", "/v1/traces", {}, 405, "takes POST"),
        ("OPTIONS", "/v1/traces", {}, 405, "takes POST"),
        ("POST", "/v1/traces", {}, 415, "Content-Type must be"),
        ("POST", "/v1/traces", {"content-type": "text/plain"}, 415, "'text/plain'"),
        (
            "POST",
            "/v1/traces",
            {"content-type": JSON, "content-encoding": "br"},
            415,
            "Content-Encoding must be gzip",
        ),
    ],
)
def test_requests_that_are_not_otlp(
    edge: Edge, method: str, path: str, headers: dict[str, str], http_code: int, says: str
) -> None:
    """An unknown media type is answered in JSON.  No answer has CORS headers: a page's preflight
    fails (DESIGN section 10)."""
    answer = httpx.request(method, edge.http_url + path, content=JSON_BODY, headers=headers)

    assert answer.status_code == http_code
    assert says in answer.json()["message"]
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers.get("allow") == ("POST" if http_code == 405 else None)
    assert edge.intake.calls == []
    assert sum(edge.outcomes().values()) == 1


@pytest.fixture(scope="module")
def tight(portal: BlockingPortal) -> Iterator[Edge]:
    """Limits of 100 kB sent and 1 MB inflated."""
    limits = Limits(request_bytes_max=100_000, decompressed_bytes_max=1_000_000)
    with serving(portal, limits=limits, body_secs=0.3, head_secs=0.3) as edge:
        yield edge


@pytest.mark.parametrize("chunked", [False, True])
def test_oversize_bodies_are_413_and_the_sender_gets_to_read_it(tight: Edge, chunked: bool) -> None:
    """The rest of the body is read away: a connection closed while the sender writes would look to
    it like a network fault, and it would resend."""
    body = b"x" * 20_000_000
    with httpx.Client() as client:
        answer = client.post(
            tight.http_url + "/v1/traces",
            content=iter([body[:50_000], body]) if chunked else body,
            headers={"content-type": JSON},
        )
        assert answer.status_code == 413
        assert "request_bytes_max" in answer.json()["message"]
        again = client.post(
            tight.http_url + "/v1/traces", content=JSON_BODY, headers={"content-type": JSON}
        )
        assert again.status_code == 200
    assert tight.stats.in_flight_bytes == 0


def test_a_sender_that_waits_for_100_continue_is_refused_before_it_sends(tight: Edge) -> None:
    """curl does for bodies over 1 MB."""
    answer = raw(
        tight,
        b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 5000000\r\nexpect: 100-continue\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_a_zip_bomb_is_stopped_while_inflating(tight: Edge) -> None:
    """100 kB that would be 90 MB: never much more than the limit (1 MB) is in memory."""
    bomb = gzip.compress(b"\x0a" * 90_000_000)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        answer = post(tight, bomb, content_encoding="gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert answer.status_code == 413
    assert b"decompressed_bytes_max" in answer.content
    assert peak < 4_000_000
    assert tight.stats.in_flight_bytes == 0


@pytest.mark.parametrize("body", [gzip.compress(JSON_BODY, mtime=0)[:-3], b"\x1f\x8bnonsense", b""])
def test_damaged_compression_is_400(edge: Edge, body: bytes) -> None:
    answer = post(edge, body, media_type=JSON, content_encoding="gzip")

    assert answer.status_code == 400
    assert edge.outcomes() == {"bad_coding": 1}


def test_a_body_that_does_not_arrive_is_408(tight: Edge) -> None:
    """A stalled sender does not keep its connection and what it sent."""
    started = time.monotonic()
    answer = raw(
        tight,
        b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 100\r\n\r\n{",
    )

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 2
    assert tight.stats.in_flight == tight.stats.in_flight_bytes == 0


def test_heads_are_bounded_in_size_and_time(tight: Edge) -> None:
    """uvicorn bounds neither: one header that never ends would fill memory."""
    endless = b"POST /v1/traces HTTP/1.1\r\nx-long: " + b"x" * 100_000
    assert raw(tight, endless).startswith(b"HTTP/1.1 431 ")
    started = time.monotonic()
    assert raw(tight, b"POST /v1/traces HT") == b""
    assert raw(tight, b"") == b""
    assert time.monotonic() - started < 4


def test_many_requests_on_one_connection_are_not_taken_for_a_long_head(edge: Edge) -> None:
    """Heads and bodies that arrive in one read count apart, also when requests are pipelined."""
    body = JSON_BODY + b" " * 40_000
    one = (
        b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n" % len(body)
    )
    answer = raw(edge, (one + b"\r\n" + body) * 5 + one + b"connection: close\r\n\r\n" + body)

    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert len(edge.intake.calls) == 6


def test_a_client_that_disconnects_in_its_body_is_counted_and_nothing_is_held(edge: Edge) -> None:
    with socket.create_connection(("127.0.0.1", edge.http_port)) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
    assert eventually(lambda: bool(edge.stats.requests))

    assert edge.outcomes() == {"disconnected": 1}
    assert edge.intake.calls == []
    assert edge.stats.in_flight == edge.stats.in_flight_bytes == 0
    assert post(edge, JSON_BODY, media_type=JSON).status_code == 200


def test_garbage_instead_of_http_is_400_and_the_server_goes_on(edge: Edge) -> None:
    assert raw(edge, b"\x16\x03\x01 not http\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert post(edge, JSON_BODY, media_type=JSON).status_code == 200


@pytest.mark.parametrize("media_type", [JSON, PROTOBUF])
@pytest.mark.parametrize(
    ("headers", "http_code"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:4318"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:4318"}, 200),
        ({"host": "app.localhost"}, 200),
        ({"host": "[::1]:4318"}, 200),
        ({"host": "192.168.1.4:4318"}, 200),
    ],
)
def test_a_web_page_cannot_post_to_a_laptops_collector(
    edge: Edge, headers: dict[str, str], http_code: int, media_type: str
) -> None:
    """Cross-origin requests carry an Origin, rebound ones a Host that someone else controls."""
    answer = post(edge, JSON_BODY, media_type=media_type, **headers)

    assert answer.status_code == http_code
    assert len(edge.intake.calls) == (http_code == 200)


def test_hosts_and_origins_can_be_allowed(portal: BlockingPortal) -> None:
    with serving(
        portal, allowed_hosts=("otel.example",), allowed_origins=("https://app.example",)
    ) as edge:
        answer = post(
            edge, JSON_BODY, media_type=JSON, host="otel.example", origin="https://app.example"
        )
        assert answer.status_code == 200


def test_what_is_thrown_away_of_a_refused_body_is_bounded(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that never ends its refused body is cut off."""
    monkeypatch.setattr(http_app, "DISCARD_BYTES_MAX", 100_000)
    with socket.create_connection(("127.0.0.1", edge.http_port), timeout=5) as connection:
        connection.sendall(
            b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 1000000000\r\n\r\n"
        )
        sent = 0
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 100_000_000:
                sent += connection.send(b"x" * 65536)
    assert sent < 50_000_000


def test_two_hundred_requests_at_once(edge: Edge) -> None:
    """All are held at once, all are answered, none waits for another."""
    edge.intake.wait_secs = 0.5
    limits = httpx.Limits(max_connections=200)

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(limits=limits, timeout=20) as client:
            return [r.status_code for r in await _gather(client, edge.http_url + "/v1/traces", 200)]

    codes = edge.portal.call(all_at_once)

    assert codes == [200] * 200
    assert edge.intake.running_max > 100
    assert edge.outcomes() == {"ok": 200}


async def _gather(client: httpx.AsyncClient, url: str, count: int) -> list[httpx.Response]:
    headers = {"content-type": JSON}
    return await asyncio.gather(
        *(client.post(url, content=json.dumps({"n": n}), headers=headers) for n in range(count))
    )
