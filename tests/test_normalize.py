"""From batch to steps: what the columns lead to is what the spans themselves lead to."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import SPANS, Signal
from collector.normalize import dicts_of, shared_dicts_of, steps_of, views_of
from collector.receiver import otlp_json
from collector.receiver.decode import Decoder
from collector.records import absent
from otel_agentrun import dialects
from otel_agentrun.step import Step
from tests.support import captures


def batches(folder: Path) -> list[pa.RecordBatch]:
    """The requests of a capture, decoded."""
    decoder, now_ns = Decoder(), time.time_ns()
    return [
        decoder.traces(
            otlp_json.to_protobuf(line.encode(), Signal.TRACES, 64)[0], received_at_ns=now_ns
        ).batch
        for line in (folder / "traces.otlp.json").read_text().splitlines()
        if line.strip()
    ]


def a_batch(rows: int, **columns: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array(columns[field.name.replace(".", "_")], field.type)
            if field.name.replace(".", "_") in columns
            else absent(field.type, rows)
            for field in SPANS
        ],
        schema=SPANS,
    )


@pytest.mark.parametrize("source", captures.sources())
def test_a_batch_gives_the_steps_of_its_spans(source: str) -> None:
    """Columns, codes and shared mappings are a way there: the steps are those of single spans."""
    expected = [dialects.step(span) for span in captures.spans(captures.folder(source))]
    ids = {(step.trace_id, step.span_id) for step in expected}

    def of_spans(batch: pa.RecordBatch) -> list[Step]:
        """Without those that spans only tell of."""
        return [step for step in steps_of(batch) if (step.trace_id, step.span_id) in ids]

    made: list[Step] = []
    for batch in batches(captures.folder(source)):
        whole = of_spans(batch)
        assert of_spans(batch.slice(2)) == whole[2:]
        made += whole

    for step, single in zip(made, expected, strict=True):
        # `Version` is the decoder's; only a root's input is handed over.
        assert step == dataclasses.replace(
            single,
            version=step.version,
            input_bytes=single.input_bytes if not step.parent_span_id else step.input_bytes,
            input_structure=step.input_structure if step.parent_span_id else single.input_structure,
        )


def test_only_events_that_a_step_reads_become_objects() -> None:
    """Prompts sent as events stay columns, unless someone asks for all of them."""
    batch = a_batch(
        3,
        Events_Name=[["gen_ai.user.message", "exception"], [], ["exception", "exception"]],
        Events_Timestamp=[[1, 2], [], [3, 4]],
        Events_Attributes=[[[("content", "x")], [("exception.type", "E")]], [], [[], [("a", "b")]]],
    )

    read = [view.events for view in views_of(batch)]
    assert [[event.name for event in events] for events in read] == [
        ["exception"], [], ["exception", "exception"],
    ]  # fmt: skip
    assert (read[0][0].time_ns, read[0][0].attributes) == (2, {"exception.type": "E"})
    assert [event.attributes for event in read[2]] == [{}, {"a": "b"}]

    every = views_of(batch.slice(0, 1), lambda _: True, None, lambda _: True)
    assert [event.name for event in every[0].events] == ["gen_ai.user.message", "exception"]


def test_spans_of_one_resource_share_its_attributes() -> None:
    """Labels are merged once per mapping: equal neighbors must be one object."""
    one, other = [("service.name", "a"), ("x", "1")], [("service.name", "b"), ("x", "1")]
    column = pa.array([one, one, other, one], SPANS.field("ResourceAttributes").type)

    found = shared_dicts_of(column)
    assert found == [dict(one), dict(one), dict(other), dict(one)]
    assert found[0] is found[1]
    same = shared_dicts_of(column.slice(0, 2))
    assert same == [dict(one)] * 2
    assert same[0] is same[1]
    ragged = shared_dicts_of(pa.array([one, one[:1], []], column.type))
    assert ragged == [dict(one), {"service.name": "a"}, {}]


ROWS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=3),
    min_size=1,
    max_size=12,
)


@given(rows=ROWS, start=st.integers(0, 3))
def test_neighbors_share_an_object_where_they_are_equal_and_nowhere_else(
    rows: list[list[tuple[str, str]]], start: int
) -> None:
    """Whatever their lengths, and in any slice of a batch."""
    column = pa.array(rows, SPANS.field("ResourceAttributes").type).slice(start)
    rows = rows[start:]

    found = shared_dicts_of(column)

    assert found == [dict(row) for row in rows]
    for at in range(1, len(rows)):
        shared = found[at] is found[at - 1]
        assert shared == (rows[at] == rows[at - 1]) or not any(rows)


def test_of_a_repeated_key_the_last_value_counts() -> None:
    column = pa.array([[("k", "1"), ("k", "2")], [("j", "3")]], SPANS.field("SpanAttributes").type)

    assert dicts_of(column, lambda _: True) == [{"k": "2"}, {"j": "3"}]
    assert dicts_of(column, lambda key: key == "k") == [{"k": "2"}, {}]
    assert dicts_of(column, lambda _: False, [1], lambda key: key == "j") == [{}, {"j": "3"}]
