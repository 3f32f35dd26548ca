"""What happens to texts: the redactor sees every one before it is cut, and lengths are kept."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from collector.model import LOGS, SPANS, ValueType
from collector.receiver.decode import Decoder, Limits
from tests.decode.builders import END_NS, NOW_NS, a_log, a_span, logs, traces, value

SECRET = "sk-" + "a" * 20
MASK = "[redacted]"


class FakeRedactor:
    """Replaces SECRET, and the values of the key `password`; remembers how often it was asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.content: list[str] = []

    def values(
        self, values: pa.StringArray, keys: pa.StringArray | None, *, content: bool = False
    ) -> tuple[pa.StringArray, int]:
        texts = values.to_pylist()
        self.seen += texts
        self.content += texts if content else []
        names = [""] * len(texts) if keys is None else keys.to_pylist()
        clean = [
            MASK if name == "password" else text.replace(SECRET, MASK)
            for text, name in zip(texts, names, strict=True)
        ]
        changed = sum(old != new for old, new in zip(texts, clean, strict=True))
        return pa.array(clean, pa.string()), changed


def strings_in(thing: Any) -> list[str]:
    match thing:
        case str():
            return [thing]
        case list() | tuple():
            return [text for item in thing for text in strings_in(item)]
        case dict():
            return [text for item in thing.items() for text in strings_in(item)]
        case _:
            return []


EVENT = {"name": SECRET, "time_unix_nano": END_NS, "attributes": [{"key": SECRET}]}
LINK = {
    "trace_id": b"\x01" * 16,
    "span_id": b"\x02" * 8,
    "trace_state": f"a={SECRET}",
    "attributes": [{"key": "k", "value": {"string_value": SECRET}}],
}
EVERYWHERE = {
    "k": f"key is {SECRET}!",
    "in array": ["x", {"nested": SECRET}],
    SECRET: "in a key",
    "password": "hunter2",
}


def test_secrets_are_replaced_everywhere_in_a_span() -> None:
    """Names, state, status, values, structures, keys, events, links, resource, scope, headers."""
    span = a_span(
        attrs=EVERYWHERE,
        name=SECRET,
        trace_state=f"a={SECRET}",
        status={"message": SECRET},
        events=[EVENT],
        links=[LINK],
    )
    body = traces(span, resource={"service.name": SECRET, "password": "x"}, scope=SECRET)
    decoded = Decoder(redactor=FakeRedactor()).traces(
        body, received_at_ns=NOW_NS, ingest={"agentrun.property.x": SECRET, "password": "y"}
    )

    row = decoded.batch.to_pylist()[0]
    found = strings_in(row)
    assert not [text for text in found if SECRET in text or text in ("hunter2", "x=")]
    assert row["SpanName"] == row["StatusMessage"] == row["ScopeName"] == row["ServiceName"] == MASK
    assert dict(row["SpanAttributes"]) == {
        "k": f"key is {MASK}!",
        "in array": f'["x",{{"nested":"{MASK}"}}]',
        MASK: "in a key",
        "password": MASK,
    }
    assert row["IngestAttributes"] == [("agentrun.property.x", MASK), ("password", MASK)]
    assert decoded.values_redacted >= 10


def test_secrets_are_replaced_everywhere_in_a_log_record() -> None:
    """Bodies of either kind, severity text, event name, attributes, resource, schema URLs."""
    records = [
        a_log(body=value(SECRET), severity_text=SECRET, event_name=SECRET, attrs=EVERYWHERE),
        a_log(body=value({"a": [SECRET]})),
    ]
    body = logs(*records, resource={"service.name": SECRET})
    decoded = Decoder(redactor=FakeRedactor()).logs(body, received_at_ns=NOW_NS)

    assert not [text for text in strings_in(decoded.batch.to_pylist()) if SECRET in text]
    assert decoded.batch.column("Body").to_pylist() == [MASK, f'{{"a":["{MASK}"]}}']


def test_values_of_resource_and_scope_are_redacted_once() -> None:
    """They repeat on every span; redaction is the dearest step of the path."""
    redactor = FakeRedactor()
    body = traces(
        *[a_span(n, name="chat") for n in range(1, 40)], resource={"k": "of the resource"}
    )
    Decoder(redactor=redactor).traces(body, received_at_ns=NOW_NS)

    assert redactor.seen.count("of the resource") == 1
    assert redactor.seen.count("chat") == 1
    assert redactor.seen.count("test") == 1


def test_content_is_marked_for_the_redactor() -> None:
    """Log bodies and attributes of events and records may hold prompts under any key."""
    redactor = FakeRedactor()
    event = {
        "name": "event",
        "time_unix_nano": END_NS,
        "attributes": [{"key": "k", "value": {"string_value": "prompt"}}],
    }
    span = a_span(attrs={"k": "plain"}, events=[event])
    Decoder(redactor=redactor).traces(traces(span, resource={"r": "s"}), received_at_ns=NOW_NS)
    assert redactor.content == ["prompt"]

    record = a_log(body=value("plain"), attrs={"k": "also"}, severity_text="plain")
    Decoder(redactor=redactor).logs(logs(record, resource={"r": "s"}), received_at_ns=NOW_NS)
    assert redactor.content == ["prompt", "also", "plain"]


