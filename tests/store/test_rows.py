"""Values become rows and come back equal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.runs.run import Counts, DeadLetter, Finding, PlacedStep, Run
from collector.store import rows, step_columns
from collector.store.client import Store
from otel_agentrun.rules import BudgetUse
from otel_agentrun.step import Event, Kind, Role, Status, Step, ToolRequest, Usage
from tests.support.store import (  # noqa: F401
    START,
    a_placed,
    a_run,
    a_step,
    store,
    store_database,
    store_engine,
    store_path,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
VERSION = st.integers(0, 2**64 - 1)
TIMES = st.integers(0, 2**62)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
BY_ANNOTATION: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXT,
    "int": INT64,
    "int | None": st.none() | INT64,
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False),
    "tuple[str, ...]": st.lists(TEXT, max_size=3).map(tuple),
    "Mapping[str, str]": st.dictionaries(TEXT, TEXT, max_size=3),
}
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple)


def values_of(cls: type, **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass, every field drawn."""
    return st.builds(
        cls,
        **{
            field.name: special[field.name]
            if field.name in special
            else BY_ANNOTATION[str(field.type)]
            for field in dataclasses.fields(cls)
        },
    )


STEPS = values_of(
    Step,
    version=VERSION,
    kind=st.sampled_from(Kind),
    role=st.sampled_from(Role),
    status=st.sampled_from(Status),
    start_ns=TIMES,
    end_ns=TIMES,
    usage=st.none() | values_of(Usage),
    tool_requests=st.lists(values_of(ToolRequest), max_size=2).map(tuple),
    links=PAIRS,
)
PLACED = values_of(PlacedStep, step=STEPS, revision=VERSION)
COUNTS = values_of(Counts)
RUNS = values_of(
    Run,
    started_at_ns=TIMES,
    ended_at_ns=TIMES,
    revision=VERSION,
    input_span=st.tuples(TEXT, TEXT),
    output_span=st.tuples(TEXT, TEXT),
    own=COUNTS,
    total=COUNTS,
    findings=st.lists(values_of(Finding, at_ns=TIMES), max_size=2).map(tuple),
    budgets=st.lists(values_of(BudgetUse), max_size=2).map(tuple),
)
EVENTS = st.tuples(values_of(Event, at_ns=TIMES), TEXT, TEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(PLACED, max_size=5))
def test_steps_come_back_equal(steps: list[PlacedStep]) -> None:
    """A restart folds what the store has: whatever a row loses, the run would lose."""
    assert rows.placed_steps(rows.step_rows(steps)) == steps


@settings(max_examples=40, deadline=None)
@given(st.lists(RUNS, max_size=4))
def test_runs_come_back_equal(runs: list[Run]) -> None:
    assert rows.runs_of(rows.run_rows(runs)) == runs


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, max_size=4))
def test_events_come_back_equal(events: list[tuple[Event, str, str]]) -> None:
    assert rows.events_of(rows.event_rows(events)) == [(e, run_id) for e, run_id, _ in events]


@settings(max_examples=1, deadline=None, derandomize=True)
@given(
    st.lists(PLACED, min_size=30, max_size=30),
    st.lists(RUNS, min_size=20, max_size=20),
    st.lists(EVENTS, min_size=20, max_size=20),
)
def check_through(
    opened: Store, steps: list[PlacedStep], runs: list[Run], events: list[tuple[Event, str, str]]
) -> None:
    """One key per row, so that no row replaces another, and one partition for one insert."""
    keyed = [
        dataclasses.replace(p.step, span_id=f"{n:016x}", start_ns=START)
        for n, p in enumerate(steps)
    ]
    steps = [dataclasses.replace(p, step=step) for p, step in zip(steps, keyed, strict=True)]
    runs = [dataclasses.replace(r, run_id=str(n), started_at_ns=START) for n, r in enumerate(runs)]
    events = [
        (dataclasses.replace(e, event_id=str(n), at_ns=START), run_id, group_id)
        for n, (e, run_id, group_id) in enumerate(events)
    ]
    opened.insert_arrow("agent_steps", rows.step_rows(steps))
    opened.insert_arrow("agent_runs", rows.run_rows(runs))
    opened.insert_arrow("agent_events", rows.event_rows(events))

    def read(table: str, columns: tuple[str, ...], key: str) -> Any:
        listed = rows.select_list(columns)
        return opened.arrow(f"SELECT {listed} FROM {table} FINAL ORDER BY {key}")

    assert rows.placed_steps(read("agent_steps", rows.STEP_COLUMNS, "SpanId")) == steps
    assert rows.runs_of(read("agent_runs", rows.RUN_COLUMNS, "toUInt8(RunId)")) == runs
    found = rows.events_of(read("agent_events", rows.EVENT_COLUMNS, "toUInt8(EventId)"))
    assert found == [(e, run_id) for e, run_id, _ in events]


