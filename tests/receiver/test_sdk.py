"""The unmodified OpenTelemetry Python SDK exports to both ports, as users run it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import grpc
import pytest
from anyio.from_thread import BlockingPortal
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetrics,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collector.errors import OverloadedError, PermanentError
from collector.receiver.auth import KeyEntry, key_digest
from collector.receiver.intake import ExportResult, Refusal
from tests.receiver.edge import Edge, serving


def some_spans() -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("agent.run"), tracer.start_as_current_span("agent.tool"):
        pass
    provider.shutdown()
    return list(memory.get_finished_spans())


def exporter(edge: Edge, transport: str, *, headers: dict[str, str] | None = None) -> SpanExporter:
    gzipped = transport.endswith("+gzip")
    if transport.startswith("grpc"):
        return GrpcSpans(
            endpoint=edge.grpc_target,
            insecure=True,
            headers=headers or {},
            timeout=5,
            compression=grpc.Compression.Gzip if gzipped else None,
        )
    return HttpSpans(
        endpoint=edge.http_url + "/v1/traces",
        headers=headers,
        timeout=5,
        compression=HttpCompression.Gzip if gzipped else HttpCompression.NoCompression,
    )


@pytest.fixture(params=["grpc", "grpc+gzip", "http", "http+gzip"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_spans_arrive(edge: Edge, transport: str) -> None:
    sender = exporter(edge, transport)

    assert sender.export(some_spans()) is SpanExportResult.SUCCESS

    sender.shutdown()
    (seen,) = edge.intake.calls
    (resource,) = ExportTraceServiceRequest.FromString(seen.body).resource_spans
    assert [span.name for span in resource.scope_spans[0].spans] == ["agent.tool", "agent.run"]


def test_headers_and_keys_of_an_exporter(portal: BlockingPortal, transport: str) -> None:
    """`headers=` of an exporter carries the key and the request-level metadata (S2.18)."""
    key = KeyEntry(name="k", sha256=key_digest("key"), workspace="w")
    with serving(portal, keys=[key]) as keyed:
        headers = {"authorization": "Bearer key", "x-request-id": "r-1"}
        sender = exporter(keyed, transport, headers=headers)
        assert sender.export(some_spans()) is SpanExportResult.SUCCESS
        sender.shutdown()
        assert keyed.intake.calls[0].ingest == {
            "agentrun.request.id": "r-1",
            "agentrun.workspace": "w",
        }


def test_a_partial_success_is_a_success_to_the_sdk(edge: Edge, transport: str) -> None:
    """It must not resend: the good spans were taken."""
    edge.intake.result = ExportResult(received=2, refused=(Refusal("bad_ids", 1, "no trace id"),))
    sender = exporter(edge, transport)

    assert sender.export(some_spans()) is SpanExportResult.SUCCESS

    sender.shutdown()
    assert len(edge.intake.calls) == 1


@pytest.fixture
def quiet() -> Iterator[None]:
    """The SDK logs its failures; they are expected here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_a_permanent_error_is_not_resent(edge: Edge, transport: str) -> None:
    edge.intake.error = PermanentError("not OTLP")
    sender = exporter(edge, transport)

    assert sender.export(some_spans()) is SpanExportResult.FAILURE

    sender.shutdown()
    assert len(edge.intake.calls) == 1


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("error", [OverloadedError("full", "journal", 0.1), KeyError("bug")])
def test_what_may_pass_later_is_resent_until_it_does(
    edge: Edge, transport: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full journal, and a bug of ours too: the SDK keeps the spans and sends them again."""
    monkeypatch.setattr("collector.receiver.status.UNEXPECTED_RETRY_SECS", 0.1)
    first = iter([error])
    take = type(edge.intake).export

    async def fail_once(self: object, *args: object, **kwargs: object) -> ExportResult:
        edge.intake.error = next(first, None)
        return await take(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(edge.intake), "export", fail_once)
    sender = exporter(edge, transport)

    assert sender.export(some_spans()) is SpanExportResult.SUCCESS

    sender.shutdown()
    bodies = [seen.body for seen in edge.intake.calls]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


def test_log_records_and_metrics_arrive(edge: Edge) -> None:
    """Metrics are handed over as well: the intake counts and drops them."""
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(
        SimpleLogRecordProcessor(GrpcLogs(endpoint=edge.grpc_target, insecure=True))
    )
    logs.get_logger("tests").emit(body="hello", event_name="gen_ai.evaluation.result")
    logs.shutdown()
    reader = PeriodicExportingMetricReader(GrpcMetrics(endpoint=edge.grpc_target, insecure=True))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    meters.get_meter("tests").create_counter("runs").add(1)
    meters.shutdown()

    by_signal = {seen.signal.value: seen.body for seen in edge.intake.calls}
    records = ExportLogsServiceRequest.FromString(by_signal["logs"]).resource_logs[0].scope_logs[0]
    assert records.log_records[0].event_name == "gen_ai.evaluation.result"
    metrics = ExportMetricsServiceRequest.FromString(by_signal["metrics"]).resource_metrics[0]
    assert metrics.scope_metrics[0].metrics[0].name == "runs"
