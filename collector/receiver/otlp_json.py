"""OTLP/JSON: a request as protobuf bytes, and the requests in a file.

JSON goes through the official classes into protobuf, so that there is one decoder; it is the slow
encoding anyway.  Tolerated beyond the specification, because exporters send it: snake_case names,
64-bit integers as numbers, enums by name, null for absent, unknown fields.  Ids are hex and bytes
base64.

Source: opentelemetry.io/docs/specs/otlp, section JSON Protobuf Encoding.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.errors import PermanentError
from collector.model import Signal
from collector.receiver.intake import Encoding
from collector.receiver.otlp_salvage import (
    LENGTH,
    BadItem,
    WireError,
    fields,
    items,
    read_varint,
    signal_of,
    wrong_signal,
)

ROOTS: Final = {
    "resourceSpans": Signal.TRACES,
    "resource_spans": Signal.TRACES,
    "resourceLogs": Signal.LOGS,
    "resource_logs": Signal.LOGS,
    "resourceMetrics": Signal.METRICS,
    "resource_metrics": Signal.METRICS,
}
METRIC_DATA: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")

Json = Mapping[str, Any]


def parse(body: bytes) -> Json:
    """A JSON object.  Raises PermanentError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PermanentError(
            f"the request is no JSON: {error}. Fix: send OTLP/JSON, or say application/x-protobuf.",
        ) from error
    if not isinstance(document, dict):
        raise PermanentError(f"the request is a JSON {type(document).__name__}, not an object")
    return document


def signals_in(document: Json) -> list[Signal]:
    """What a document holds, by its root fields, in a fixed order."""
    found = {ROOTS[key] for key in document if key in ROOTS}
    return [signal for signal in Signal if signal in found]


def _root(document: Json, expected: Signal) -> list[Json]:
    found = signals_in(document)
    if found and expected not in found:
        raise wrong_signal(expected, found[0])
    return objects(document, {Signal.TRACES: "resourceSpans", Signal.LOGS: "resourceLogs",
                              Signal.METRICS: "resourceMetrics"}[expected])  # fmt: skip


def to_protobuf(body: bytes, signal: Signal, depth_max: int) -> tuple[bytes, Counter[str]]:
    """A request as protobuf, and reason -> items left out because they cannot be written as such.

    Raises PermanentError where the outer structure is not OTLP.
    """
    refused: Counter[str] = Counter()
    item_field, read = {
        Signal.TRACES: ("spans", read_span),
        Signal.LOGS: ("logRecords", read_log),
    }[signal]
    scoped_field = {Signal.TRACES: "scopeSpans", Signal.LOGS: "scopeLogs"}[signal]
    request: Any = (
        ExportTraceServiceRequest() if signal is Signal.TRACES else ExportLogsServiceRequest()
    )
    groups = request.resource_spans if signal is Signal.TRACES else request.resource_logs
    try:
        for source in _root(parse(body), signal):
            group = groups.add()
            bad_resource = attempt(read_resource, group, source, depth_max)
            scoped_groups = group.scope_spans if signal is Signal.TRACES else group.scope_logs
            for scoped_source in objects(source, scoped_field):
                scoped = scoped_groups.add()
                bad_scope = bad_resource or attempt(read_scope, scoped, scoped_source, depth_max)
                target = scoped.spans if signal is Signal.TRACES else scoped.log_records
                for item in elements(scoped_source, item_field):
                    reason = attempt(read, target.add(), item, depth_max)
                    if bad_scope or reason:
                        refused[bad_scope or reason] += 1
                        del target[-1]
                if bad_scope:
                    del scoped_groups[-1]
            if bad_resource:
                del groups[-1]
    except BadItem as error:
        raise PermanentError(f"the request is no OTLP/JSON {signal} export request") from error
    return request.SerializeToString(), refused


def attempt(read: Callable[[Any, Any, int], None], target: Any, source: Any, depth: int) -> str:
    """The reason why `source` cannot be read, "" when it can."""
    try:
        read(target, source, depth)
    except BadItem as error:
        return error.reason
    except (TypeError, ValueError, AttributeError, OverflowError):
        return "malformed"  # Another type than the field has, or out of its range.
    return ""


def read_resource(target: Any, source: Json, depth: int) -> None:
    attributes(target.resource.attributes, get(source, "resource") or {}, depth)
    target.schema_url = get(source, "schemaUrl") or ""


def read_scope(target: Any, source: Json, depth: int) -> None:
    scope = get(source, "scope") or {}
    target.scope.name = get(scope, "name") or ""
    target.scope.version = get(scope, "version") or ""
    attributes(target.scope.attributes, scope, depth)
    target.schema_url = get(source, "schemaUrl") or ""


