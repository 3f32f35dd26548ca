"""OTLP/JSON: strict where data would be lost, lenient where exporters differ; and files of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collector.errors import PermanentError
from collector.model import Decoded, Signal
from collector.receiver.decode import Decoder
from collector.receiver.otlp_json import iter_requests
from tests.decode.builders import (
    END_NS,
    NOW_NS,
    START_NS,
    a_log,
    a_span,
    field,
    logs,
    traces,
    value,
)

DECODER = Decoder()
SPAN: dict[str, Any] = {
    "traceId": "0102030405060708090A0B0C0D0E0F10",
    "spanId": "0102030405060708",
    "name": "chat",
    "kind": 3,
    "startTimeUnixNano": str(START_NS),
    "endTimeUnixNano": str(END_NS),
}


def decode(*spans: Any) -> Decoded:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    return DECODER.traces_json(json.dumps(document).encode(), received_at_ns=NOW_NS)


def attributes(*values: Any) -> dict[str, str]:
    items = [{"key": str(index), "value": item} for index, item in enumerate(values)]
    row = decode({**SPAN, "attributes": items}).batch.to_pylist()[0]
    return dict(row["SpanAttributes"])


def test_ids_are_hex_and_enums_numbers_or_names() -> None:
    """Not base64, as protobuf's JSON mapping would have it; unknown names are Unspecified."""
    spans = [
        SPAN,
        {**SPAN, "kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}},
        {**SPAN, "kind": "SPAN_KIND_NEW", "status": {"code": 77}},
        {**SPAN, "kind": "3", "status": {"code": "2", "message": None}},
    ]
    batch = decode(*spans).batch

    assert set(batch.column("TraceId").to_pylist()) == {"0102030405060708090a0b0c0d0e0f10"}
    assert batch.column("SpanKind").to_pylist() == ["Client", "Client", "Unspecified", "Client"]
    assert batch.column("StatusCode").to_pylist() == ["Unset", "Error", "Unset", "Error"]


def test_both_spellings_of_names_give_the_same() -> None:
    """proto3 JSON parsers accept the field names of the .proto file, too."""
    snake = {
        "trace_id": SPAN["traceId"],
        "span_id": SPAN["spanId"],
        "name": "chat",
        "kind": 3,
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": END_NS,
        "not_of_otlp": {"x": [1]},
    }
    document = {"resource_spans": [{"scope_spans": [{"spans": [snake]}]}]}
    decoded = DECODER.traces_json(json.dumps(document).encode(), received_at_ns=NOW_NS)

    assert decoded.batch.equals(decode(SPAN).batch)


def test_every_value_in_json() -> None:
    """64-bit integers as text or number, bytes base64, null as absent."""
    found = attributes(
        {"stringValue": ""},
        {"intValue": "9223372036854775807"},
        {"intValue": -5},
        {"doubleValue": 2},
        {"doubleValue": "NaN"},
        {"doubleValue": None},
        {"boolValue": False},
        {"bytesValue": "/wA="},
        {"arrayValue": {"values": [{"intValue": "1"}, {}]}},
        {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}},
        {"arrayValue": {}},
        {"string_value": "snake"},
    )
    assert list(found.values()) == [
        *("", "9223372036854775807", "-5", "2.0", "NaN", "", "false", "/wA="),
        *("[1,null]", '{"a":true}', "[]", "snake"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"traceId": "xyz"}, "bad_ids"),
        ({"traceId": 5}, "bad_ids"),
        ({"spanId": ""}, "bad_ids"),
        ({"name": 5}, "malformed"),
        ({"startTimeUnixNano": "soon"}, "malformed"),
        ({"startTimeUnixNano": -1}, "malformed"),
        ({"endTimeUnixNano": 0}, "bad_times"),
        ({"attributes": [{"key": "k", "value": {"intValue": 2**63}}]}, "malformed"),
        ({"attributes": [{"key": "k", "value": {"bytesValue": "?"}}]}, "malformed"),
        ({"attributes": {"k": "v"}}, "malformed"),
        ({"attributes": [{"key": "k", "value": "v"}]}, "malformed"),
        ({"events": [None]}, "malformed"),
        ({"status": 5}, "malformed"),
    ],
)
def test_a_bad_span_in_json_costs_only_itself(change: dict[str, Any], reason: str) -> None:
    """The same promise as for protobuf."""
    decoded = decode(SPAN, {**SPAN, **change}, SPAN)

    assert decoded.batch.num_rows == 2
    assert {refusal.reason: refusal.count for refusal in decoded.refused} == {reason: 1}
    assert decoded.received == 3


def test_items_that_are_no_objects_cost_only_themselves() -> None:
    """A null or a number among the spans."""
    decoded = decode(SPAN, None, 5, [])

    assert decoded.batch.num_rows == 1
    assert decoded.refused_count == 3


