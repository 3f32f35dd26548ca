"""Requests for decoder tests: builders for what a test wants to show, strategies for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from collector.model import TIME, Decoded
from tests.decode.reference import Row

NOW_NS = 1_795_000_000 * 10**9
START_NS = NOW_NS - 10**10
END_NS = NOW_NS - 10**9


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field on the wire."""
    size, length = len(payload), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


def raw(*items: bytes, resource: bytes = b"", scope: bytes = b"") -> bytes:
    """A request of serialized items, so that they can be broken."""
    scoped = field(1, scope) + b"".join(field(2, item) for item in items)
    return field(1, field(1, resource) + field(2, scoped))


def value(plain: Any) -> AnyValue:
    match plain:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=plain)
        case int():
            return AnyValue(int_value=plain)
        case float():
            return AnyValue(double_value=plain)
        case str():
            return AnyValue(string_value=plain)
        case bytes():
            return AnyValue(bytes_value=plain)
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=attributes(plain)))
        case _:
            return AnyValue(array_value=ArrayValue(values=[value(item) for item in plain]))


def attributes(plain: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(item)) for key, item in plain.items()]


def a_span(number: int = 1, *, attrs: Mapping[str, Any] | None = None, **fields: Any) -> Span:
    defaults: dict[str, Any] = {
        "trace_id": b"\x01" * 16,
        "span_id": number.to_bytes(8, "big"),
        "name": "chat",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": END_NS,
    }
    return Span(attributes=attributes(attrs or {}), **{**defaults, **fields})


def a_log(*, attrs: Mapping[str, Any] | None = None, **fields: Any) -> LogRecord:
    return LogRecord(attributes=attributes(attrs or {}), **{"time_unix_nano": START_NS, **fields})


def traces(*spans: Span, resource: Mapping[str, Any] | None = None, scope: str = "test") -> bytes:
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=attributes(resource or {})),
                scope_spans=[ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)],
            )
        ]
    ).SerializeToString()


def logs(*records: LogRecord, resource: Mapping[str, Any] | None = None) -> bytes:
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=Resource(attributes=attributes(resource or {})),
                scope_logs=[ScopeLogs(log_records=records)],
            )
        ]
    ).SerializeToString()


def rows(decoded: Decoded, *, without: Sequence[str]) -> list[Row]:
    """The batch as Python values; times as integers."""
    batch = decoded.batch
    batch.validate(full=True)
    columns = {}
    for name in batch.schema.names:
        column = batch.column(name)
        if column.type == TIME:
            column = column.cast(pa.int64())
        elif column.type == pa.list_(TIME):
            column = column.cast(pa.list_(pa.int64()))
        columns[name] = column.to_pylist()
    kept = [name for name in columns if name not in without]
    return [{name: columns[name][row] for name in kept} for row in range(batch.num_rows)]


SPAN_EXTRAS = ("IngestAttributes", "ReceivedAt", "Version")
LOG_EXTRAS = ("IngestAttributes", "ReceivedAt", "RecordId")

# --------------------------------------------------------------------------- strategies

texts = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.one_of(
    texts.map(lambda x: AnyValue(string_value=x)),
    st.booleans().map(lambda x: AnyValue(bool_value=x)),
    st.integers(-(2**63), 2**63 - 1).map(lambda x: AnyValue(int_value=x)),
    st.sampled_from([0, 1]).map(lambda x: AnyValue(int_value=x)),
    st.floats().map(lambda x: AnyValue(double_value=x)),
    st.binary(max_size=9).map(lambda x: AnyValue(bytes_value=x)),
    st.just(AnyValue()),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda x: AnyValue(array_value=ArrayValue(values=x))),
        st.lists(st.tuples(texts, inner), max_size=3).map(
            lambda x: AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key=k, value=v) for k, v in x])
            )
        ),
    ),
    max_leaves=6,
)
keys = st.one_of(st.sampled_from(["service.name", "event.name", "a", ""]), texts)
key_values = st.one_of(
    st.builds(lambda k, v: KeyValue(key=k, value=v), keys, values),
    keys.map(lambda k: KeyValue(key=k)),
)
attribute_lists = st.lists(key_values, max_size=4)
times = st.integers(START_NS, NOW_NS)


def ids(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).filter(any)


events = st.builds(Span.Event, time_unix_nano=times, name=texts, attributes=attribute_lists)
links = st.builds(
    Span.Link, trace_id=ids(16), span_id=ids(8), trace_state=texts, attributes=attribute_lists
)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(times)
    return Span(
        trace_id=draw(ids(16)),
        span_id=draw(ids(8)),
        parent_span_id=draw(st.one_of(ids(8), st.just(b""), st.just(bytes(8)))),
        trace_state=draw(texts),
        name=draw(texts),
        kind=draw(st.integers(-1, 9)),  # type: ignore[arg-type]  # open enum: any number is legal
        start_time_unix_nano=start,
        end_time_unix_nano=start + draw(st.integers(0, 10**10)),
        attributes=draw(attribute_lists),
        dropped_attributes_count=draw(st.integers(0, 3)),
        events=draw(st.lists(events, max_size=2)),
        links=draw(st.lists(links, max_size=2)),
        status=draw(
            st.one_of(
                st.none(),
                st.builds(Status, message=texts, code=st.integers(0, 4)),
            )
        ),
        flags=draw(st.integers(0, 2**32 - 1)),
    )


records = st.builds(
    LogRecord,
    time_unix_nano=st.one_of(times, st.just(0)),
    observed_time_unix_nano=st.one_of(times, st.just(0)),
    severity_number=st.integers(0, 30),
    severity_text=texts,
    body=st.one_of(st.none(), values),
    attributes=attribute_lists,
    flags=st.integers(0, 2**32 - 1),
    trace_id=st.one_of(ids(16), st.just(b""), st.just(bytes(16))),
    span_id=st.one_of(ids(8), st.just(b"")),
    event_name=texts,
)
resources = st.one_of(st.none(), st.builds(Resource, attributes=attribute_lists))
scopes = st.one_of(
    st.none(),
    st.builds(InstrumentationScope, name=texts, version=texts, attributes=attribute_lists),
)
UNKNOWN = b"\xba\x3e\x03new"  # Field 999 of a later version of OTLP.


def _serialized(request: Any, unknown: bool) -> bytes:
    data: bytes = request.SerializeToString()
    return data + UNKNOWN if unknown else data


trace_requests = st.builds(
    _serialized,
    st.builds(
        ExportTraceServiceRequest,
        resource_spans=st.lists(
            st.builds(
                ResourceSpans,
                resource=resources,
                schema_url=texts,
                scope_spans=st.lists(
                    st.builds(ScopeSpans, scope=scopes, spans=st.lists(spans(), max_size=3)),
                    max_size=2,
                ),
            ),
            max_size=2,
        ),
    ),
    st.booleans(),
)
log_requests = st.builds(
    _serialized,
    st.builds(
        ExportLogsServiceRequest,
        resource_logs=st.lists(
            st.builds(
                ResourceLogs,
                resource=resources,
                schema_url=texts,
                scope_logs=st.lists(
                    st.builds(
                        ScopeLogs,
                        scope=scopes,
                        schema_url=texts,
                        log_records=st.lists(records, max_size=3),
                    ),
                    max_size=2,
                ),
            ),
            max_size=2,
        ),
    ),
    st.booleans(),
)
