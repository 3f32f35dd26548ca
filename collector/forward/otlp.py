"""Rows of a batch as OTLP again.

Source: opentelemetry-proto v1 (trace.proto, logs.proto, common.proto).  Attributes of a span have
their types back (`SpanAttributeTypes`); those of resources, events, links and log records, whose
types the collector does not keep, and log bodies are text.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from collector.model import ValueType

KINDS: Final = {
    "Unspecified": 0, "Internal": 1, "Server": 2, "Client": 3, "Producer": 4, "Consumer": 5,
}  # fmt: skip
STATUSES: Final = {"Unset": 0, "Ok": 1, "Error": 2}
TYPES: Final = tuple(ValueType)
TEXT: Final = TYPES.index(ValueType.STRING)
SHORT_CHARS: Final = 64
"""Values of up to so many characters are worth remembering."""

Pairs = Sequence[tuple[str, str]]
Added = Mapping[str, str | float]
NOTHING: Final[Added] = {}


def any_value(text: str, code: int) -> AnyValue:
    """A value as it was sent; one that was cut or redacted since, and so is of its type no more, is
    text."""
    try:
        match TYPES[code]:
            case ValueType.INT:
                return AnyValue(int_value=int(text))
            case ValueType.DOUBLE:
                return AnyValue(double_value=float(text))
            case ValueType.BOOL if text in ("true", "false"):
                return AnyValue(bool_value=text == "true")
            case ValueType.EMPTY if not text:
                return AnyValue()
            case ValueType.BYTES:
                return AnyValue(bytes_value=b64decode(text, validate=True))
            case ValueType.ARRAY | ValueType.KVLIST as structure:
                found = json.loads(text)
                if isinstance(found, list if structure is ValueType.ARRAY else dict):
                    return structured(found)
    except (ValueError, binascii.Error, RecursionError, IndexError):
        pass
    return AnyValue(string_value=text)


def structured(value: Any) -> AnyValue:
    """JSON as an AnyValue.  Raises ValueError for a number that none holds."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            found = AnyValue()
            found.array_value.values.extend(map(structured, value))
            if not value:
                found.array_value.SetInParent()
            return found
        case dict():
            found = AnyValue()
            found.kvlist_value.values.extend(
                KeyValue(key=key, value=structured(each)) for key, each in value.items()
            )
            if not value:
                found.kvlist_value.SetInParent()
            return found
        case _:
            return AnyValue(string_value=value)


def key_value(key: str, text: str, code: int) -> KeyValue:
    """An attribute; most of them were on the spans before, and messages are copied when used."""
    if len(text) <= SHORT_CHARS:
        return _short(key, text, code)
    if code == TEXT:
        return KeyValue(key=key, value=AnyValue(string_value=text))
    return KeyValue(key=key, value=any_value(text, code))


@lru_cache(maxsize=32_768)
def _short(key: str, text: str, code: int) -> KeyValue:
    return KeyValue(key=key, value=any_value(text, code))


def texts(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [key_value(key, text, TEXT) for key, text in pairs]


def attributes(pairs: Pairs, codes: Sequence[int], added: Added) -> list[KeyValue]:
    """Attributes of a span; what is `added` replaces what was there."""
    kept = zip(pairs, codes, strict=True) if len(codes) == len(pairs) else (
        (pair, TEXT) for pair in pairs
    )  # fmt: skip
    found = [key_value(key, text, code) for (key, text), code in kept if key not in added]
    for key, value in added.items():
        typed = (
            AnyValue(string_value=value) if isinstance(value, str) else AnyValue(double_value=value)
        )
        found.append(KeyValue(key=key, value=typed))
    return found


class Rows:
    """Columns of a batch as Python values."""

    def __init__(self, table: pa.Table) -> None:
        self.length = table.num_rows
        self.columns: dict[str, list[Any]] = {}
        for field in table.schema:
            column = table[field.name]
            if pa.types.is_timestamp(field.type):
                column = column.cast(pa.int64())
            elif field.name == "Events.Timestamp":
                column = column.cast(pa.list_(pa.int64()))
            self.columns[field.name] = column.to_pylist()

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]


