"""One bad item costs that item; a request is refused only where no item can be told from it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)

from collector.errors import PermanentError, TooLargeError
from collector.model import Decoded
from collector.receiver.decode import Decoder, Limits
from tests.decode.builders import (
    END_NS,
    NOW_NS,
    START_NS,
    a_log,
    a_span,
    field,
    logs,
    raw,
    traces,
    value,
)

DECODER = Decoder()
DAY_NS = 86_400 * 10**9
GOOD, OTHER = a_span(1), a_span(2)


def decode(body: bytes) -> Decoded:
    return DECODER.traces(body, received_at_ns=NOW_NS)


def span_ids(decoded: Decoded) -> list[int]:
    return [int(span_id, 16) for span_id in decoded.batch.column("SpanId").to_pylist()]


def reasons(decoded: Decoded) -> dict[str, int]:
    return {refusal.reason: refusal.count for refusal in decoded.refused}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "bad_ids"),
        ({"trace_id": b"\x01" * 15}, "bad_ids"),
        ({"trace_id": bytes(16)}, "bad_ids"),
        ({"span_id": b"\x01\x02"}, "bad_ids"),
        ({"span_id": bytes(8)}, "bad_ids"),
        ({"parent_span_id": b"\x01" * 7}, "bad_ids"),
        ({"start_time_unix_nano": 0}, "bad_times"),
        ({"end_time_unix_nano": 0}, "bad_times"),
        ({"end_time_unix_nano": START_NS - 1}, "bad_times"),
        ({"start_time_unix_nano": NOW_NS - 3654 * DAY_NS}, "bad_times"),
        ({"end_time_unix_nano": NOW_NS + DAY_NS + 1}, "bad_times"),
        ({"end_time_unix_nano": 2**64 - 1}, "bad_times"),
        ({"events": [{"time_unix_nano": 2**63}]}, "bad_times"),
    ],
)
def test_an_impossible_span_costs_only_itself(fields: dict[str, Any], reason: str) -> None:
    """Ids and times are checked for all spans at once; the neighbors keep their places."""
    decoded = decode(traces(GOOD, a_span(9, **fields), OTHER))

    assert span_ids(decoded) == [1, 2]
    assert reasons(decoded) == {reason: 1}
    assert (decoded.received, decoded.refused_count) == (3, 1)


def test_the_limits_of_time_are_inside() -> None:
    """The oldest and the latest span that are taken, and a span without duration."""
    oldest, latest = NOW_NS - 3653 * DAY_NS, NOW_NS + DAY_NS
    old = a_span(1, start_time_unix_nano=oldest, end_time_unix_nano=oldest)
    new = a_span(2, start_time_unix_nano=latest, end_time_unix_nano=latest)

    decoded = decode(traces(old, new))

    assert decoded.refused == ()
    assert decoded.batch.column("Duration").to_pylist() == [0, 0]


def deep(levels: int, leaf: Any = "x") -> Any:
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"k": leaf}
    return leaf


BAD_SPANS = {
    "bad_utf8": a_span(9, attrs={"k": "ABCD"}).SerializeToString().replace(b"ABCD", b"AB\xc3D"),
    "malformed": a_span(9).SerializeToString() + b"\x4a\x7f",
    "too_deep": a_span(9, attrs={"k": deep(33)}).SerializeToString(),
}
NESTED_UTF8 = a_span(9, attrs={"k": ["ABCD"]}).SerializeToString().replace(b"ABCD", b"AB\xc3D")


@pytest.mark.parametrize("reason", BAD_SPANS)
def test_an_undecodable_span_costs_only_itself(reason: str) -> None:
    """Invalid UTF-8, a broken field, a bomb: no peer measured refuses less than the request."""
    good, other = GOOD.SerializeToString(), OTHER.SerializeToString()
    decoded = decode(raw(good, BAD_SPANS[reason], other, BAD_SPANS[reason]))

    assert span_ids(decoded) == [1, 2]
    assert reasons(decoded) == {reason: 2}


@pytest.mark.parametrize("site", ["attributes", "events", "links"])
def test_invalid_text_inside_a_structure_costs_only_its_span(site: str) -> None:
    """Nested values are read late; what is found there reaches back to the span."""
    attribute = field(1, b"k") + field(2, field(5, field(1, field(1, b"AB\xc3D"))))
    inside = {
        "attributes": field(9, attribute),
        "events": field(11, field(3, attribute)),
        "links": field(13, field(4, attribute)),
    }[site]
    decoded = decode(
        raw(
            GOOD.SerializeToString(),
            a_span(9).SerializeToString() + inside,
            OTHER.SerializeToString(),
        )
    )

    assert span_ids(decoded) == [1, 2]
    assert reasons(decoded) == {"bad_utf8": 1}


@pytest.mark.parametrize("nested", [False, True])
def test_a_bad_resource_costs_its_spans_and_no_others(nested: bool) -> None:
    """Spans cannot be attributed to a resource that cannot be read."""
    text = field(1, b"AB\xc3D")
    content = field(5, field(1, text)) if nested else text
    resource = field(1, field(1, b"k") + field(2, content))
    bad = raw(a_span(7).SerializeToString(), a_span(8).SerializeToString(), resource=resource)
    decoded = decode(bad + raw(GOOD.SerializeToString()))

    assert span_ids(decoded) == [1]
    assert reasons(decoded) == {"bad_utf8": 2}


def test_a_bad_scope_costs_its_spans_and_no_others() -> None:
    """The same one level down, with a second request's worth of spans beside it."""
    bad = raw(a_span(7).SerializeToString(), scope=field(1, b"\xff"))
    decoded = decode(bad + raw(GOOD.SerializeToString(), NESTED_UTF8))

    assert span_ids(decoded) == [1]
    assert reasons(decoded) == {"bad_utf8": 2}


