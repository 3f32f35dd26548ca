"""Runs, steps, events <-> rows of their tables, without loss and a whole column at a time.

A field's column is its name in CamelCase with the codec of its type, so that a new field of `Run`
or `Step` needs a migration and nothing here; what is named or built otherwise is listed below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa

from collector.ledger.entry import Entry
from collector.runs.run import Counts, DeadLetter, Finding, PlacedStep, Removed, Run
from collector.store import step_columns
from collector.store.codecs import (
    BY_ANNOTATION,
    TEXT,
    TIMES,
    TUPLES,
    TUPLES_OF_NUMBERS,
    TUPLES_OF_TIMES,
    TUPLES_OF_TUPLES,
    UINT,
    Codec,
    to_list,
)
from collector.store.step_columns import camel
from otel_agentrun.rules.finding import BudgetUse
from otel_agentrun.step import Event, Step


@dataclass(frozen=True, slots=True)
class Field:
    """One column of one attribute."""

    column: str
    attribute: str
    codec: Codec


def _fields(
    cls: type, special: Mapping[str, tuple[str, Codec] | None], suffix: str = ""
) -> tuple[Field, ...]:
    """The fields of a dataclass; `special` names other columns, `None` leaves a field out."""
    found = []
    for entry in fields(cls):
        known = special.get(entry.name, ())
        if known is None:
            continue
        column, codec = known or (camel(entry.name) + suffix, BY_ANNOTATION[str(entry.type)])
        found.append(Field(column, entry.name, codec))
    return tuple(found)


PLACED: Final = _fields(PlacedStep, {"step": None, "revision": ("Version", UINT)})
RUN: Final = _fields(
    Run,
    {
        "started_at_ns": ("StartTime", TIMES),
        "ended_at_ns": ("EndTime", TIMES),
        "revision": ("Version", UINT),
        "input_span": None,
        "output_span": None,
        "own": None,
        "total": None,
        "findings": None,
        "budgets": None,
    },
)
OWN: Final = _fields(Counts, {})
TOTAL: Final = _fields(Counts, {}, "Total")
EVENT: Final = _fields(Event, {"at_ns": ("Timestamp", TIMES), "run_id": ("EnclosingRunId", TEXT)})
DEAD_LETTER: Final = _fields(DeadLetter, {"at_ns": ("Timestamp", TIMES)})
LEDGER: Final = _fields(Entry, {"at_ns": ("Timestamp", TIMES)})

FINDINGS: Final = (
    Field("Findings.Rule", "rule", TUPLES),
    Field("Findings.Kind", "kind", TUPLES),
    Field("Findings.Severity", "severity", TUPLES),
    Field("Findings.Explanation", "explanation", TUPLES),
    Field("Findings.SpanIds", "span_ids", TUPLES_OF_TUPLES),
    Field("Findings.Timestamp", "at_ns", TUPLES_OF_TIMES),
)
BUDGETS: Final = (
    Field("Budgets.Rule", "rule", TUPLES),
    Field("Budgets.Kind", "kind", TUPLES),
    Field("Budgets.Limit", "limit", TUPLES_OF_NUMBERS),
    Field("Budgets.Used", "used", TUPLES_OF_NUMBERS),
    Field("Budgets.Remaining", "remaining", TUPLES_OF_NUMBERS),
)
SPAN_COLUMNS: Final = ("InputTraceId", "InputSpanId", "OutputTraceId", "OutputSpanId")

STEP_COLUMNS: Final = (*step_columns.COLUMNS, *(field.column for field in PLACED))
RUN_COLUMNS: Final = (
    *(field.column for field in RUN),
    *SPAN_COLUMNS,
    *(field.column for field in (*OWN, *TOTAL, *FINDINGS, *BUDGETS)),
)
LEDGER_COLUMNS: Final = tuple(field.column for field in LEDGER)
EVENT_COLUMNS: Final = (*(field.column for field in EVENT), "RunId", "GroupId")

Columns = dict[str, pa.Array]

BLOCK: Final = 256


def _encode(entries: Sequence[Field], values: Sequence[object], *, sparse: bool = False) -> Columns:
    """A column per field; `sparse` leaves out those that hold nothing but their default."""
    get = attrgetter(*(field.attribute for field in entries))
    columns: list[list[Any]] = [[] for _ in entries]
    # All attributes of an object in one call, block by block: half the time of a column at a time.
    for start in range(0, len(values), BLOCK):
        parts = zip(*map(get, values[start : start + BLOCK]), strict=True)
        for column, part in zip(columns, parts, strict=True):
            column.extend(part)
    return {
        field.column: field.codec.encode(column)
        for field, column in zip(entries, columns, strict=True)
        if not (sparse and field.codec.is_default(column))
    }


MadeSteps = tuple[Sequence[Step], pa.RecordBatch]
"""Steps, and their columns as `step_columns.encode` made them."""


def step_rows(
    placed: Sequence[PlacedStep], made: Iterable[MadeSteps] = (), *, sparse: bool = False
) -> pa.Table:
    """Rows of `agent_steps`; `sparse` to be inserted: without columns of nothing but defaults.

    `made` has columns of some of the steps, by identity: the others are encoded here.
    """
    waiting = {id(entry.step): entry for entry in placed}
    parts: list[pa.RecordBatch] = []
    every: list[PlacedStep] = []
    for steps, columns in made:
        found = [waiting.pop(id(step), None) for step in steps]
        of_these = [entry for entry in found if entry is not None]
        if of_these:
            every += of_these
            whole = len(of_these) == len(steps)
            parts.append(columns if whole else columns.filter(pa.array(map(bool, found))))
    if waiting or not parts:
        rest = list(waiting.values())
        every += rest
        parts.append(step_columns.encode([entry.step for entry in rest]))
    columns = step_columns.stored(parts, sparse=sparse)
    return pa.table(columns | _encode(PLACED, every, sparse=sparse))


def placed_steps(rows: pa.Table) -> list[PlacedStep]:
    """The inverse of `step_rows`."""
    steps = step_columns.decode(rows)
    return [
        PlacedStep(step=step, **placed)
        for step, placed in zip(steps, _values(rows, PLACED), strict=True)
    ]


def run_rows(
    runs: Sequence[Run], removed: Sequence[Removed] = (), *, sparse: bool = False
) -> pa.Table:
    """Rows of `agent_runs`; those of `removed` are deleted ones under the key they had."""
    gone = [
        Run(
            run_id=entry.run_id,
            group_id=entry.group_id,
            started_at_ns=entry.started_at_ns,
            workspace=entry.workspace,
            revision=entry.revision,
        )
        for entry in removed
    ]
    # A deleted row and a live one of the same key and version: the last one wins.
    every = [*gone, *runs]
    columns = _encode(RUN, every, sparse=sparse)
    for index, column in enumerate(SPAN_COLUMNS):
        get = attrgetter("input_span" if index < 2 else "output_span")
        columns[column] = TEXT.encode([get(run)[index % 2] for run in every])
    columns |= _encode(OWN, [run.own for run in every], sparse=sparse)
    columns |= _encode(TOTAL, [run.total for run in every], sparse=sparse)
    for field in FINDINGS:
        get = attrgetter(field.attribute)
        columns[field.column] = field.codec.encode(
            [tuple(map(get, run.findings)) if run.findings else () for run in every]
        )
    if not sparse or any(run.budgets for run in every):
        for field in BUDGETS:
            get = attrgetter(field.attribute)
            columns[field.column] = field.codec.encode(
                [tuple(map(get, run.budgets)) if run.budgets else () for run in every]
            )
    columns["ReplacedBy"] = TEXT.encode([*(r.replaced_by for r in removed), *("" for _ in runs)])
    columns["IsDeleted"] = pa.array([1] * len(gone) + [0] * len(runs), pa.uint8())
    return pa.table(columns)


def runs_of(rows: pa.Table) -> list[Run]:
    """The inverse of `run_rows`, for live rows."""
    if rows.num_rows == 0:
        return []
    spans = zip(*(_column(rows, name) for name in SPAN_COLUMNS), strict=True)
    findings = zip(*(field.codec.decode(rows[field.column]) for field in FINDINGS), strict=True)
    budgets = zip(*(field.codec.decode(rows[field.column]) for field in BUDGETS), strict=True)
    found = []
    for values, own, total, (in_trace, in_span, out_trace, out_span), parts, uses in zip(
        _values(rows, RUN),
        _values(rows, OWN),
        _values(rows, TOTAL),
        spans,
        findings,
        budgets,
        strict=True,
    ):
        found.append(
            Run(
                **values,
                own=Counts(**own),
                total=Counts(**total),
                input_span=(in_trace, in_span),
                output_span=(out_trace, out_span),
                findings=tuple(
                    Finding(**dict(zip((f.attribute for f in FINDINGS), part, strict=True)))
                    for part in zip(*parts, strict=True)
                ),
                budgets=tuple(
                    BudgetUse(**dict(zip((f.attribute for f in BUDGETS), part, strict=True)))
                    for part in zip(*uses, strict=True)
                ),
            )
        )
    return found


def event_rows(events: Sequence[tuple[Event, str, str]]) -> pa.Table:
    """Rows of `agent_events` from (event, run id, group id)."""
    columns = _encode(EVENT, [event for event, _, _ in events])
    columns["RunId"] = TEXT.encode([run_id for _, run_id, _ in events])
    columns["GroupId"] = TEXT.encode([group_id for _, _, group_id in events])
    return pa.table(columns)


def events_of(rows: pa.Table) -> list[tuple[Event, str]]:
    """(event, run id); the inverse of `event_rows`."""
    if rows.num_rows == 0:
        return []
    pairs = zip(_values(rows, EVENT), _column(rows, "RunId"), strict=True)
    return [(Event(**values), run_id) for values, run_id in pairs]


def dead_letter_rows(letters: Sequence[DeadLetter]) -> pa.Table:
    """Rows of `dead_letters`."""
    return pa.table(_encode(DEAD_LETTER, letters))


def ledger_rows(entries: Sequence[Entry]) -> pa.Table:
    """Rows of `decision_ledger`."""
    return pa.table(_encode(LEDGER, entries))


def entries_of(rows: pa.Table) -> list[Entry]:
    """The inverse of `ledger_rows`."""
    return [Entry(**values) for values in _values(rows, LEDGER)] if rows.num_rows else []


def _values(rows: pa.Table, entries: Sequence[Field]) -> list[dict[str, Any]]:
    """One dictionary of keyword arguments per row."""
    names = [field.attribute for field in entries]
    columns = [field.codec.decode(rows[field.column]) for field in entries]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(rows: pa.Table, name: str) -> list[Any]:
    column = rows[name]
    return (TUPLES.decode if pa.types.is_list(column.type) else to_list)(column)


def select_list(columns: Sequence[str]) -> str:
    """Columns for a SELECT, quoted: some have dots."""
    return ", ".join(f"`{name}`" for name in columns)
