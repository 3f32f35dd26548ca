"""`agentrun semconv check`: files as the ingest command takes them, exit status, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from collector.cli.main import main
from collector.semconv.observed import of_logs, of_traces, read
from tests.semconv.builders import REGISTRY, a_span, problems

ROOT = Path(__file__).parents[2]


def exported(spans: Sequence[tuple[str, SpanKind, Mapping[str, Any]]]) -> Any:
    """An export request as the OpenTelemetry SDK makes it."""
    provider, memory = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for name, kind, attributes in spans:
        provider.get_tracer("t").start_span(name, kind=kind, attributes=attributes).end()
    return encode_spans(memory.get_finished_spans())


def a_tool_span(**changes: Any) -> Any:
    seen = a_span("tool", everything=True)
    return exported([(seen.name, SpanKind.INTERNAL, {**seen.attributes, **changes})])


def a_log(name: str, attributes: Mapping[str, Any], *, by_attribute: bool = False) -> Any:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.trace_id = b"\x01" * 16
    record.time_unix_nano = 1
    if by_attribute:
        attributes = {"event.name": name, **attributes}
    else:
        record.event_name = name
    for key, value in attributes.items():
        record.attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
    return request


def check(*words: object) -> Result:
    result = CliRunner().invoke(main, ["semconv", "check", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def write(path: Path, *requests: Any) -> Path:
    """JSON lines, ids in hex, where the name ends in `.json`; else one serialized request."""
    if path.suffix != ".json":
        path.write_bytes(requests[0].SerializeToString())
        return path
    lines = []
    for request in requests:
        document = MessageToDict(request)
        for group in document.get("resourceSpans", []):
            for span in group["scopeSpans"][0]["spans"]:
                # OTLP/JSON: ids are hex, where protobuf's own JSON says base64.
                span["traceId"], span["spanId"] = "01" * 16, "02" * 8
        for group in document.get("resourceLogs", []):
            group["scopeLogs"][0]["logRecords"][0]["traceId"] = "01" * 16
        lines.append(json.dumps(document))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", ["spans.json", "spans.pb"])
def test_a_conforming_file_is_0(tmp_path: Path, name: str) -> None:
    """Typed values survive both encodings: an int is an int, an array an array."""
    result = check(write(tmp_path / name, a_tool_span()))

    assert result.exit_code == 0, result.output
    assert "Checked 1 span, 1 resource; steps of ours: 1 tool." in result.stdout
    assert "0 violations, 0 advice: it conforms." in result.stdout


@pytest.mark.parametrize("name", ["spans.json", "spans.pb"])
def test_a_violation_is_1_and_says_where_what_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, a_tool_span(**{"agentrun.tool.versions": "v3"}))
    result = check(path)

    assert result.exit_code == 1
    head, why, fix, where, *_ = result.stdout.splitlines()
    assert head == "violation span agent.tool: there is no attribute agentrun.tool.versions"
    assert why == "  Why: agentrun.* holds nothing but what the registry names."
    assert fix == "  Fix: did you mean agentrun.tool.version?"
    assert where.startswith(f"  Where: {path}, trace ")
    assert ", span " in where


def test_json_is_one_document(tmp_path: Path) -> None:
    spans = write(tmp_path / "a.json", a_tool_span(), a_tool_span(**{"agentrun.step.id": "7"}))
    logs = write(tmp_path / "b.pb", a_log("agentrun.fedback", {}))
    result = check(spans, logs, "--json")

    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["conforms"], document["violations"], document["advice"]) == (False, 2, 0)
    assert document["checked"] == {"resource": 3, "span": 2, "event": 1}
    assert document["steps"] == {"tool": 2}
    assert {one["rule"]: one["fix"] for one in document["problems"]} == {
        "wrong_type": "send an int",
        "unknown_event": "did you mean agentrun.feedback?",
    }


def test_what_is_no_otlp_fails_and_the_rest_is_checked(tmp_path: Path) -> None:
    """One bad line does not hide what the others say."""
    path = write(tmp_path / "a.json", a_tool_span(), a_tool_span())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{}", lines[1], "no json"]) + "\n")
    result = check(path, "--json")

    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["checked"]["span"] == 2
    assert [one.partition(": ")[0] for one in document["unreadable"]] == [f"{path}:2", f"{path}:4"]
    assert "unreadable" in check(path).stdout


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    assert check().exit_code == 2
    assert check(tmp_path / "missing.json").exit_code == 2


def test_an_empty_file_holds_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("")
    result = check(tmp_path / "none.json")
    assert result.exit_code == 0
    assert "Checked nothing" in result.stdout


def test_events_are_known_by_field_and_by_attribute() -> None:
    """`event.name` was an attribute before OTLP had a field for it; SDKs still send that."""
    feedback = {"agentrun.feedback.name": "rating"}
    for by_attribute in (False, True):
        request = a_log("agentrun.feedback", feedback, by_attribute=by_attribute)
        *_, event = of_logs(request)
        assert (event.signal, event.name, event.in_trace) == ("event", "agentrun.feedback", True)
        assert problems(event) == []


def test_control_characters_are_shown_not_sent(tmp_path: Path) -> None:
    """Names come from whoever exported."""
    path = write(tmp_path / "x.pb", a_tool_span(**{"agentrun.\x1b[31m": "x"}))
    result = check(path)
    assert "\x1b[31m" not in result.stdout
    assert "\\x1b[31m" in result.stdout


def test_captures_of_others_are_advised_not_failed() -> None:
    """Real exports of foreign frameworks hold nothing of ours that could be wrong."""
    files = sorted(ROOT.glob("tests/captures/*/*.otlp.json"))
    unreadable: list[str] = []
    found = [
        problem
        for seen in read(files, unreadable)
        for problem in problems(seen)
        if problem.severity == "violation"
    ]
    assert files
    assert found == []
    assert unreadable == []


def test_every_span_of_ours_survives_the_sdk() -> None:
    """What the registry asks for can be sent by the OpenTelemetry SDK as it is."""
    kinds = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
    for kind in REGISTRY.spans:
        seen = a_span(kind, everything=True)
        request = exported([(seen.name, kinds[seen.kind], seen.attributes)])
        _, span = of_traces(request)
        assert span.attributes == seen.attributes
        assert problems(span) == []