def test_the_engine_loses_nothing(store: Store) -> None:  # noqa: F811
    """Types of the tables hold every value: 64-bit numbers, nanoseconds, nulls, nesting."""
    check_through(store)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("agent_steps", rows.STEP_COLUMNS),
        ("agent_runs", (*rows.RUN_COLUMNS, "ReplacedBy", "IsDeleted")),
        ("agent_events", rows.EVENT_COLUMNS),
        ("dead_letters", tuple(field.column for field in rows.DEAD_LETTER)),
    ],
)
def test_every_column_is_written(store: Store, table: str, columns: tuple[str, ...]) -> None:  # noqa: F811
    """A field without a column, or a column that nothing writes, is a migration forgotten."""
    found = store.column(
        "SELECT name FROM system.columns WHERE database = currentDatabase()"
        " AND table = %(table)s AND default_kind = ''",
        {"table": table},
    )

    assert set(found) == set(columns)


def test_a_hostile_value_costs_only_itself() -> None:
    """Numbers beyond 64 bits are clamped, lone surrogates repaired: no other row is lost."""
    hostile = a_step(step_id=2**70, input_bytes=-(2**80), name="a\ud800b", labels={"k\udfff": "v"})
    usage = a_step(usage=Usage(input_tokens=2**64), span_id="b" * 16)

    back = rows.placed_steps(rows.step_rows([a_placed(hostile), a_placed(usage), a_placed()]))

    assert back[0].step.step_id == 2**63 - 1
    assert back[0].step.input_bytes == -(2**63)
    assert back[0].step.name == "a\ufffdb"
    assert back[0].step.labels == {"k\ufffd": "v"}
    assert back[1].step.usage == Usage(input_tokens=2**63 - 1)
    assert back[2] == a_placed()


def test_a_surrogate_pair_is_one_character() -> None:
    """JSON escapes astral characters as pairs, and some parsers hand both halves over."""
    back = rows.runs_of(rows.run_rows([a_run(summary="\ud83d\ude00 and \ud83d")]))

    assert back[0].summary == "\U0001f600 and \ufffd"


def test_dead_letters_hold_what_is_known_and_no_bytes() -> None:
    letter = DeadLetter(
        at_ns=START, signal="traces", reason="malformed", error="truncated", peer="127.0.0.1",
        size_bytes=12, sha256="0" * 64, items=3,
    )  # fmt: skip

    table = rows.dead_letter_rows([letter])

    assert table.num_rows == 1
    assert table["SizeBytes"].to_pylist() == [12]
    assert set(table.column_names) == {
        "Timestamp", "Signal", "Reason", "Error", "Peer", "SizeBytes", "Sha256", "Items",
    }  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(PLACED, max_size=6), st.data())
def test_columns_made_beforehand_give_the_same_rows(
    placed: list[PlacedStep], data: st.DataObject
) -> None:
    """A decoder process makes most columns; some of its steps are not written, others were not
    made there, and the rows must be those of the steps all the same."""
    steps = [entry.step for entry in placed]
    unwritten = data.draw(st.lists(STEPS, max_size=2))
    first = data.draw(st.integers(0, len(steps)))
    made = [*steps[:first], *unwritten]

    table = rows.step_rows(placed, [(made, step_columns.encode(made))], sparse=True)

    for field in rows.PLACED:
        if field.column not in table.column_names:
            defaults = field.codec.encode([field.codec.default] * len(placed))
            table = table.append_column(field.column, defaults)
    assert rows.placed_steps(table) == placed
