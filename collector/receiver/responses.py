"""Answers to requests that were acknowledged: `Export*ServiceResponse`, whole or partial."""

from __future__ import annotations

from typing import Final

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.model import Signal
from collector.receiver.intake import Encoding, ExportResult, Refusal

MESSAGE_CHARS_MAX: Final = 2000


def export_response(signal: Signal, result: ExportResult, encoding: Encoding) -> bytes:
    """The body that acknowledges a request.

    Refused items are a partial success, also when all were refused: the request as a whole was
    understood, and resending it would not help.
    """
    if not result.refused:
        # The empty message: what all but a few requests get.
        return b"" if encoding == "protobuf" else b"{}"
    message = _partial(signal, result.refused_count, _joined(result))
    if encoding == "protobuf":
        return message.SerializeToString()
    return json_format.MessageToJson(message, indent=None).encode()


def _partial(
    signal: Signal, count: int, message: str
) -> ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse:
    match signal:
        case Signal.TRACES:
            traces = ExportTraceServiceResponse()
            traces.partial_success.rejected_spans = count
            traces.partial_success.error_message = message
            return traces
        case Signal.LOGS:
            logs = ExportLogsServiceResponse()
            logs.partial_success.rejected_log_records = count
            logs.partial_success.error_message = message
            return logs
        case Signal.METRICS:
            metrics = ExportMetricsServiceResponse()
            metrics.partial_success.rejected_data_points = count
            metrics.partial_success.error_message = message
            return metrics
        case Signal.EVENTS:
            raise ValueError("events are not exported over OTLP")


def _joined(result: ExportResult) -> str:
    joined = "; ".join(_sentence(refusal) for refusal in result.refused)
    if len(joined) > MESSAGE_CHARS_MAX:
        return joined[: MESSAGE_CHARS_MAX - 3] + "..."
    return joined


def _sentence(refusal: Refusal) -> str:
    return f"{refusal.count} refused ({refusal.reason}): {refusal.message}"
