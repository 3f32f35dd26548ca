"""Promise 7 at the disk: nothing that matched a redaction rule is in any file, at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_agentrun.redact import DEFAULT_DETECTORS
from tests.e2e.files import everything, found_in_files
from tests.e2e.otlp import (
    AGENT,
    CHAT,
    a_record,
    a_span,
    a_value,
    as_json,
    attributes,
    logs,
    span_id,
    trace_id,
    traces,
)
from tests.e2e.talk import JSON, Talk
from tests.redaction.seeds import MEMBERS, PHRASES, TOKENS
from tests.support.process import CollectorProcess

INNOCENT = "an ordinary sentence nobody needs to hide"
CUT_BYTES = 131_072
"""`receiver.value_bytes_max`."""


def secrets() -> Iterator[tuple[str, str]]:
    """(text as somebody would send it, the part that must be in no file)."""
    for tokens in TOKENS.values():
        for token in tokens:
            # Of a private key its lines: the file holds it with escaped line ends, too.
            yield token, token.splitlines()[1] if "\n" in token else token
    yield from PHRASES
    for name, value in MEMBERS:
        if isinstance(value, str) and len(value) > 8 and value.isprintable() and '"' not in value:
            yield json.dumps({"deep": [{name: value}]}), value


SECRETS = list(secrets())


def a_span_full_of(text: str, trace: str, number: int) -> Any:
    """`text` in every place of a span that holds text."""
    span = a_span(
        trace,
        number,
        {
            **(CHAT if number else AGENT),
            "note": text,
            "agentrun.input": f"please use {text} now",
            "gen_ai.input.messages": json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": text}]}]
            ),
            "gen_ai.tool.call.arguments": json.dumps({"outer": json.dumps({"inner": text})}),
            "session.id": text,
            "nested": {"list": [text, {"deeper": text}]},
            "many": [text, text],
            # Cut in the middle of the secret, once per request: half a key matches no pattern.
            **({} if number else {"long": "y " * (CUT_BYTES // 2 - 10) + text}),
            f"key {text}": "value",
        },
        name=f"chat {text}",
        error=f"failed with {text}",
    )
    span.trace_state = f"vendor={text}"
    event = span.events.add(name=f"event {text}", time_unix_nano=span.start_time_unix_nano)
    event.attributes.extend(attributes({"exception.message": text, "exception.stacktrace": text}))
    link = span.links.add(trace_state=f"vendor={text}")
    link.trace_id = bytes.fromhex(trace)
    link.span_id = bytes.fromhex(span_id(trace, number + 1000))
    link.attributes.extend(attributes({"why": text}))
    return span


def span_requests(prefix: str) -> Iterator[ExportTraceServiceRequest]:
    """One request for every eight secrets, each also in a resource and a scope of its own."""
    for at in range(0, len(SECRETS), 8):
        request = ExportTraceServiceRequest()
        for number, (text, _) in enumerate(SECRETS[at : at + 8]):
            trace = trace_id(f"{prefix}{at}")
            [group] = traces(
                [a_span_full_of(text, trace, number)],
                resource={"service.name": f"shop {text}", "deployment": {"env": [text]}},
                scope=f"scope {text}",
            ).resource_spans
            group.schema_url = f"https://example.com/{text}"
            group.scope_spans[0].scope.version = text
            group.scope_spans[0].scope.attributes.extend(attributes({"of scope": text}))
            request.resource_spans.append(group)
        yield request


def log_requests(prefix: str) -> Iterator[ExportLogsServiceRequest]:
    for at in range(0, len(SECRETS), 8):
        trace = trace_id(f"{prefix}{at}")
        records = []
        for text, _ in SECRETS[at : at + 8]:
            given = {"gen_ai.evaluation.name": "safe", "explanation": text, f"k {text}": [text]}
            event = a_record("gen_ai.evaluation.result", given, trace=trace, number=0, body=text)
            event.severity_text = text
            records.append(event)
            records.append(a_record(f"event {text}", {}, body={"deep": [text, {"er": text}]}))
        request = logs(records, resource={"service.name": text, "r": text})
        scoped = request.resource_logs[0].scope_logs[0]
        scoped.schema_url = scoped.scope.name = scoped.scope.version = text
        scoped.scope.attributes.add(key="s").value.CopyFrom(a_value(text))
        yield request


def undecodable(text: str) -> Iterator[tuple[bytes, str]]:
    """(body, media type) of requests that cannot be read, or only in part."""
    quoted = json.dumps(text)
    for body in (
        f'{{"resourceSpans": {quoted}}}',
        f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{quoted}]}}]}}]}}',
        f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"traceId": {quoted}}}]}}]}}]}}',
        f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"kind": {quoted}}}]}}]}}]}}',
        f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"startTimeUnixNano": {quoted}}}',
        text,
    ):
        yield body.encode(), JSON
    yield b"\x0a\xff\xff" + text.encode(), "application/x-protobuf"
    yield text.encode(), "application/x-protobuf"


@dataclass
class Written:
    """A collector whose files are all below one folder, temporary ones included."""

    folder: Path

    def collector(self, **settings: object) -> CollectorProcess:
        # Nothing is switched on that a fresh installation has not; logs say as much as they can.
        return CollectorProcess(self.folder / "data", log_level="debug", **settings)

    def leaks(self) -> dict[str, set[str]]:
        found = found_in_files([self.folder], {needle for _, needle in SECRETS})
        assert INNOCENT in found_in_files([self.folder], [INNOCENT]), "the search finds nothing"
        return found


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return Written(tmp_path)


def test_the_seeds_have_every_detector_that_is_on() -> None:
    """A detector without a seed here would be tested by nothing."""
    by_phrase = {"bearer", "basic_auth", "url_password", "secret", "slack_webhook"}
    assert set(TOKENS) | by_phrase == DEFAULT_DETECTORS


def test_no_secret_is_in_any_file(written: Written) -> None:
    """Promise 7: over gRPC and JSON, in spans, logs, headers and broken requests; while only the
    journal has them, after kill -9, when they are stored, after a clean stop."""
    with written.collector(store_flush_secs=60) as collector:
        talk = Talk(collector)
        talk.export(traces([a_span(trace_id("innocent"), 0, {**AGENT, "note": INNOCENT})]))
        _send_everything(talk)
        assert talk.terms()["pending"] > 2 * len(SECRETS), "the journal should still have them"
        assert written.leaks() == {}
        collector.kill()
    assert written.leaks() == {}

    with written.collector(store_flush_secs=0.05) as collector:
        talk = Talk(collector)
        talk.settle()
        assert talk.terms()["stored"] > 2 * len(SECRETS)
        assert talk.terms("logs")["stored"] > 2 * len(SECRETS)
        _feedback_with_secrets(talk)
        assert written.leaks() == {}
        assert collector.stop() == 0
    assert written.leaks() == {}
    log = (written.folder / "data.log").read_text()
    assert [line for line in log.splitlines() if " ERROR " in line] == []
    _equal_secrets_have_equal_marks(written.folder)


def _send_everything(talk: Talk) -> None:
    for request in span_requests("grpc"):
        assert not talk.export(request).partial_success.rejected_spans
    for request in span_requests("json"):
        assert talk.post(as_json(request), path="/v1/traces", media_type=JSON).body == b"{}"
    for log_request in log_requests("grpc"):
        assert not talk.export(log_request).partial_success.rejected_log_records
        answer = talk.post(as_json(log_request), path="/v1/logs", media_type=JSON)
        assert answer.body == b"{}"
    for number, (text, _) in enumerate(SECRETS):
        span = a_span(trace_id(f"headers{number}"), 0, AGENT)
        if text.isprintable() and len(text) <= 512 and text.isascii():
            names = ("x-request-id", "alephant-session-id", "alephant-property-note")
            headers = dict.fromkeys((*names, "alephant-agent-id", "alephant-prompt-id"), text)
            assert talk.post(traces([span]), headers=headers).status == 200
        if number % 4:
            continue
        for body, media_type in undecodable(text):
            talk.post(body, path="/v1/traces", media_type=media_type)
        with pytest.raises(grpc.RpcError):
            talk.call("trace.v1.TraceService", b"\x0a\xff\xff" + text.encode())


def _feedback_with_secrets(talk: Talk) -> None:
    """What people write in a comment is as secret as what an agent sends."""
    for text, _ in SECRETS[::8]:
        body = {"run_id": trace_id("innocent"), "name": "rating", "label": text, "comment": text}
        assert talk.api("/v1/feedback", method="POST", body=body).status == 201


def _equal_secrets_have_equal_marks(folder: Path) -> None:
    """One secret over two protocols is one marker, so that it can still be followed."""
    marks = b"".join(content for _, content in everything([folder / "data" / "store"]))
    assert marks.count(b"[redacted:anthropic_key:") > 20