def read_span(span: Any, source: Json, depth: int) -> None:
    span.trace_id, span.span_id = hex_bytes(source, "traceId"), hex_bytes(source, "spanId")
    span.parent_span_id = hex_bytes(source, "parentSpanId")
    span.trace_state = get(source, "traceState") or ""
    span.name = get(source, "name") or ""
    span.kind = enum(get(source, "kind"), Span.SpanKind)
    span.start_time_unix_nano = integer(get(source, "startTimeUnixNano"))
    span.end_time_unix_nano = integer(get(source, "endTimeUnixNano"))
    span.flags = integer(get(source, "flags"))
    attributes(span.attributes, source, depth)
    for item in objects(source, "events"):
        event = span.events.add(name=get(item, "name") or "")
        event.time_unix_nano = integer(get(item, "timeUnixNano"))
        attributes(event.attributes, item, depth)
    for item in objects(source, "links"):
        link = span.links.add(trace_state=get(item, "traceState") or "")
        link.trace_id, link.span_id = hex_bytes(item, "traceId"), hex_bytes(item, "spanId")
        attributes(link.attributes, item, depth)
    status = get(source, "status") or {}
    span.status.code = enum(get(status, "code"), Status.StatusCode)
    span.status.message = get(status, "message") or ""


def read_log(log: Any, source: Json, depth: int) -> None:
    log.time_unix_nano = integer(get(source, "timeUnixNano"))
    log.observed_time_unix_nano = integer(get(source, "observedTimeUnixNano"))
    log.severity_number = enum(get(source, "severityNumber"), SeverityNumber)
    log.severity_text = get(source, "severityText") or ""
    log.trace_id, log.span_id = hex_bytes(source, "traceId"), hex_bytes(source, "spanId")
    log.flags = integer(get(source, "flags"))
    log.event_name = get(source, "eventName") or ""
    body = get(source, "body")
    if body is not None:
        any_value(log.body, body, depth)
    attributes(log.attributes, source, depth)


def get(source: Json, name: str) -> Any:
    """A field by its camelCase name or its protobuf name."""
    value = source.get(name)
    return value if value is not None else source.get(SNAKE[name])


NAMES: Final = (
    "arrayValue", "attributes", "body", "boolValue", "bytesValue", "code", "dataPoints",
    "doubleValue", "endTimeUnixNano", "eventName", "events", "exponentialHistogram", "flags",
    "gauge", "histogram", "intValue", "key", "kind", "kvlistValue", "links", "logRecords",
    "message", "metrics", "name", "observedTimeUnixNano", "parentSpanId", "resource",
    "resourceLogs", "resourceMetrics", "resourceSpans", "schemaUrl", "scope", "scopeLogs",
    "scopeMetrics", "scopeSpans", "severityNumber", "severityText", "spanId", "spans",
    "startTimeUnixNano", "status", "stringValue", "sum", "summary", "timeUnixNano", "traceId",
    "traceState", "value", "values", "version",
)  # fmt: skip
SNAKE: Final = {
    name: "".join(f"_{char.lower()}" if char.isupper() else char for char in name) for name in NAMES
}


