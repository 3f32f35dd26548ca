"""Unmodified OpenTelemetry SDKs, Python and Node, and what becomes of what cannot be taken."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Status, StatusCode

from tests.e2e.otlp import AGENT, a_record, a_run, a_span, as_json, logs, trace_id, traces
from tests.e2e.talk import JSON, PROTOBUF, Talk
from tests.receiver.test_node import project  # noqa: F401  # a fixture
from tests.support.process import CollectorProcess

HERE = Path(__file__).parent
REQUEST_BYTES_MAX = 2_000_000
INFLATED_BYTES_MAX = 8_000_000


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """With a decoder process of its own, as by default."""
    with CollectorProcess(
        tmp_path_factory.mktemp("sdks") / "data",
        store_flush_secs=0.05,
        receiver_decoders=1,
        receiver_request_bytes_max=REQUEST_BYTES_MAX,
        receiver_decompressed_bytes_max=INFLATED_BYTES_MAX,
    ) as collector:
        yield Talk(collector)


def exporter(talk: Talk, transport: str, session: str) -> SpanExporter:
    headers = {"x-request-id": f"req of {session}", "alephant-session-id": session}
    ports = talk.collector.ports
    if transport.startswith("grpc"):
        return GrpcSpans(
            endpoint=f"localhost:{ports['grpc']}",
            insecure=True,
            headers=headers,
            compression=grpc.Compression.Gzip if "gzip" in transport else None,
        )
    return HttpSpans(
        endpoint=f"http://localhost:{ports['http']}/v1/traces",
        headers=headers,
        compression=Compression.Gzip if "gzip" in transport else Compression.NoCompression,
    )


def an_agent_runs(sender: SpanExporter) -> str:
    """A model call, a tool that fails, a retry, an answer; the run's id."""
    provider = TracerProvider(
        resource=Resource({"service.name": "desk", "service.version": "1.2.3"}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(sender))
    tracer = provider.get_tracer("an.instrumentation", "0.9")
    with tracer.start_as_current_span("invoke_agent support", attributes=AGENT) as root:
        for answer in ("tool_calls", "stop"):
            chat = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
            }
            with tracer.start_as_current_span("chat gpt-4o-mini", attributes=chat) as span:
                span.set_attribute("gen_ai.usage.input_tokens", 1000)
                span.set_attribute("gen_ai.usage.output_tokens", 100)
                span.set_attribute("gen_ai.response.finish_reasons", [answer])
            if answer == "stop":
                break
            for fails in (True, False):
                tool = {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "search",
                    "gen_ai.tool.call.arguments": '{"q": "☂"}',
                }
                with tracer.start_as_current_span("execute_tool search", attributes=tool) as span:
                    if fails:
                        span.record_exception(TimeoutError("too slow"))
                        span.set_status(Status(StatusCode.ERROR, "too slow"))
                        span.set_attribute("error.type", "TimeoutError")
    provider.shutdown()
    return f"{root.get_span_context().trace_id:032x}"


def check(run: dict[str, Any], run_id: str, session: str) -> None:
    """S1.1-S1.9: what was asked, how often, with what result, at what cost."""
    assert run["run_id"] == run["root_run_id"] == run_id
    assert (run["status"], run["outcome"], run["stop_reason"]) == (
        "completed",
        "success",
        "completed",
    )
    assert run["agent_name"] == "support"
    assert run["service_name"] == "desk"
    assert run["session_id"] == session
    assert run["request_id"] == f"req of {session}"
    counts = ("model_calls", "model_errors", "tool_calls", "tool_errors", "retries", "steps")
    assert [run[name] for name in counts] == [2, 0, 2, 1, 1, 4]
    assert (run["input_tokens"], run["output_tokens"]) == (2000, 200)
    assert (run["cost_usd"], run["cost_confidence"]) == (0.00042, "exact")
    assert run["tools"] == ["search"]
    assert run["started_at"] < run["ended_at"]


@pytest.mark.parametrize("transport", ["grpc", "grpc gzip", "http", "http gzip"])
def test_the_python_sdk(talk: Talk, transport: str) -> None:
    run_id = an_agent_runs(exporter(talk, transport, transport))

    shown = talk.run(run_id)

    check(shown["run"], run_id, transport)
    assert shown["run"]["app_version"] == "1.2.3"
    failed, retried = [step for step in shown["steps"] if step["kind"] == "tool"]
    assert (failed["status"], failed["error_type"]) == ("timeout", "timeout")
    assert retried["retry_of"] == failed["span_id"]
    assert "☂" in str(failed["arguments"])


