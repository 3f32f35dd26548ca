"""Bytes for the stream are the message that OpenTelemetry's exporter sends."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from otel_agentrun.log_wire import Event, LogEncoder

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
scalars = (
    texts
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
)  # fmt: skip
values = scalars | st.lists(texts, max_size=4).map(tuple) | st.binary(max_size=40)
events = st.builds(
    Event,
    st.sampled_from(["agentrun.run.step", "agentrun.run.heartbeat"]),
    st.integers(1, (1 << 63) - 1),
    st.builds(
        SpanContext,
        st.integers(0, (1 << 128) - 1),
        st.integers(0, (1 << 64) - 1),
        st.just(False),
        st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    ),
    st.dictionaries(texts.filter(bool), values, max_size=12),
)


def as_exported(resource: Resource, told: list[Event]) -> ExportLogsServiceRequest:
    """The way of the emitter when there is no stream."""
    kept = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    for event in told:
        provider.get_logger("otel_agentrun").emit(
            LogRecord(
                timestamp=event.at_ns,
                observed_timestamp=event.at_ns,
                context=set_span_in_context(NonRecordingSpan(event.span), Context()),
                attributes=event.attributes,
                event_name=event.name,
            )
        )
    logs: Any = kept.get_finished_logs()
    found: list[ReadableLogRecord] = list(logs)
    return encode_logs(found)


@given(st.lists(events, min_size=1, max_size=5))
def test_the_same_message_either_way(told: list[Event]) -> None:
    """So a collector takes an event once that came up the stream and as a log record."""
    resource = Resource({"service.name": "shop", "n": 3}, schema_url="https://example.org/1")
    encoder = LogEncoder(resource.attributes, "otel_agentrun", resource.schema_url)

    for _ in range(2):  # what is kept of the first time is used the second time
        sent = ExportLogsServiceRequest.FromString(encoder.encode(told))
        assert sent == as_exported(resource, told)


@given(st.integers(1 << 55, (1 << 63) - 1))
@example(1 << 56)
@example((1 << 56) - 1)
@example((1 << 63) - 1)
def test_large_numbers_such_as_nanoseconds(number: int) -> None:
    encoder = LogEncoder({}, "s")
    event = Event("e", 1, SpanContext(1, 2, False), {"at": number, "b": True, "n": 1, "f": 1.0})

    for _ in range(2):
        [record] = (
            ExportLogsServiceRequest.FromString(encoder.encode([event]))
            .resource_logs[0]
            .scope_logs[0]
            .log_records
        )
        said = {pair.key: pair.value for pair in record.attributes}
        assert said["at"].int_value == number
        assert said["b"].bool_value is True
        assert said["n"].int_value == 1
        assert said["f"].double_value == 1.0


def test_what_otlp_cannot_say_costs_that_attribute_alone() -> None:
    event = Event(
        "e", 1, SpanContext(1, 2, False), {"a": object(), "b": 1 << 64, "c": "yes \ud800"}
    )

    sent = ExportLogsServiceRequest.FromString(LogEncoder({}, "s").encode([event]))

    [record] = sent.resource_logs[0].scope_logs[0].log_records
    assert [(pair.key, pair.value.string_value) for pair in record.attributes] == [("c", "yes ?")]


def test_what_is_kept_is_bounded() -> None:
    encoder = LogEncoder({}, "s")
    for number in range(10_000):
        encoder.encode([Event("e", 1, SpanContext(1, 2, False), {f"k{number}": str(number)})])

    assert len(encoder._kept) <= 4096
    assert len(encoder._keys) <= 4096
