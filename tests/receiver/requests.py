"""Export requests to send, and calls that send them."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.receiver.edge import TRACE_METHOD, Edge

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def a_trace_request(padding: int = 0) -> bytes:
    """One span; `padding` bytes of attribute text make it as large as a test wants."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"\x01" * 16, b"\x02" * 8, "agent.run"
    span.start_time_unix_nano, span.end_time_unix_nano = (
        1_700_000_000 * 10**9,
        1_700_000_001 * 10**9,
    )
    if padding:
        span.attributes.add(key="padding").value.string_value = "x" * padding
    return request.SerializeToString()


def a_logs_request() -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    return request.SerializeToString()


def a_metrics_request() -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.gauge.data_points.add(as_int=1)
    return request.SerializeToString()


def call(
    edge: Edge,
    body: bytes,
    *,
    method: str = TRACE_METHOD,
    metadata: Sequence[tuple[str, str]] = (),
    compression: grpc.Compression | None = None,
    channel: grpc.Channel | None = None,
    timeout: float = 10.0,
) -> bytes:
    """One raw gRPC call.  Raises grpc.RpcError."""
    own = channel or grpc.insecure_channel(
        edge.grpc_target, options=[("grpc.max_send_message_length", -1)]
    )
    try:
        answer: bytes = own.unary_unary(method)(
            body, metadata=tuple(metadata), compression=compression, timeout=timeout
        )
        return answer
    finally:
        if channel is None:
            own.close()


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    """The `google.rpc.Status` in a failed call's trailers."""
    found = dict(error.trailing_metadata())["grpc-status-details-bin"]
    return status_pb2.Status.FromString(found)


def retry_secs(status: status_pb2.Status) -> float | None:
    """The delay in a status's RetryInfo, or `None`."""
    for detail in status.details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToNanoseconds()) / 1e9
    return None