def test_the_node_sdk(talk: Talk, project: Path) -> None:  # noqa: F811  # the fixture
    """gRPC, HTTP/protobuf and HTTP/JSON; Node's JSON has 64-bit numbers as text."""
    shutil.copy(HERE / "agent.mjs", project)
    ports = talk.collector.ports
    done = subprocess.run(
        ["node", "agent.mjs", f"http://localhost:{ports['grpc']}",
         f"http://localhost:{ports['http']}"],
        cwd=project, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run_ids = json.loads(done.stdout)
    assert run_ids.keys() == {"grpc", "proto", "json"}
    for name, run_id in run_ids.items():
        shown = talk.run(run_id)
        check(shown["run"], run_id, f"node {name}")
        assert "☂" in str([step["arguments"] for step in shown["steps"]])


def test_all_three_signals_of_the_python_sdk(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """An application that has logs and metrics switched on sees no error."""
    target = f"localhost:{talk.collector.ports['grpc']}"
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(
        SimpleLogRecordProcessor(OTLPLogExporter(endpoint=target, insecure=True))
    )
    loggers.get_logger("app").emit(body="hello", severity_text="INFO")
    loggers.shutdown()
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=target, insecure=True))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    meters.get_meter("app").create_counter("orders").add(1)
    meters.shutdown()
    talk.settle()
    assert talk.terms("logs")["stored"] >= 1
    assert talk.terms("metrics")["received"] >= 1
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


# ---------------------------------------------------------------------- what is refused


def test_a_bad_span_costs_only_itself(talk: Talk) -> None:
    """Promise 6: bad ids, impossible times, text that is not UTF-8, each beside a whole run."""
    trace = trace_id("good among bad")
    bad_id = a_span(trace_id("bad"), 1, {})
    bad_id.span_id = b"\0" * 8
    backwards = a_span(trace_id("bad"), 2, {})
    backwards.end_time_unix_nano = backwards.start_time_unix_nano - 1
    future = a_span(trace_id("bad"), 3, {}, start_ns=4 * 10**18)
    latin = a_span(trace_id("bad"), 4, {}, name="cof__")
    body = traces([bad_id, *a_run(trace), backwards, future, latin]).SerializeToString()
    before = talk.terms()

    answer = talk.call("trace.v1.TraceService", body.replace(b"cof__", b"cof\xe9_"))

    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 4
    for reason in ("bad_ids", "bad_times", "bad_utf8"):
        assert reason in partial.error_message
    run = talk.run(trace)["run"]
    assert (run["status"], run["steps"]) == ("completed", 3)
    after = talk.terms()
    assert after["refused"] - before.get("refused", 0) == 4
    assert after["stored"] - before["stored"] == 4


def test_the_sdk_does_not_resend_what_was_refused_in_part(talk: Talk) -> None:
    before = talk.terms()["received"]
    sender = exporter(talk, "http", "partly")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(sender))
    tracer = provider.get_tracer("tests")
    tracer.start_span("of 1975", start_time=5 * 365 * 86_400 * 10**9).end(
        end_time=5 * 365 * 86_400 * 10**9 + 1
    )
    tracer.start_span("of today").end()
    provider.shutdown()
    talk.settle()
    assert talk.terms()["received"] - before == 2


def test_another_signal_is_named(talk: Talk) -> None:
    """A logs exporter that was pointed at the traces path: the answer says so."""
    records = logs([a_record("", {}, body="hello")])
    answer = talk.post(records, path="/v1/traces")
    assert answer.status == 400
    assert b"logs" in answer.body
    said = talk.post(as_json(records), path="/v1/traces", media_type=JSON)
    assert said.status == 400
    assert "logs" in said.document["message"]
    with pytest.raises(grpc.RpcError) as refused:
        talk.call("trace.v1.TraceService", records.SerializeToString())
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "logs" in str(refused.value.details())


def test_a_zip_bomb_is_refused_and_the_next_request_is_taken(talk: Talk) -> None:
    bomb = gzip.compress(b"\0" * (INFLATED_BYTES_MAX + 1))
    assert len(bomb) < 10_000
    given = {"Content-Encoding": "gzip"}
    answer = talk.post(bomb, path="/v1/traces", media_type=PROTOBUF, headers=given)
    assert answer.status == 413
    whole = gzip.compress(traces(a_run(trace_id("after the bomb"))).SerializeToString())
    assert talk.post(whole, path="/v1/traces", headers=given).status == 200
    assert talk.run(trace_id("after the bomb"))["run"]["steps"] == 3


def test_a_request_that_is_too_large_says_the_limit(talk: Talk) -> None:
    large = traces([a_span(trace_id("large"), 0, {"text": "x" * REQUEST_BYTES_MAX})])
    answer = talk.post(as_json(large), path="/v1/traces", media_type=JSON)
    assert answer.status == 413
    assert str(REQUEST_BYTES_MAX) in answer.document["message"]
    with pytest.raises(grpc.RpcError) as refused:
        talk.export(large)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_long_value_is_cut_and_its_length_kept(talk: Talk) -> None:
    trace = trace_id("long value")
    talk.export(traces(a_run(trace, {"note": "é" * 100_000})))
    [root] = [step for step in talk.run(trace)["steps"] if step["kind"] == "run"]
    assert len(root["attributes"]["note"].encode()) == 131_072
    assert root["attributes"]["agentrun.truncated.note"] == "200000"


def test_promise_2_holds_after_all_of_it(talk: Talk) -> None:
    """Last in this module."""
    talk.settle()
    for signal in ("traces", "logs", "metrics", "events"):
        terms = talk.terms(signal)
        ended = ("stored", "refused", "deduplicated", "dead_lettered", "pending")
        assert terms["received"] + terms["recovered"] == sum(terms.get(n, 0) for n in ended)
