"""The column decoder says what the official protobuf classes say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from collector.model import LOGS, SPANS, Signal, ValueType
from collector.receiver.decode import Decoder
from collector.receiver.otlp_json import iter_requests, to_protobuf
from tests.decode import builders, reference
from tests.decode.builders import LOG_EXTRAS, NOW_NS, SPAN_EXTRAS, a_span, field, raw, rows

DECODER = Decoder()
CAPTURES = Path(__file__).parents[1] / "captures"
CAPTURED_NS = 1_795_300_000 * 10**9

generated = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@generated
@given(builders.trace_requests)
def test_spans_agree_with_the_official_classes(body: bytes) -> None:
    """Every AnyValue type, nesting, empty against absent, events, links, unknown fields."""
    decoded = DECODER.traces(body, received_at_ns=NOW_NS)

    assert decoded.refused == ()
    assert rows(decoded, without=SPAN_EXTRAS) == reference.spans(body)


@generated
@given(builders.log_requests)
def test_logs_agree_with_the_official_classes(body: bytes) -> None:
    """Bodies of every type; records without time, ids or severity."""
    decoded = DECODER.logs(body, received_at_ns=NOW_NS)

    assert decoded.refused == ()
    assert rows(decoded, without=LOG_EXTRAS) == reference.logs(body, NOW_NS)


@pytest.mark.parametrize(
    "file", sorted(CAPTURES.glob("*/*.otlp.json")), ids=lambda f: f.parent.name
)
def test_real_requests_agree(file: Path) -> None:
    """What instrumentations really send, as JSON and as protobuf."""
    for signal, encoding, body in iter_requests(file):
        assert encoding == "json"
        request, refused = to_protobuf(body, signal, 32)
        assert not refused
        if signal is Signal.TRACES:
            decoded = DECODER.traces_json(body, received_at_ns=CAPTURED_NS)
            expected = reference.spans(request)
            assert rows(decoded, without=SPAN_EXTRAS) == expected
            assert DECODER.traces(request, received_at_ns=CAPTURED_NS).batch.equals(decoded.batch)
        else:
            decoded = DECODER.logs_json(body, received_at_ns=CAPTURED_NS)
            expected = reference.logs(request, CAPTURED_NS)
            assert rows(decoded, without=LOG_EXTRAS) == expected
            assert DECODER.logs(request, received_at_ns=CAPTURED_NS).batch.equals(decoded.batch)
        assert decoded.refused == ()
        assert expected


def test_an_empty_request_is_an_empty_batch() -> None:
    """No bytes is a valid protobuf message; exporters send it as a probe."""
    assert DECODER.traces(b"", received_at_ns=NOW_NS).batch.schema.equals(SPANS)
    assert DECODER.traces(b"", received_at_ns=NOW_NS).batch.num_rows == 0
    assert DECODER.logs(b"", received_at_ns=NOW_NS).batch.schema.equals(LOGS)


def test_the_last_of_several_values_counts() -> None:
    """A oneof sent twice, as merged messages are: protobuf keeps the last branch on the wire."""
    both = field(9, field(1, b"k") + field(2, b"\x18\x05" + field(1, b"new")))
    body = raw(a_span().SerializeToString() + both)

    decoded = DECODER.traces(body, received_at_ns=NOW_NS)

    assert rows(decoded, without=SPAN_EXTRAS) == reference.spans(body)
    assert decoded.batch.column("SpanAttributes").to_pylist() == [[("k", "new")]]


def test_of_a_repeated_key_the_last_value_counts() -> None:
    """OTLP forbids a key twice in one list; the row is kept, and only the repetition goes."""
    one, two = a_span(attrs={"k": 1, "other": 2}), a_span(attrs={"k": "last"})
    body = raw(one.SerializeToString() + two.SerializeToString())

    decoded = DECODER.traces(body, received_at_ns=NOW_NS)

    assert decoded.refused == ()
    assert decoded.batch.column("SpanAttributes").to_pylist() == [[("other", "2"), ("k", "last")]]
    assert decoded.batch.column("SpanAttributeTypes").to_pylist() == [[3, 1]]


def test_every_value_as_text() -> None:
    """The text rule of the columns, spelled out."""
    plain = {
        "text": "é",
        "yes": True,
        "no": False,
        "whole": -(2**63),
        "tenth": 0.1,
        "minus zero": -0.0,
        "large": 1e300,
        "nan": math.nan,
        "infinite": -math.inf,
        "empty": None,
        "no text": "",
        "bytes": b"\xff\x00",
        "array": ["stop", None, math.inf, b"\x01", {"a": [1.0, True]}],
        "map": {"é": {"deep": []}},
    }
    decoded = DECODER.traces(builders.traces(a_span(attrs=plain)), received_at_ns=NOW_NS)

    assert dict(decoded.batch.column("SpanAttributes")[0].as_py()) == {
        "text": "é",
        "yes": "true",
        "no": "false",
        "whole": "-9223372036854775808",
        "tenth": "0.1",
        "minus zero": "-0.0",
        "large": "1e+300",
        "nan": "NaN",
        "infinite": "-Infinity",
        "empty": "",
        "no text": "",
        "bytes": "/wA=",
        "array": '["stop",null,"Infinity","AQ==",{"a":[1.0,true]}]',
        "map": '{"é":{"deep":[]}}',
    }
    codes = decoded.batch.column("SpanAttributeTypes")[0].as_py()
    names = [list(ValueType)[code] for code in codes]
    assert names == [
        *("string", "bool", "bool", "int", "double", "double", "double", "double", "double"),
        *("empty", "string", "bytes", "array", "kvlist"),
    ]