def test_a_bad_log_record_costs_only_itself() -> None:
    """Bodies are values, too."""
    bad = a_log(body=value("ABCD")).SerializeToString().replace(b"ABCD", b"AB\xc3D")
    deep_body = a_log(body=value(deep(33))).SerializeToString()
    short_id = a_log(trace_id=b"\x01").SerializeToString()
    early = a_log(time_unix_nano=1).SerializeToString()
    good = a_log(body=value({"a": 1})).SerializeToString()

    decoded = DECODER.logs(raw(good, bad, deep_body, short_id, early, good), received_at_ns=NOW_NS)

    assert decoded.batch.column("Body").to_pylist() == ['{"a":1}'] * 2
    assert reasons(decoded) == {"bad_ids": 1, "bad_times": 1, "bad_utf8": 1, "too_deep": 1}
    assert decoded.received == 6


def test_the_deepest_value_that_is_taken() -> None:
    """The limit itself is inside, for the fast path and for the salvage path."""
    deepest = a_span(1, attrs={"k": deep(32)}).SerializeToString()

    assert decode(raw(deepest)).refused == ()
    assert reasons(decode(raw(deepest, BAD_SPANS["bad_utf8"]))) == {"bad_utf8": 1}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"GET / HTTP/1.1\r\n", "wire type"),
        (b'{"resourceSpans":[]}', "at byte 1"),
        (traces(GOOD, OTHER)[:-30], "30 bytes short"),
        (b"\x0a" + b"\xff" * 10, "10 bytes"),
        (b"\xff" * 100, "byte 0"),
    ],
)
def test_what_is_no_request_is_refused_with_the_place(body: bytes, says: str) -> None:
    """The sender learns what is wrong and where; nothing of it could be stored."""
    with pytest.raises(PermanentError, match=says) as caught:
        decode(body)
    assert caught.value.reason == "malformed"


def test_a_request_cut_off_anywhere_is_refused_or_decoded() -> None:
    """Every prefix: a defined answer, never a crash, and never a span that was not sent."""
    span = a_span(1, attrs={"a": [1], "b": "x"}, events=[{"name": "e", "time_unix_nano": END_NS}])
    body = traces(span, a_span(2, status={"message": "no"}), resource={"service.name": "s"})

    assert decode(body[:0]).batch.num_rows == 0
    for size in range(1, len(body)):
        with pytest.raises(PermanentError) as caught:
            decode(body[:size])
        assert caught.value.reason == "malformed"


DAMAGED = traces(
    a_span(
        1, attrs={"a": ["x", {"k": 1.5}], "b": b"\x00", "c": None}, links=[{"trace_id": b"1" * 16}]
    ),
    a_span(2, attrs={"a": True}, events=[{"name": "e", "attributes": [{"key": "k"}]}]),
    resource={"service.name": "s", "list": [1, 2]},
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(DAMAGED) - 1), st.integers(0, 255)), min_size=1, max_size=6
    ),
    st.sampled_from(["traces", "logs"]),
)
def test_damaged_bytes_are_refused_or_decoded(damage: list[tuple[int, int]], path: str) -> None:
    """Bits flipped anywhere: PermanentError, or a valid batch and every item accounted for."""
    body = bytearray(DAMAGED)
    for place, byte in damage:
        body[place] = byte
    try:
        decoded = getattr(DECODER, path)(bytes(body), received_at_ns=NOW_NS)
    except PermanentError:
        return
    decoded.batch.validate(full=True)
    assert decoded.received == decoded.batch.num_rows + decoded.refused_count


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_decoded(body: bytes) -> None:
    """Noise on all three paths, in both encodings."""
    for path in ("traces", "logs", "traces_json", "logs_json"):
        with suppress(PermanentError):
            getattr(DECODER, path)(body, received_at_ns=NOW_NS).batch.validate(full=True)
    for path in ("metrics", "metrics_json"):
        with suppress(PermanentError):
            assert getattr(DECODER, path)(body) >= 0


