"""Version and RecordId: the same content gives the same number wherever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.model import span_version
from collector.receiver import otlp_digest
from collector.receiver.decode import Decoder
from collector.receiver.otlp_spans import versions
from tests.decode import builders
from tests.decode.builders import END_NS, NOW_NS, START_NS, a_log, a_span, logs, traces, value

DECODER = Decoder()
RICH: dict[str, Any] = {
    "attrs": {"k": "v", "n": 1},
    "events": [
        {
            "name": "e",
            "time_unix_nano": END_NS,
            "attributes": [{"key": "k", "value": {"string_value": "v"}}],
        }
    ],
    "links": [{"trace_id": b"\x02" * 16, "span_id": b"\x03" * 8}],
    "status": {"message": "m", "code": 2},
}


def version_of(body: bytes, row: int = 0, **stamps: Any) -> int:
    batch = DECODER.traces(body, **{"received_at_ns": NOW_NS, **stamps}).batch
    version: int = batch.column("Version")[row].as_py()
    return version


@settings(max_examples=60, deadline=None)
@given(st.lists(builders.spans(), min_size=1, max_size=6), st.randoms())
def test_a_version_does_not_depend_on_the_batch(spans: list[Span], random: Any) -> None:
    """Exporters retry and batch anew: position, neighbors and arrival play no part."""
    together = traces(*spans)
    alone = [version_of(traces(span), received_at_ns=NOW_NS + 1) for span in spans]
    order = random.sample(range(len(spans)), k=len(spans))
    shuffled = traces(*(spans[index] for index in order))

    assert [version_of(together, row) for row in range(len(spans))] == alone
    stamped = {"ingest": {"agentrun.workspace": "w"}}
    assert [version_of(shuffled, row, **stamped) for row in range(len(spans))] == [
        alone[index] for index in order
    ]


def test_any_change_of_content_changes_the_hash() -> None:
    """Among versions with the same end and number of attributes the content decides."""
    changed: list[dict[str, Any]] = [
        {},
        {"name": "other"},
        {"kind": 3},
        {"flags": 1},
        {"trace_state": "a=b"},
        {"parent_span_id": b"\x01" * 8},
        {"start_time_unix_nano": START_NS + 1},
        {"attrs": {"k": "w", "n": 1}},
        {"attrs": {"kv": "", "n": 1}},
        {"attrs": {"k": "v", "n": "1"}},
        {"attrs": {"k": "v1", "n": ""}},
        {"status": {"message": "m"}},
        {"status": {"message": "x", "code": 2}},
        {"links": []},
        {"links": [{"trace_id": b"\x02" * 16, "span_id": b"\x04" * 8}]},
        {"events": [{"name": "f", "time_unix_nano": END_NS}]},
        {"events": RICH["events"] * 2},
    ]
    found = [version_of(traces(a_span(**{**RICH, **change}))) for change in changed]
    found.append(version_of(traces(a_span(**RICH), resource={"service.name": "s"})))
    found.append(version_of(traces(a_span(**RICH), scope="other")))

    assert len(set(found)) == len(found)


def test_versions_follow_the_formula_of_the_model() -> None:
    """One formula, two implementations: for a column and for one span."""
    cases = [(0, 0, 0), (END_NS, 5, 2**64 - 1), (2**62 - 1, 1000, 12345), (END_NS, 63, 1 << 20)]
    columns = [np.array(column, np.uint64) for column in zip(*cases, strict=True)]

    found = versions(columns[0], columns[1].astype(np.int64), columns[2])

    assert found.tolist() == [span_version(*case) for case in cases]


def test_a_later_end_wins_over_more_attributes() -> None:
    """A span exported while running and again when it has ended: the ended one is kept."""
    early = version_of(traces(a_span(attrs={"a": 1, "b": 2}, end_time_unix_nano=END_NS - 10**9)))
    poor = version_of(traces(a_span()))
    rich = version_of(traces(a_span(attrs={"a": 1})))

    assert early < poor < rich


def record_ids(*records: Any, **stamps: Any) -> list[int]:
    resource = stamps.pop("resource", None)
    body = logs(*records, resource=resource)
    batch = DECODER.logs(body, **{"received_at_ns": NOW_NS, **stamps}).batch
    found: list[int] = batch.column("RecordId").to_pylist()
    return found


def test_a_resent_record_is_the_same_record() -> None:
    """Whatever its neighbors, arrival and headers; also without any time of its own."""
    one = a_log(body=value("one"), attrs={"a": 1})
    timeless = a_log(time_unix_nano=0, body=value("two"))
    first = record_ids(one, timeless)
    again = record_ids(timeless, one, received_at_ns=NOW_NS + 5, ingest={"k": "v"})

    assert first == again[::-1]
    assert first[0] != first[1]


def test_different_records_have_different_ids() -> None:
    """Content, ids, scope and resource all count."""
    found = record_ids(
        a_log(),
        a_log(body=value("x")),
        a_log(severity_text="x"),
        a_log(event_name="x"),
        a_log(severity_number=1),
        a_log(flags=1),
        a_log(trace_id=b"\x01" * 16),
        a_log(span_id=b"\x01" * 8),
        a_log(attrs={"x": ""}),
        a_log(time_unix_nano=START_NS + 1),
    )
    found += record_ids(a_log(), resource={"service.name": "s"})

    assert len(set(found)) == len(found)


def test_digests_are_what_they_were() -> None:
    """Versions are stored: a collector of a later release must compute the same numbers."""
    body = traces(a_span(**RICH), resource={"service.name": "s"})

    assert version_of(body) & 0xFFFFF == 276661
    assert record_ids(a_log(body=value("x"), attrs={"k": 1})) == [5885723605255852374]
    one, two = np.array([1], np.uint64), np.array([2], np.uint64)
    assert otlp_digest.combine(one, two).tolist() == [7932743574298903275]