def test_nesting_too_deep_costs_only_its_span() -> None:
    """The limit of protobuf values, applied before anything recurses."""
    item: dict[str, Any] = {"stringValue": "x"}
    for _ in range(33):
        item = {"arrayValue": {"values": [item]}}
    inside = item["arrayValue"]["values"][0]
    deep = {**SPAN, "attributes": [{"key": "k", "value": item}]}
    deepest = {**SPAN, "attributes": [{"key": "k", "value": inside}]}

    decoded = decode(deep, deepest)

    assert decoded.batch.num_rows == 1
    assert [refusal.reason for refusal in decoded.refused] == ["too_deep"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"resourceSpans":5}',
        b'{"resourceSpans":[5]}',
        b'{"resourceSpans":[{"scopeSpans":[null]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":{"a":1}}]}]}',
        b'{"resourceSpans":"\xff"}',
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """Where not even the items can be told apart."""
    with pytest.raises(PermanentError):
        DECODER.traces_json(body, received_at_ns=NOW_NS)


def test_a_bad_resource_in_json_costs_its_spans() -> None:
    """As for protobuf: spans without a readable resource belong to nobody."""
    groups = [
        {"resource": {"attributes": 5}, "scopeSpans": [{"spans": [SPAN, SPAN]}]},
        {
            "resource": {},
            "scopeSpans": [{"scope": {"name": 7}, "spans": [SPAN]}, {"spans": [SPAN]}],
        },
    ]
    body = json.dumps({"resourceSpans": groups}).encode()
    decoded = DECODER.traces_json(body, received_at_ns=NOW_NS)

    assert decoded.batch.num_rows == 1
    assert {refusal.reason: refusal.count for refusal in decoded.refused} == {"malformed": 3}


# --------------------------------------------------------------------------- files

TRACES, LOGS = traces(a_span()), logs(a_log(body=value("x")))
TRACES_JSON = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}).encode()
LOGS_JSON = json.dumps({"resourceLogs": []}).encode()


def requests_in(tmp_path: Path, content: bytes) -> list[tuple[Signal, str, bytes]]:
    file = tmp_path / "file"
    file.write_bytes(content)
    return list(iter_requests(file))


def test_json_lines_are_read_line_by_line(tmp_path: Path) -> None:
    """What the Collector's file exporter writes; signals may be mixed, lines empty."""
    both = json.dumps({"resourceSpans": [], "resourceLogs": []}).encode()
    content = TRACES_JSON + b"\n\n" + LOGS_JSON + b"\r\n" + both

    assert [(signal, line.strip()) for signal, _, line in requests_in(tmp_path, content)] == [
        (Signal.TRACES, TRACES_JSON),
        (Signal.LOGS, LOGS_JSON),
        (Signal.TRACES, both),
        (Signal.LOGS, both),
    ]


def test_one_indented_document_is_one_request(tmp_path: Path) -> None:
    """A request body as a person saves it."""
    content = json.dumps(json.loads(TRACES_JSON), indent=2).encode()

    assert requests_in(tmp_path, content) == [(Signal.TRACES, "json", content)]


def test_protobuf_files_are_one_request_or_delimited_ones(tmp_path: Path) -> None:
    """A raw request body, or requests each after its length."""
    delimited = b"".join(field(1, body)[1:] for body in (TRACES, LOGS, TRACES))

    assert requests_in(tmp_path, TRACES) == [(Signal.TRACES, "protobuf", TRACES)]
    assert requests_in(tmp_path, LOGS) == [(Signal.LOGS, "protobuf", LOGS)]
    assert [signal for signal, _, _ in requests_in(tmp_path, delimited)] == [
        Signal.TRACES,
        Signal.LOGS,
        Signal.TRACES,
    ]
    assert requests_in(tmp_path, b"") == []


@pytest.mark.parametrize(
    "content",
    [b"hello", b"\x0a\xff\x01", b"{\n{}", b"{}", b'{"other":[]}', LOGS_JSON + b"\n{cut"],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the file, and the line where there are lines."""
    with pytest.raises(PermanentError, match="file"):
        requests_in(tmp_path, content)


@pytest.mark.parametrize("content", [b"{cut\n" + TRACES_JSON, TRACES_JSON + b"\n{cut"])
def test_a_broken_line_costs_that_line(tmp_path: Path, content: bytes) -> None:
    """A log file cut off by a crash is still worth reading."""
    file = tmp_path / "file"
    file.write_bytes(content)
    errors: list[PermanentError] = []

    found = [signal for signal, _, _ in iter_requests(file, errors.append)]

    assert found == [Signal.TRACES]
    assert len(errors) == 1
    assert f":{1 if content.startswith(b'{cut') else 2}: " in str(errors[0])
