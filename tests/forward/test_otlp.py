"""What is passed on says what came in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.forward import otlp, payload
from collector.forward.enrich import Known
from collector.forward.otlp import NOTHING, Rows
from collector.model import HASH_BITS, Signal, ValueType
from collector.receiver.decode import Decoder
from collector.receiver.otlp_json import iter_requests
from otel_agentrun.step import Kind
from tests.decode import builders
from tests.decode.builders import NOW_NS
from tests.support.store import SPAN, TRACE, a_placed, a_run, a_step, spans

DECODER = Decoder()
CAPTURES = Path(__file__).parents[1] / "captures"
CAPTURED_NS = 1_795_300_000 * 10**9
TYPES = list(ValueType)

generated = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def same(one: pa.RecordBatch, other: pa.RecordBatch, without: Sequence[str] = ()) -> bool:
    """In any order: rows of one resource are put together."""

    def rows(batch: pa.RecordBatch) -> list[str]:
        plain = batch.drop_columns(list(without))
        for at, field in enumerate(plain.schema):  # pyarrow needs pandas for nanoseconds
            if pa.types.is_timestamp(field.type):
                plain = plain.set_column(at, field.name, plain.column(at).cast(pa.int64()))
            elif field.name == "Events.Timestamp":
                times = plain.column(at).cast(pa.list_(pa.int64()))
                plain = plain.set_column(at, field.name, times)
        found = plain.to_pylist()
        for row in found:
            if "Version" in row:  # its last bits are a digest, also of types that are not kept
                row["Version"] >>= HASH_BITS
        return sorted(map(repr, found))

    return rows(one) == rows(other)


def again(batch: pa.RecordBatch, signal: Signal, received_ns: int) -> pa.RecordBatch:
    """Through the spool's format and OTLP, as the next collector reads it."""
    if signal is Signal.TRACES:
        content = payload.encode_spans([batch], [], [])
    else:
        content = payload.encode_logs([batch])
    rows = Rows(payload.decode(content, signal).items)
    make = otlp.traces if signal is Signal.TRACES else otlp.logs
    body = make(rows, range(rows.length), [NOTHING] * rows.length).SerializeToString()
    read = DECODER.traces if signal is Signal.TRACES else DECODER.logs
    decoded = read(body, received_at_ns=received_ns)
    assert decoded.refused == ()
    return decoded.batch


@generated
@given(builders.trace_requests)
def test_spans_are_the_same_again(body: bytes) -> None:
    """Every column, types of attributes included."""
    batch = DECODER.traces(body, received_at_ns=NOW_NS).batch

    assert same(batch, again(batch, Signal.TRACES, NOW_NS))


@generated
@given(builders.log_requests)
def test_log_records_are_the_same_again(body: bytes) -> None:
    """But for the record's id, where the time of arrival stood for the time of the record."""
    batch = DECODER.logs(body, received_at_ns=NOW_NS).batch

    assert same(batch, again(batch, Signal.LOGS, NOW_NS), without=["RecordId"])


@pytest.mark.parametrize("source", ["openaiagents", "vercel-ai", "langgraph", "logfire"])
def test_real_spans_are_the_same_again(source: str) -> None:
    for file in sorted((CAPTURES / source).glob("*.otlp.json"))[:3]:
        for signal, _, body in iter_requests(file):
            if signal is Signal.TRACES:
                batch = DECODER.traces_json(body, received_at_ns=CAPTURED_NS).batch
                assert same(batch, again(batch, signal, CAPTURED_NS))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ValueType.INT, "[redacted:card:1f2e3d4c]"),
        (ValueType.DOUBLE, "many"),
        (ValueType.BOOL, "[redacted:key:1f2e3d4c]"),
        (ValueType.BYTES, "not base64!"),
        (ValueType.ARRAY, '["a", "cut he'),
        (ValueType.KVLIST, '["no", "map"]'),
        (ValueType.INT, str(2**63)),
        (ValueType.EMPTY, "redacted"),
    ],
)
def test_a_value_that_is_not_of_its_type_any_more_is_text(kind: ValueType, text: str) -> None:
    """Redaction and cutting change texts, not the branch that was noted."""
    assert otlp.any_value(text, TYPES.index(kind)) == AnyValue(string_value=text)


def enriched(**values: object) -> dict[str, object]:
    """Attributes of one span, a model step in a child run, as a backend gets them."""
    batch = spans(values)
    step = a_placed(a_step(kind=Kind.MODEL), run_id="r-1", agent_name="ada", cost_nano_usd=2_100)
    run = a_run("r-1", parent_run_id="r", workflow_name="refunds")
    found = payload.decode(payload.encode_spans([batch], [step], [run]), Signal.TRACES)
    rows = Rows(found.items)
    request = otlp.traces(rows, [0], [Known(found).attributes(rows, 0)])
    span = ExportTraceServiceRequest.FromString(request.SerializeToString()).resource_spans[0]
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value"))
        for each in span.scope_spans[0].spans[0].attributes
    }


def test_a_span_carries_what_is_known_of_its_run() -> None:
    assert enriched() == {
        "agentrun.run.id": "r-1",
        "agentrun.run.parent_id": "r",
        "agentrun.step.kind": "model",
        "gen_ai.agent.name": "ada",
        "gen_ai.workflow.name": "refunds",
        "agentrun.cost.usd": 2.1e-06,
    }


def test_what_the_emitter_said_stays() -> None:
    """But for the run: the emitter names the enclosing one, the fold the span's own."""
    said = {"gen_ai.agent.name": "grace", "agentrun.cost.usd": "0.5", "agentrun.run.id": "outer"}

    found = enriched(SpanAttributes=said, IngestAttributes={"agentrun.workspace": "blue"})

    assert found["gen_ai.agent.name"] == "grace"
    assert found["agentrun.cost.usd"] == "0.5"
    assert found["agentrun.run.id"] == "r-1"
    assert found["agentrun.workspace"] == "blue"


def test_a_span_outside_of_runs_is_left_as_it_is() -> None:
    assert enriched(SpanId="ffffffffffffffff", SpanAttributes={"a": "b"}) == {"a": "b"}


def test_a_trace_is_taken_out_of_a_spool_file() -> None:
    other = "f" * 32
    content = payload.encode_spans(
        [spans({}, {"TraceId": other})], [a_placed(), a_placed(a_step(trace_id=other))], []
    ).to_pybytes()

    kept, removed = payload.without(content, Signal.TRACES, {TRACE})

    assert removed == 1
    assert kept is not None
    left = payload.decode(kept, Signal.TRACES)
    assert left.items["TraceId"].to_pylist() == [other]
    assert left.places is not None
    assert left.places["TraceId"].to_pylist() == [other]
    assert SPAN in json.dumps(left.places.to_pylist())
    assert payload.without(kept.to_pybytes(), Signal.TRACES, {other}) == (None, 1)