def elements(source: Json, name: str) -> list[Any]:
    """A repeated field.  Raises BadItem where it is no array."""
    value = get(source, name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadItem("malformed")
    return value


def objects(source: Json, name: str) -> list[Json]:
    """A repeated field of messages.  Raises BadItem where it is something else."""
    value = elements(source, name)
    if not all(isinstance(item, dict) for item in value):
        raise BadItem("malformed")
    return value


def hex_bytes(source: Json, name: str) -> bytes:
    value = get(source, name)
    try:
        return bytes.fromhex(value) if value else b""
    except (TypeError, ValueError):
        raise BadItem("bad_ids") from None


def integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise BadItem("malformed")
    return int(value or 0)


def enum(value: Any, names: Any) -> int:
    """A number, or 0 where the name or number is none of the enum's."""
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        return names.Value(value) if value in names.keys() else 0  # noqa: SIM118  # not a dict
    number = integer(value)
    return number if number in names.values() else 0


def attributes(target: Any, source: Json, depth: int) -> None:
    for item in objects(source, "attributes"):
        entry = target.add(key=get(item, "key") or "")
        value = get(item, "value")
        if value is not None:
            any_value(entry.value, value, depth)


def any_value(target: AnyValue, source: Json, depth: int) -> None:
    """Raises BadItem where arrays and maps nest more than `depth` levels."""
    if (text := get(source, "stringValue")) is not None:
        target.string_value = text
    elif (flag := get(source, "boolValue")) is not None:
        target.bool_value = flag
    elif (whole := get(source, "intValue")) is not None:
        target.int_value = integer(whole)
    elif (number := get(source, "doubleValue")) is not None:
        target.double_value = double(number)
    elif (array := get(source, "arrayValue")) is not None:
        target.array_value.SetInParent()
        check_depth(depth)
        for item in objects(array, "values"):
            any_value(target.array_value.values.add(), item, depth - 1)
    elif (entries := get(source, "kvlistValue")) is not None:
        target.kvlist_value.SetInParent()
        check_depth(depth)
        for item in objects(entries, "values"):
            entry = target.kvlist_value.values.add(key=get(item, "key") or "")
            value = get(item, "value")
            if value is not None:
                any_value(entry.value, value, depth - 1)
    elif (data := get(source, "bytesValue")) is not None:
        try:
            target.bytes_value = b64decode(data, validate=True)
        except binascii.Error:
            raise BadItem("malformed") from None


def check_depth(depth: int) -> None:
    if depth < 1:
        raise BadItem("too_deep")


def double(value: Any) -> float:
    if isinstance(value, str):
        return {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}.get(value) or float(
            value
        )
    return float(value)


def count_data_points(body: bytes) -> int:
    """Data points of a metrics request.  Raises PermanentError."""
    count = 0
    try:
        for group in _root(parse(body), Signal.METRICS):
            for scoped in objects(group, "scopeMetrics"):
                for metric in objects(scoped, "metrics"):
                    data = [get(metric, name) for name in METRIC_DATA]
                    count += sum(len(objects(d, "dataPoints")) for d in data if isinstance(d, dict))
    except BadItem as error:
        raise PermanentError("the request is no OTLP/JSON metrics export request") from error
    return count


# --------------------------------------------------------------------------- files

Request = tuple[Signal, Encoding, bytes]
"""Signal, `json` or `protobuf`, and the bytes of one export request."""


def iter_requests(
    path: Path, on_error: Callable[[PermanentError], None] | None = None
) -> Iterator[Request]:
    """The export requests in a file.

    OTLP/JSON lines or one JSON document (what the Collector's file exporter and `curl` bodies look
    like), one serialized request, or a sequence of requests each after its length (a varint, or
    4 bytes as the file exporter writes).  A
    line with several signals is yielded once for each.  What cannot be read raises PermanentError,
    or goes to `on_error`, and the next line is read.
    """
    report = _raise if on_error is None else on_error
    with path.open("rb") as file:
        first = file.readline()
        if not _is_json(first):
            yield from _requests_in(first + file.read(), path, report)
            return
        yield from _of_json(first, f"{path}:1", report)
        for number, line in enumerate(file, 2):
            if line.strip():
                yield from _of_json(line, f"{path}:{number}", report)


def _raise(error: PermanentError) -> None:
    raise error


def _requests_in(
    data: bytes, path: Path, report: Callable[[PermanentError], None]
) -> Iterator[Request]:
    """Those of a file whose first line is no JSON document."""
    if _is_json(data):
        yield from _of_json(data, str(path), report)
    elif messages := _messages(data):
        for message in messages:
            signal = next(
                filter(None, (signal_of(message, *item) for item in items(message))), None
            )
            if signal is None:
                report(PermanentError(f"{path}: a request that is no traces, logs or metrics"))
            else:
                yield signal, "protobuf", message
    elif data.lstrip()[:1] == b"{":
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                yield from _of_json(line, f"{path}:{number}", report)
    elif data.strip():
        report(PermanentError(f"{path}: neither OTLP/JSON nor OTLP protobuf"))


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _of_json(
    data: bytes, where: str, report: Callable[[PermanentError], None]
) -> Iterator[Request]:
    try:
        signals = signals_in(parse(data))
    except PermanentError as error:
        report(PermanentError(f"{where}: {error}", error.reason))
        return
    if not signals:
        report(PermanentError(f"{where}: no resourceSpans, resourceLogs or resourceMetrics"))
    for signal in signals:
        yield signal, "json", data


def _messages(data: bytes) -> list[bytes]:
    """One request, or a sequence of them each after its length; none when it is neither."""
    if _is_request(data):
        return [data]
    for read_size in (read_varint, read_fixed32):
        messages = []
        position = 0
        try:
            while position < len(data):
                size, position = read_size(data, position, len(data))
                messages.append(data[position : position + size])
                position += size
        except WireError:
            continue
        if position == len(data) and all(map(_is_request, messages)):
            return messages
    return []


def read_fixed32(data: bytes, position: int, end: int) -> tuple[int, int]:
    """(a length in 4 bytes, big-endian, the place after it), as the Collector's file exporter
    writes them.  Raises WireError at the end of the data."""
    if position + 4 > end:
        raise WireError("cut off", position)
    return int.from_bytes(data[position : position + 4], "big"), position + 4


def _is_request(data: bytes) -> bool:
    """Looks like an export request: nothing but groups at the top, each with items inside."""
    try:
        top = all((number, wire) == (1, LENGTH) for number, wire, *_ in fields(data, 0, len(data)))
        return top and next(items(data), None) is not None
    except WireError:
        return False
