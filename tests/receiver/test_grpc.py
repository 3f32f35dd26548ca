"""OTLP/gRPC at its port: what comes in, what is answered."""

from __future__ import annotations

import gzip
import logging
import time

import grpc
import pytest
from anyio.from_thread import BlockingPortal
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.errors import (
    ForbiddenError,
    OverloadedError,
    PermanentError,
    RetryableError,
    TooLargeError,
    UnauthenticatedError,
)
from collector.model import Signal
from collector.receiver.grpc_server import GrpcReceiver
from collector.receiver.http_server import HttpReceiver
from collector.receiver.intake import ExportResult, Refusal
from collector.receiver.settings import GrpcSettings, HttpSettings, Limits
from collector.receiver.stats import RequestKey
from tests.receiver.edge import TRACE_METHOD, Edge, eventually, serving
from tests.receiver.requests import (
    a_logs_request,
    a_metrics_request,
    a_trace_request,
    call,
    retry_secs,
    status_of,
)

LOGS_METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("method", "signal", "body"),
    [
        (TRACE_METHOD, Signal.TRACES, a_trace_request()),
        (LOGS_METHOD, Signal.LOGS, a_logs_request()),
        (METRICS_METHOD, Signal.METRICS, a_metrics_request()),
    ],
)
def test_each_service_hands_over_the_bytes_as_sent(
    edge: Edge, method: str, signal: Signal, body: bytes
) -> None:
    """Nothing is parsed at the edge: the journal may see unknown fields of newer senders."""
    assert call(edge, body, method=method) == b""

    (seen,) = edge.intake.calls
    assert (seen.signal, seen.body, seen.encoding) == (signal, body, "protobuf")
    assert seen.peer.startswith("127.0.0.1:")
    assert seen.ingest == {}
    assert edge.stats.requests == {RequestKey("grpc", signal, "protobuf", "ok"): 1}
    assert edge.stats.wire_bytes["grpc", signal.value] == len(body)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("padding", [2_000, 3_000_000])
def test_compressed_messages_are_inflated(
    edge: Edge, compression: grpc.Compression, padding: int
) -> None:
    """Small ones on the event loop, large ones (more than 4 KiB compressed) in a thread."""
    body = a_trace_request(padding)

    call(edge, body, compression=compression)

    assert edge.intake.calls[0].body == body
    assert edge.stats.wire_bytes["grpc", "traces"] < len(body) / 10
    assert edge.stats.body_bytes["grpc", "traces"] == len(body)


@pytest.mark.parametrize(
    ("method", "response", "count_of"),
    [
        (TRACE_METHOD, ExportTraceServiceResponse, "rejected_spans"),
        (LOGS_METHOD, ExportLogsServiceResponse, "rejected_log_records"),
        (METRICS_METHOD, ExportMetricsServiceResponse, "rejected_data_points"),
    ],
)
def test_refused_items_are_a_partial_success_even_when_none_is_left(
    edge: Edge, method: str, response: type, count_of: str
) -> None:
    """Resending would not help, so the request as a whole is OK, with count and reasons."""
    edge.intake.result = ExportResult(
        received=3,
        refused=(
            Refusal("bad_ids", 2, "trace id must be 16 bytes"),
            Refusal("bad_time", 1, "end before start"),
        ),
    )

    partial = response.FromString(call(edge, b"\x0a\x00", method=method)).partial_success

    assert getattr(partial, count_of) == 3
    assert partial.error_message == (
        "2 refused (bad_ids): trace id must be 16 bytes; 1 refused (bad_time): end before start"
    )
    assert edge.outcomes() == {"partial": 1}


@pytest.mark.parametrize(
    ("error", "code", "delay", "outcome"),
    [
        (PermanentError("not protobuf"), Code.INVALID_ARGUMENT, None, "malformed"),
        (TooLargeError("too deep"), Code.RESOURCE_EXHAUSTED, None, "too_large"),
        (UnauthenticatedError("who?"), Code.UNAUTHENTICATED, None, "unauthenticated"),
        (ForbiddenError("no"), Code.PERMISSION_DENIED, None, "forbidden"),
        (OverloadedError("full", "journal", 2.5), Code.RESOURCE_EXHAUSTED, 2.5, "journal"),
        (RetryableError("down", "store", 1.0), Code.UNAVAILABLE, 1.0, "store"),
    ],
)
def test_errors_say_whether_to_resend(
    edge: Edge, error: Exception, code: grpc.StatusCode, delay: float | None, outcome: str
) -> None:
    """RESOURCE_EXHAUSTED is resent by SDKs only with RetryInfo (OTLP specification, Failures)."""
    edge.intake.error = error

    with pytest.raises(grpc.RpcError) as caught:
        call(edge, a_trace_request())

    assert caught.value.code() is code
    assert caught.value.details() == str(error)
    status = status_of(caught.value)
    assert (status.code, status.message) == (code.value[0], str(error))
    assert retry_secs(status) == delay
    assert edge.outcomes() == {outcome: 1}