def traces(rows: Rows, wanted: Sequence[int], added: Sequence[Added]) -> ExportTraceServiceRequest:
    """A request of these rows; `added` has the further attributes of each."""
    request = ExportTraceServiceRequest()
    scopes: dict[Any, ScopeSpans] = {}
    resources: dict[Any, Any] = {}
    for row, more in zip(wanted, added, strict=True):
        resource = tuple(rows["ResourceAttributes"][row])
        key = (resource, rows["ScopeName"][row], rows["ScopeVersion"][row])
        scope = scopes.get(key)
        if scope is None:
            group = resources.get(resource)
            if group is None:
                group = resources[resource] = request.resource_spans.add()
                group.resource.attributes.extend(texts(resource))
            scope = scopes[key] = group.scope_spans.add()
            scope.scope.CopyFrom(InstrumentationScope(name=key[1], version=key[2]))
        scope.spans.append(_span(rows, row, more))
    return request


def _span(rows: Rows, row: int, added: Added) -> Span:
    start = rows["Timestamp"][row]
    span = Span(
        trace_id=bytes.fromhex(rows["TraceId"][row]),
        span_id=bytes.fromhex(rows["SpanId"][row]),
        parent_span_id=bytes.fromhex(rows["ParentSpanId"][row]),
        trace_state=rows["TraceState"][row],
        name=rows["SpanName"][row],
        kind=KINDS.get(rows["SpanKind"][row], 0),  # type: ignore[arg-type]  # enums are numbers
        start_time_unix_nano=start,
        end_time_unix_nano=start + rows["Duration"][row],
        flags=rows["Flags"][row],
        attributes=attributes(rows["SpanAttributes"][row], rows["SpanAttributeTypes"][row], added),
    )
    code = STATUSES.get(rows["StatusCode"][row], 0)
    message = rows["StatusMessage"][row]
    if code or message:
        span.status.code = code  # type: ignore[assignment]  # enums are numbers
        span.status.message = message
    for at_ns, name, pairs in zip(
        rows["Events.Timestamp"][row],
        rows["Events.Name"][row],
        rows["Events.Attributes"][row],
        strict=True,
    ):
        span.events.add(time_unix_nano=at_ns, name=name, attributes=texts(pairs))
    for trace_id, span_id, state, pairs in zip(
        rows["Links.TraceId"][row],
        rows["Links.SpanId"][row],
        rows["Links.TraceState"][row],
        rows["Links.Attributes"][row],
        strict=True,
    ):
        span.links.add(
            trace_id=bytes.fromhex(trace_id),
            span_id=bytes.fromhex(span_id),
            trace_state=state,
            attributes=texts(pairs),
        )
    return span


def logs(rows: Rows, wanted: Sequence[int], added: Sequence[Added]) -> ExportLogsServiceRequest:
    """As `traces`."""
    request = ExportLogsServiceRequest()
    scopes: dict[Any, ScopeLogs] = {}
    resources: dict[Any, Any] = {}
    for row, more in zip(wanted, added, strict=True):
        resource = (tuple(rows["ResourceAttributes"][row]), rows["ResourceSchemaUrl"][row])
        of_scope = tuple(rows["ScopeAttributes"][row])
        scope_key = (rows["ScopeName"][row], rows["ScopeVersion"][row], rows["ScopeSchemaUrl"][row])
        key = (resource, scope_key, of_scope)
        scope = scopes.get(key)
        if scope is None:
            group = resources.get(resource)
            if group is None:
                group = resources[resource] = request.resource_logs.add(schema_url=resource[1])
                group.resource.attributes.extend(texts(resource[0]))
            scope = scopes[key] = group.scope_logs.add(schema_url=scope_key[2])
            scope.scope.CopyFrom(
                InstrumentationScope(
                    name=scope_key[0], version=scope_key[1], attributes=texts(of_scope)
                )
            )
        pairs = rows["LogAttributes"][row]
        record = LogRecord(
            time_unix_nano=rows["Timestamp"][row],
            observed_time_unix_nano=rows["ReceivedAt"][row],
            severity_number=rows["SeverityNumber"][row],
            severity_text=rows["SeverityText"][row],
            attributes=attributes(pairs, (), more),
            flags=rows["TraceFlags"][row],
            trace_id=bytes.fromhex(rows["TraceId"][row]),
            span_id=bytes.fromhex(rows["SpanId"][row]),
            event_name=rows["EventName"][row],
        )
        if body := rows["Body"][row]:
            record.body.string_value = body
        scope.log_records.append(record)
    return request
