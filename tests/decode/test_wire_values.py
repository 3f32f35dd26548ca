"""Values are read from the wire by column: every spelling says what the official classes read."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.receiver.decode import Decoder, Limits
from tests.decode import builders, reference
from tests.decode.builders import LOG_EXTRAS, NOW_NS, SPAN_EXTRAS, a_log, a_span, field, raw, rows

DECODER = Decoder()
SIZES = (0, 1, 127, 128, 129, 130, 131, 16_383, 16_384, 16_388, 2**21 - 1, 2**21, 2**21 + 5)
SPELLINGS = {
    "a number of ten bytes": b"\x18" + b"\xff" * 9 + b"\x01",
    "a number longer than it must be": b"\x18\x85\x80\x00",
    "a boolean that is not 1": b"\x10\x80\x01",
    "a length longer than it must be": b"\x0a\x81\x80\x00x",
    "two branches": b"\x18\x05\x0a\x01x",
    "one branch twice": b"\x0a\x01x\x0a\x02yz",
    "a text before the same as number": b"\x0a\x01x\x18\x05",
    "a field of a later version": b"\x0a\x01x\xba\x3e\x01n",
    "only a field of a later version": b"\xba\x3e\x01n",
    "a double before another": b"\x21" + bytes(8) + b"\x21" + bytes(7) + b"\x40",
}
CUT = {
    "a length without its text": b"\x0a\x05x",
    "a length that ends in the next value": b"\x0a\xff",
    "a number that ends in the next value": b"\x18\x80",
    "a tag alone": b"\x18",
    "a double of seven bytes": b"\x21" + bytes(7),
    "a length of nearly 2**64": b"\x0a" + b"\xff" * 9 + b"\x01",
    "eleven bytes of number": b"\x18" + b"\xff" * 10 + b"\x01",
    "a tag of 0": b"\x00",
}


def with_value(*parts: bytes) -> bytes:
    """A request of a span whose attribute has a serialized value, before one of two bytes."""
    entries = field(9, field(1, b"k") + b"".join(field(2, part) for part in parts))
    entries += field(9, field(1, b"next") + field(2, field(1, b"\x01")))
    return raw(a_span().SerializeToString() + entries)


@pytest.mark.parametrize("size", SIZES)
def test_texts_of_every_length_agree(size: int) -> None:
    """The length takes one byte more at 2**7, 2**14 and 2**21."""
    decoder = Decoder(Limits(value_bytes_max=2**22))
    body = builders.traces(a_span(attrs={"a": "x" * size, "b": "é" * (size // 2), "c": 1}))

    decoded = decoder.traces(body, received_at_ns=NOW_NS)

    assert rows(decoded, without=SPAN_EXTRAS) == reference.spans(body)


@pytest.mark.parametrize("value", SPELLINGS.values(), ids=SPELLINGS)
def test_odd_spellings_agree(value: bytes) -> None:
    """Legal on the wire, though no encoder writes them."""
    body = with_value(value)

    decoded = DECODER.traces(body, received_at_ns=NOW_NS)

    assert decoded.refused == ()
    assert rows(decoded, without=SPAN_EXTRAS) == reference.spans(body)


@pytest.mark.parametrize("value", CUT.values(), ids=CUT)
def test_a_value_that_is_no_message_costs_its_span(value: bytes) -> None:
    """What follows in the column is never read as part of it."""
    body = with_value(value) + raw(a_span(2, attrs={"a": 1}).SerializeToString())

    decoded = DECODER.traces(body, received_at_ns=NOW_NS)

    assert [(refusal.reason, refusal.count) for refusal in decoded.refused] == [("malformed", 1)]
    assert decoded.batch.column("SpanAttributes").to_pylist() == [[("a", "1")]]


def test_a_value_in_parts_is_merged_as_protobuf_merges() -> None:
    """Parts are put together as messages: one that is cut does not go on in the next."""
    merged = with_value(b"\x0a\x01x", b"", b"\x18\x05")
    decoded = DECODER.traces(merged, received_at_ns=NOW_NS)
    assert rows(decoded, without=SPAN_EXTRAS) == reference.spans(merged)

    body = a_log().SerializeToString() + field(5, b"\x18\x05") + field(5, b"\x0a\x01x")
    decoded = DECODER.logs(raw(body), received_at_ns=NOW_NS)
    assert rows(decoded, without=LOG_EXTRAS) == reference.logs(raw(body), NOW_NS)

    cut = DECODER.traces(with_value(b"\x0a\x03x", b"yz"), received_at_ns=NOW_NS)
    assert [refusal.reason for refusal in cut.refused] == ["malformed"]


def test_text_that_is_no_utf8_costs_its_span() -> None:
    """Also where it is whole only together with the text beside it in the column."""
    halves = field(9, field(1, b"a") + field(2, field(1, b"\xc3")))
    halves += field(9, field(1, b"b") + field(2, field(1, b"\xa9")))
    good = a_span(2, attrs={"a": "é"}).SerializeToString()
    body = raw(a_span().SerializeToString() + halves) + raw(good)

    decoded = DECODER.traces(body, received_at_ns=NOW_NS)

    assert [(refusal.reason, refusal.count) for refusal in decoded.refused] == [("bad_utf8", 1)]
    assert decoded.batch.column("SpanAttributes").to_pylist() == [[("a", "é")]]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(max_size=12).filter(lambda data: b"@" not in data and b"B" not in data),
        min_size=1,
        max_size=8,
    )
)
def test_any_bytes_agree_or_cost_their_record(values: list[bytes]) -> None:
    """Bodies of any bytes: read as the official classes do, or refused, alone.

    Without the tags of field 8, which newer official classes know and the text rule does not.
    """
    parts = [raw(a_log().SerializeToString() + field(5, value)) for value in values]
    good = [part for part in parts if is_request(part)]

    decoded = DECODER.logs(b"".join(parts), received_at_ns=NOW_NS)

    assert decoded.refused_count == len(parts) - len(good)
    expected = [row for part in good for row in reference.logs(part, NOW_NS)]
    assert rows(decoded, without=LOG_EXTRAS) == expected


def is_request(body: bytes) -> bool:
    try:
        reference.logs(body, NOW_NS)
    except DecodeError:
        return False
    return True
