"""Runs, steps, events <-> rows of their tables, without loss and a whole column at a time.

A field's column is its name in CamelCase with the codec of its type, so that a new field of `Run`
or `Step` needs a migration and nothing here; what is named or built otherwise is listed below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa

from collector.runs.run import Counts, DeadLetter, Finding, PlacedStep, Removed, Run
from collector.store.codecs import (
    BOOL,
    BY_ANNOTATION,
    INT,
    OPTIONAL_INT,
    TEXT,
    TIMES,
    TUPLES,
    TUPLES_OF_TIMES,
    TUPLES_OF_TUPLES,
    UINT,
    Codec,
    to_list,
)
from otel_agentrun.step import Event, Kind, Role, Status, Step, ToolRequest, Usage

NO_USAGE: Final = Usage()


@dataclass(frozen=True, slots=True)
class Field:
    """One column of one attribute."""

    column: str
    attribute: str
    codec: Codec


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


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


STEP: Final = _fields(
    Step,
    {
        "version": ("SpanVersion", UINT),
        "kind": ("Kind", TEXT),
        "role": ("Role", TEXT),
        "status": ("Status", TEXT),
        "start_ns": ("Timestamp", TIMES),
        "end_ns": ("EndTime", TIMES),
        # What the emitter said, beside what the fold made of it.
        "run_id": ("EnclosingRunId", TEXT),
        "agent_name": ("EmittedAgentName", TEXT),
        "attempt": ("EmittedAttempt", INT),
        "cost_nano_usd": ("EmittedCostNanoUsd", OPTIONAL_INT),
        "usage": None,
        "tool_requests": None,
        "links": None,
    },
)
PLACED: Final = _fields(PlacedStep, {"step": None, "revision": ("Version", UINT)})
USAGE: Final = _fields(Usage, {})
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
    },
)
OWN: Final = _fields(Counts, {})
TOTAL: Final = _fields(Counts, {}, "Total")
EVENT: Final = _fields(Event, {"at_ns": ("Timestamp", TIMES), "run_id": ("EnclosingRunId", TEXT)})
DEAD_LETTER: Final = _fields(DeadLetter, {"at_ns": ("Timestamp", TIMES)})

REQUEST_COLUMNS: Final = (
    "ToolRequests.Name",
    "ToolRequests.CallId",
    "ToolRequests.ArgumentsDigest",
)
LINK_COLUMNS: Final = ("Links.TraceId", "Links.SpanId")
FINDINGS: Final = (
    Field("Findings.Rule", "rule", TUPLES),
    Field("Findings.Kind", "kind", TUPLES),
    Field("Findings.Severity", "severity", TUPLES),
    Field("Findings.Explanation", "explanation", TUPLES),
    Field("Findings.SpanIds", "span_ids", TUPLES_OF_TUPLES),
    Field("Findings.Timestamp", "at_ns", TUPLES_OF_TIMES),
)
SPAN_COLUMNS: Final = ("InputTraceId", "InputSpanId", "OutputTraceId", "OutputSpanId")

STEP_COLUMNS: Final = (
    *(field.column for field in (*STEP, *USAGE)),
    "HasUsage",
    *REQUEST_COLUMNS,
    *LINK_COLUMNS,
    *(field.column for field in PLACED),
)
RUN_COLUMNS: Final = (
    *(field.column for field in RUN),
    *SPAN_COLUMNS,
    *(field.column for field in (*OWN, *TOTAL, *FINDINGS)),
)
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
        if not (sparse and _is_default(field, column))
    }


def _is_default(field: Field, column: list[Any]) -> bool:
    """Whether the engine would fill in just this: "", 0, (), {} and False, or NULL."""
    if field.codec is OPTIONAL_INT:
        return column.count(None) == len(column)
    return not any(column)


def step_rows(placed: Sequence[PlacedStep], *, sparse: bool = False) -> pa.Table:
    """Rows of `agent_steps`; `sparse` to be inserted: without columns of nothing but defaults."""
    steps = [entry.step for entry in placed]
    usages = [step.usage or NO_USAGE for step in steps]
    columns = _encode(STEP, steps, sparse=sparse)
    columns |= _encode(USAGE, usages, sparse=sparse)
    columns["HasUsage"] = BOOL.encode([step.usage is not None for step in steps])
    requests = [step.tool_requests for step in steps]
    if any(requests) or not sparse:
        for column, attribute in zip(
            REQUEST_COLUMNS, ("name", "call_id", "arguments_digest"), strict=True
        ):
            get = attrgetter(attribute)
            columns[column] = TUPLES.encode(
                [tuple(map(get, entry)) if entry else () for entry in requests]
            )
    links = [step.links for step in steps]
    if any(links) or not sparse:
        for index, column in enumerate(LINK_COLUMNS):
            columns[column] = TUPLES.encode(
                [tuple(pair[index] for pair in entry) if entry else () for entry in links]
            )
    columns |= _encode(PLACED, placed, sparse=sparse)
    return pa.table(columns)


def placed_steps(rows: pa.Table) -> list[PlacedStep]:
    """The inverse of `step_rows`."""
    if rows.num_rows == 0:
        return []
    usages: list[Usage | None] = [
        Usage(**usage) if known else None
        for usage, known in zip(_values(rows, USAGE), _column(rows, "HasUsage"), strict=True)
    ]
    requests = zip(*(_column(rows, name) for name in REQUEST_COLUMNS), strict=True)
    links = zip(*(_column(rows, name) for name in LINK_COLUMNS), strict=True)
    found = []
    for values, placed, usage, request, link in zip(
        _values(rows, STEP), _values(rows, PLACED), usages, requests, links, strict=True
    ):
        values["kind"] = Kind(values["kind"])
        values["role"] = Role(values["role"])
        values["status"] = Status(values["status"])
        step = Step(
            **values,
            usage=usage,
            tool_requests=tuple(
                ToolRequest(name=name, call_id=call_id, arguments_digest=digest)
                for name, call_id, digest in zip(*request, strict=True)
            ),
            links=tuple(zip(*link, strict=True)),
        )
        found.append(PlacedStep(step=step, **placed))
    return found


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
    columns["ReplacedBy"] = TEXT.encode([*(r.replaced_by for r in removed), *("" for _ in runs)])
    columns["IsDeleted"] = pa.array([1] * len(gone) + [0] * len(runs), pa.uint8())
    return pa.table(columns)


def runs_of(rows: pa.Table) -> list[Run]:
    """The inverse of `run_rows`, for live rows."""
    if rows.num_rows == 0:
        return []
    spans = zip(*(_column(rows, name) for name in SPAN_COLUMNS), strict=True)
    findings = zip(*(field.codec.decode(rows[field.column]) for field in FINDINGS), strict=True)
    found = []
    for values, own, total, (in_trace, in_span, out_trace, out_span), parts in zip(
        _values(rows, RUN), _values(rows, OWN), _values(rows, TOTAL), spans, findings, strict=True
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