def test_a_bug_is_answered_as_resend_and_logged_once_per_class_without_its_text(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise 6: one bad request never stops the process; its text may quote content."""
    edge.intake.error = KeyError("sk-secret prompt text")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                call(edge, a_trace_request())
            assert caught.value.code() is Code.UNAVAILABLE
            assert retry_secs(status_of(caught.value)) == 5.0
            assert "sk-secret" not in caught.value.details()

    (line,) = [record.getMessage() for record in caplog.records]
    assert "request_failed error=KeyError" in line
    assert "edge.py" in line
    assert "sk-secret" not in caplog.text
    assert edge.stats.unexpected == {"KeyError": 3}
    edge.intake.error = None
    assert call(edge, a_trace_request()) == b""


def test_a_long_message_still_fits_into_trailers(edge: Edge) -> None:
    """Clients refuse more than 8 KiB of trailers and would see INTERNAL instead of the reason."""
    edge.intake.error = PermanentError("é" * 5000)

    with pytest.raises(grpc.RpcError) as caught:
        call(edge, a_trace_request())

    assert caught.value.code() is Code.INVALID_ARGUMENT
    assert caught.value.details().startswith("ééé")


@pytest.mark.parametrize(
    "method", ["/opentelemetry.proto.collector.trace.v1.TraceService/Import", "/other.Service/Do"]
)
def test_unknown_methods_are_unimplemented(edge: Edge, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(edge, b"", method=method)

    assert caught.value.code() is Code.UNIMPLEMENTED


def test_size_limits_hold_on_the_wire_and_after_inflating(portal: BlockingPortal) -> None:
    """A bomb is stopped while inflating; neither refusal carries RetryInfo, so nobody resends."""
    limits = Limits(request_bytes_max=100_000, decompressed_bytes_max=1_000_000)
    with serving(portal, limits=limits) as edge:
        for body, compression in (
            (a_trace_request(200_000), None),
            (a_trace_request(50_000_000), grpc.Compression.Gzip),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(edge, body, compression=compression)
            assert caught.value.code() is Code.RESOURCE_EXHAUSTED
        assert "decompressed_bytes_max" in caught.value.details()
        assert retry_secs(status_of(caught.value)) is None

        assert edge.intake.calls == []
        assert edge.outcomes() == {"too_large": 1}
        assert edge.stats.grpc_calls == 2
        assert edge.stats.in_flight_bytes == 0
        call(edge, a_trace_request(900_000), compression=grpc.Compression.Gzip)
        assert len(edge.intake.calls) == 1


WHOLE = gzip.compress(a_trace_request(), mtime=0)


@pytest.mark.parametrize("body", [WHOLE[:-9], WHOLE[:20] + b"\xff" * 20, WHOLE + b"more"])
def test_damaged_compression_is_a_permanent_error(edge: Edge, body: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(edge, body)

    assert caught.value.code() is Code.INVALID_ARGUMENT
    assert edge.outcomes() == {"bad_coding": 1}


def test_requests_beyond_the_bytes_held_are_told_to_wait(portal: BlockingPortal) -> None:
    """Memory at the edge is bounded in bytes; a lone request passes whatever the bound."""
    with serving(portal, limits=Limits(inflight_bytes_max=100_000)) as edge:
        edge.intake.wait_secs = 1.0
        with grpc.insecure_channel(edge.grpc_target) as channel:
            first = channel.unary_unary(TRACE_METHOD).future(a_trace_request(150_000), timeout=5)
            while not edge.intake.running:
                assert not first.done()
                time.sleep(0.005)
            with pytest.raises(grpc.RpcError) as caught:
                call(edge, a_trace_request(), channel=channel)
            assert caught.value.code() is Code.RESOURCE_EXHAUSTED
            assert retry_secs(status_of(caught.value)) == 1.0
            assert first.result() == b""
        assert edge.outcomes() == {"inflight_bytes": 1, "ok": 1}
        assert edge.stats.in_flight_bytes == edge.stats.in_flight == 0


def test_other_services_share_the_port(portal: BlockingPortal) -> None:
    """The control service joins the OTLP port (DESIGN section 7) as a generic handler."""

    async def echo(request: bytes, context: object) -> bytes:
        return request[::-1]

    handler = grpc.method_handlers_generic_handler(
        "agentrun.test.v1.Echo", {"Do": grpc.unary_unary_rpc_method_handler(echo)}
    )
    with serving(portal, extra_handlers=[handler]) as edge:
        assert call(edge, b"abc", method="/agentrun.test.v1.Echo/Do") == b"cba"
        assert call(edge, a_trace_request()) == b""


def test_a_second_collector_cannot_take_the_same_port(portal: BlockingPortal, edge: Edge) -> None:
    """With SO_REUSEPORT, gRPC's default, two collectors would silently share the traffic."""
    with pytest.raises(OSError, match=f"OTLP/gRPC cannot listen on 127.0.0.1:{edge.grpc_port}"):
        portal.call(GrpcReceiver(GrpcSettings(port=edge.grpc_port), edge.exchange).serve)
    with pytest.raises(OSError, match=f"OTLP/HTTP cannot listen on 127.0.0.1:{edge.http_port}"):
        portal.call(HttpReceiver(HttpSettings(port=edge.http_port), edge.exchange).serve)


def test_a_client_that_gives_up_leaves_nothing_held(edge: Edge) -> None:
    """The intake's call is cancelled; the process and other calls go on."""
    edge.intake.wait_secs = 5.0
    with pytest.raises(grpc.RpcError) as caught:
        call(edge, a_trace_request(), timeout=0.3)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    assert eventually(lambda: edge.intake.running == 0)

    edge.intake.wait_secs = 0.0
    assert call(edge, a_trace_request()) == b""
    assert edge.outcomes() == {"ok": 1}
    assert edge.stats.grpc_calls == 2
    assert edge.stats.in_flight == edge.stats.in_flight_bytes == 0