def test_bombs_end_quickly() -> None:
    """Recursion a thousand levels deep and hostile lengths cost their item, not the process."""
    bomb = b""
    for _ in range(5000):
        bomb = field(5, field(1, bomb))
    span = a_span(9).SerializeToString() + field(9, field(1, b"k") + field(2, bomb))
    json_bomb = b'{"resourceSpans":' + b"[" * 100_000
    groups = b"\x0b" * 100_000
    began = time.monotonic()

    assert reasons(decode(raw(GOOD.SerializeToString(), span))) == {"too_deep": 1}
    for body in (groups, field(1, groups)):
        with pytest.raises(PermanentError):
            decode(body)
    with pytest.raises(PermanentError):
        DECODER.traces_json(json_bomb, received_at_ns=NOW_NS)
    assert time.monotonic() - began < 5


def test_too_many_items_are_refused_before_they_take_memory() -> None:
    """Empty spans take 2 bytes on the wire and a hundred times that as columns."""
    body = field(1, field(2, b"\x12\x00" * 1_200_000))

    with pytest.raises(TooLargeError, match="1200000 items") as caught:
        decode(body)
    assert caught.value.reason == "too_many_items"
    small = Decoder(Limits(items_max=2_000_000)).traces(body, received_at_ns=NOW_NS)
    assert reasons(small) == {"bad_ids": 1_200_000}


METRICS = ExportMetricsServiceRequest(
    resource_metrics=[
        ResourceMetrics(
            scope_metrics=[
                ScopeMetrics(
                    metrics=[
                        Metric(name="a.gauge", gauge=Gauge(data_points=[NumberDataPoint()] * 2)),
                        Metric(name="h", histogram=Histogram(data_points=[HistogramDataPoint()])),
                    ]
                )
            ]
        )
    ]
).SerializeToString()


def test_metrics_are_counted() -> None:
    """They are dropped by design; the count is what the metric of dropped points needs."""
    assert DECODER.metrics(METRICS) == 3
    assert DECODER.metrics(b"") == 0
    json = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{},{}]}}]}]}]}'
    assert DECODER.metrics_json(json) == 2
    with pytest.raises(PermanentError):
        DECODER.metrics(METRICS[:-3])


TRACES = traces(GOOD, OTHER, resource={"service.name": "s"})
LOG = a_log(severity_number=9, body=value("text"), trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
LOGS = logs(LOG, LOG, resource={"service.name": "s"})


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("traces", LOGS, "holds log records but was sent to /v1/traces"),
        ("traces", METRICS, "holds metrics but was sent to /v1/traces"),
        ("logs", TRACES, "holds spans but was sent to /v1/logs"),
        ("logs", METRICS, "holds metrics"),
        ("metrics", TRACES, "holds spans"),
        ("metrics", LOGS, "Fix: send it to /v1/logs"),
        (
            "traces_json",
            b'{"resourceLogs":[]}',
            "opentelemetry.proto.collector.logs.v1.LogsService",
        ),
        ("logs_json", b'{"resource_spans":[]}', "TraceService"),
        ("metrics_json", b'{"resourceSpans":[]}', "holds spans"),
    ],
)
def test_the_wrong_signal_is_recognized(path: str, body: bytes, says: str) -> None:
    """The outer messages are alike, so that it would decode, as items without ids; the message
    names the right path."""
    extra = {} if path.startswith("metrics") else {"received_at_ns": NOW_NS}
    with pytest.raises(PermanentError, match=says) as caught:
        getattr(DECODER, path)(body, **extra)
    assert caught.value.reason == "wrong_signal"


def test_one_foreign_item_is_a_bad_item_only() -> None:
    """A log record among spans must not cost the spans."""
    decoded = decode(raw(LOG.SerializeToString(), GOOD.SerializeToString()))

    assert span_ids(decoded) == [1]
    assert reasons(decoded) == {"malformed": 1}
