"""Export requests as an instrumented agent sends them, built span by span."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SECOND: Final = 1_000_000_000
START_NS: Final = time.time_ns() - 60 * SECOND

AGENT: Final = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
CHAT: Final = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
"""At the built-in price: 0.15 and 0.60 USD per million tokens, 0.00021 USD."""
TOOL: Final = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}

NAMES: Final = {"invoke_agent": "gen_ai.agent.name", "execute_tool": "gen_ai.tool.name"}


def trace_id(name: str) -> str:
    """A trace id for a test's run; as random to the eye as real ones."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def span_id(trace: str, number: int) -> str:
    return hashlib.md5(f"{trace}/{number}".encode(), usedforsecurity=False).hexdigest()[:16]


def a_value(value: object) -> AnyValue:
    """A Python value as an AnyValue."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            found = AnyValue()
            found.kvlist_value.values.extend(attributes(value))
            return found
        case list() | tuple():
            found = AnyValue()
            found.array_value.values.extend(a_value(each) for each in value)
            return found
    raise TypeError(f"no AnyValue holds {type(value)}")


def attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=a_value(value)) for key, value in values.items()]


def a_span(
    trace: str,
    number: int,
    values: Mapping[str, Any],
    *,
    parent: int | None = 0,
    name: str = "",
    start_ns: int = START_NS,
    secs: float = 1.0,
    error: str | None = None,
) -> Span:
    """Span `number` of a trace; number 0 is the root, and the parent of the others."""
    operation = values.get("gen_ai.operation.name", "")
    target = values.get(NAMES.get(operation, "gen_ai.request.model"), "")
    begin = start_ns + number * SECOND
    span = Span(
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex(span_id(trace, number)),
        name=name or f"{operation} {target}".strip() or f"span {number}",
        start_time_unix_nano=begin,
        end_time_unix_nano=begin + round(secs * SECOND),
        attributes=attributes(values),
    )
    if number and parent is not None:
        span.parent_span_id = bytes.fromhex(span_id(trace, parent))
    if error is not None:
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = error
    return span


def a_run(
    trace: str, root: Mapping[str, Any] | None = None, *, start_ns: int = START_NS
) -> list[Span]:
    """A run of one agent: a model call, a tool call, a model call; the root ends last."""
    return [
        a_span(trace, 1, CHAT, start_ns=start_ns),
        a_span(trace, 2, TOOL, start_ns=start_ns),
        a_span(trace, 3, CHAT, start_ns=start_ns),
        a_span(trace, 0, {**AGENT, **(root or {})}, start_ns=start_ns, secs=5),
    ]


def traces(
    spans: Iterable[Span], *, resource: Mapping[str, Any] | None = None, scope: str = "tests"
) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(attributes(resource or {"service.name": "e2e"}))
    scoped = group.scope_spans.add()
    scoped.scope.name = scope
    scoped.spans.extend(spans)
    return request


def a_record(
    event: str,
    values: Mapping[str, Any],
    *,
    trace: str = "",
    number: int | None = None,
    body: object = None,
    at_ns: int = START_NS + SECOND,
) -> LogRecord:
    """A log record; within span `number` of a trace, of the trace, or of none."""
    record = LogRecord(time_unix_nano=at_ns, event_name=event, attributes=attributes(values))
    if trace:
        record.trace_id = bytes.fromhex(trace)
    if number is not None:
        record.span_id = bytes.fromhex(span_id(trace, number))
    if body is not None:
        record.body.CopyFrom(a_value(body))
    return record


def logs(
    records: Iterable[LogRecord], *, resource: Mapping[str, Any] | None = None
) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(attributes(resource or {"service.name": "e2e"}))
    group.scope_logs.add().log_records.extend(records)
    return request


def metrics(points: int) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="runs")
    for number in range(points):
        metric.gauge.data_points.add(time_unix_nano=START_NS, as_int=number)
    return request


Request = ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest


def as_json(request: Request) -> bytes:
    """The request in OTLP/JSON: as protobuf's JSON, but ids are hex (OTLP 1.x, "JSON Protobuf
    Encoding")."""
    document = json_format.MessageToDict(request)
    _hex_ids(document)
    return json.dumps(document).encode()


def _hex_ids(value: Any) -> None:
    import base64

    if isinstance(value, list):
        for each in value:
            _hex_ids(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in ("traceId", "spanId", "parentSpanId"):
                value[key] = base64.b64decode(each).hex()
            else:
                _hex_ids(each)