def test_redaction_comes_before_cutting() -> None:
    """Half a secret matches no pattern: cut first, and its beginning would be stored."""
    text = "x" * 20 + SECRET
    decoded = Decoder(Limits(value_bytes_max=25), FakeRedactor()).traces(
        traces(a_span(attrs={"k": text}, name=text)), received_at_ns=NOW_NS
    )

    row = decoded.batch.to_pylist()[0]
    assert dict(row["SpanAttributes"])["k"] == row["SpanName"] == "x" * 20 + "[reda"


def test_long_texts_are_cut_and_keep_their_length() -> None:
    """At a whole character; an attribute says how long it was; neighbors are untouched."""
    event = {
        "name": "e" * 11,
        "time_unix_nano": END_NS,
        "attributes": [{"key": "stack", "value": {"string_value": "é" * 6}}],
    }
    spans = [
        a_span(1, attrs={"first": "1"}),
        a_span(2, name="n" * 12),
        a_span(3, attrs={"a": "é" * 8, "b": "ok"}, status={"message": "s" * 13}, events=[event]),
        a_span(4),
        a_span(5, attrs={"last": "5"}),
    ]
    decoded = Decoder(Limits(value_bytes_max=10)).traces(
        traces(*spans, resource={"service.name": "r" * 30}), received_at_ns=NOW_NS
    )

    rows = decoded.batch.to_pylist()
    assert [row["SpanAttributes"] for row in rows] == [
        [("first", "1")],
        [("agentrun.t", "12")],
        [("a", "ééééé"), ("agentrun.t", "16"), ("b", "ok"), ("agentrun.t", "13")],
        [],
        [("last", "5")],
    ]
    assert rows[1]["SpanName"] == "n" * 10
    assert rows[2]["Events.Name"] == ["e" * 10]
    assert decoded.values_cut == 6


def test_the_kept_length_names_what_was_cut() -> None:
    """`agentrun.truncated.<key>`, an integer, beside the value it is about."""
    long = "x" * 200
    event = {"name": long, "time_unix_nano": END_NS}
    span = a_span(attrs={"k": long}, name=long, status={"message": long}, events=[event])
    decoder = Decoder(Limits(value_bytes_max=100))
    row = decoder.traces(traces(span), received_at_ns=NOW_NS).batch.to_pylist()[0]

    assert [key for key, _ in row["SpanAttributes"]] == [
        "k",
        "agentrun.truncated.k",
        "agentrun.truncated.span.name",
        "agentrun.truncated.status.message",
    ]
    assert [list(ValueType)[code] for code in row["SpanAttributeTypes"]] == ["string"] + ["int"] * 3
    assert row["Events.Attributes"] == [[("agentrun.truncated.event.name", "200")]]

    record = a_log(body=value(["y" * 200]))
    batch = decoder.logs(logs(record), received_at_ns=NOW_NS).batch
    assert batch.column("LogAttributes").to_pylist() == [[("agentrun.truncated.body", "204")]]
    assert len(batch.column("Body")[0].as_py()) == 100


INGEST = {"agentrun.workspace": "w", "agentrun.run.id": "r", "agentrun.request.id": "q"}


@pytest.mark.parametrize(("second", "kept"), [(b"\x01" * 16, 3), (b"\x02" * 16, 1)])
def test_run_headers_apply_to_a_request_of_one_trace(second: bytes, kept: int) -> None:
    """S2.18, S2.20: a batch of several traces cannot be one run; the rest applies to every row."""
    body = traces(a_span(1), a_span(2, trace_id=second))
    batch = Decoder().traces(body, received_at_ns=NOW_NS, ingest=INGEST).batch

    expected = list(INGEST.items())[:kept]
    assert batch.column("IngestAttributes").to_pylist() == [expected, expected]


def test_records_without_trace_do_not_make_it_several() -> None:
    """Logs outside of a span ride along with the request's one trace."""
    body = logs(a_log(trace_id=b"\x01" * 16), a_log())
    batch = Decoder().logs(body, received_at_ns=NOW_NS, ingest=INGEST).batch
    none = Decoder().logs(logs(a_log()), received_at_ns=NOW_NS, ingest=INGEST).batch

    assert [len(pairs) for pairs in batch.column("IngestAttributes").to_pylist()] == [3, 3]
    assert [len(pairs) for pairs in none.column("IngestAttributes").to_pylist()] == [3]


def test_batches_have_the_schemas_of_the_model() -> None:
    """The journal writes what the store reads."""
    spans = Decoder().traces(traces(a_span()), received_at_ns=NOW_NS, ingest=INGEST)
    records = Decoder().logs(logs(a_log()), received_at_ns=NOW_NS, ingest=INGEST)

    assert spans.batch.schema.equals(SPANS)
    assert records.batch.schema.equals(LOGS)
