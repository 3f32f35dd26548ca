"""From a batch to the values that run logic needs: `Step`s of spans, `Event`s of log records.

Columns for storage, objects for logic: of the attributes only those that some dialect reads on the
hot path become Python objects, picked over the whole batch at once; resources are read once per
distinct run of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from sys import intern
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from collector.arrow import pa
from collector.runs.events import FOLDED, event_id
from collector.runs.heard import telling
from collector.runs.notes import is_note, note
from otel_agentrun import dialects, semconv
from otel_agentrun.dialects import hearsay
from otel_agentrun.step import Event, SpanEvent, SpanView, Step

NOTHING: Final[Mapping[str, str]] = {}

is_logic_key = dialects.is_logic_key
is_root_key = dialects.is_root_key


def steps_of(batch: pa.RecordBatch) -> list[Step]:
    """One step per span of a SPANS batch, in its order; after them, calls that spans tell of."""
    views = views_of(batch)
    steps = [dialects.step(view) for view in views]
    for view, step in zip(views, steps[:], strict=True):
        steps += dialects.told(view, step)
    return steps


def views_of(
    batch: pa.RecordBatch,
    wanted: Callable[[str], bool] = is_logic_key,
    roots_only: Callable[[str], bool] | None = is_root_key,
    wanted_event: Callable[[str], bool] = dialects.is_logic_event,
) -> list[SpanView]:
    """Views over the rows of a SPANS batch: attributes whose key, and events whose name, is wanted.

    Of spans without a parent also the attributes that `roots_only` names: large ones that every
    model span repeats and only a run's input needs.
    """
    rows = batch.num_rows
    if rows == 0:
        return []
    text = {name: batch.column(name).to_pylist() for name in TEXT_COLUMNS}
    parents = text["ParentSpanId"]
    roots = [row for row, parent in enumerate(parents) if not parent] if roots_only else []
    columns = zip(
        text["TraceId"],
        text["SpanId"],
        parents,
        text["SpanName"],
        text["SpanKind"],
        text["ScopeName"],
        text["ScopeVersion"],
        text["StatusCode"],
        text["StatusMessage"],
        batch.column("Timestamp").cast(pa.int64()).to_pylist(),
        batch.column("Duration").to_pylist(),
        batch.column("Version").to_pylist(),
        dicts_of(batch.column("SpanAttributes"), wanted, roots, roots_only),
        shared_dicts_of(batch.column("ResourceAttributes")),
        shared_dicts_of(batch.column("IngestAttributes")),
        strict=True,
    )
    views = []
    for (
        trace_id, span_id, parent, name, kind, scope, scope_version, code, message,
        start, duration, version, attributes, resource, ingest,
    ) in columns:  # fmt: skip
        # `SpanView(...)` with 17 keywords takes four times as long as these assignments.
        view = _new(SpanView)
        view.trace_id = trace_id
        view.span_id = span_id
        view.parent_span_id = parent
        view.name = name
        view.kind = kind
        view.scope = scope
        view.scope_version = scope_version
        view.start_ns = start
        view.end_ns = start + duration
        view.status_code = code
        view.status_message = message
        view.attributes = attributes
        view.resource = resource
        view.ingest = ingest
        view.events = ()
        view.links = ()
        view.version = version
        views.append(view)
    for row, events in _events_of(batch, wanted_event).items():
        views[row].events = events
    for row, links in _links_of(batch).items():
        views[row].links = links
    return views


_new = object.__new__

TEXT_COLUMNS: Final = (
    "TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "ScopeName", "ScopeVersion",
    "StatusCode", "StatusMessage",
)  # fmt: skip


def flat(column: pa.MapArray) -> tuple[np.ndarray[Any, Any], pa.Array, pa.Array]:
    """Offsets from 0, keys and values of a map column, whatever slice it is."""
    offsets = column.offsets.to_numpy()
    first, last = int(offsets[0]), int(offsets[-1])
    return (
        offsets - first,
        column.keys.slice(first, last - first),
        column.items.slice(first, last - first),
    )


def dicts_of(
    column: pa.MapArray,
    wanted: Callable[[str], bool],
    roots: Sequence[int] = (),
    roots_only: Callable[[str], bool] | None = None,
) -> list[dict[str, str]]:
    """One dict per row with the entries whose key is wanted there, in the order of the row."""
    rows = len(column)
    offsets, keys, values = flat(column)
    if len(keys) == 0:
        return [{} for _ in range(rows)]
    coded = keys.dictionary_encode()
    # Interned, as the tables' own keys are: look-ups then compare addresses.
    names = [intern(name) for name in coded.dictionary.to_pylist()]
    codes = coded.indices.to_numpy()
    chosen = np.fromiter(map(wanted, names), dtype=bool, count=len(names))[codes]
    if roots and roots_only is not None:
        is_root = np.zeros(rows, dtype=bool)
        is_root[roots] = True
        for_roots = np.fromiter(map(roots_only, names), dtype=bool, count=len(names))
        chosen |= for_roots[codes] & np.repeat(is_root, np.diff(offsets))
    counts = np.diff(np.concatenate(([0], np.cumsum(chosen)))[offsets]).tolist()
    pairs = zip(
        np.array(names, dtype=object)[codes[chosen]].tolist(),
        values.filter(pa.array(chosen)).to_pylist(),
        strict=True,
    )
    return [dict(islice(pairs, count)) for count in counts]


def shared_dicts_of(column: pa.MapArray) -> list[Mapping[str, str]]:
    """One mapping per row; equal neighbors share one: spans of one resource are together."""
    rows = len(column)
    offsets, keys, values = flat(column)
    if len(keys) == 0:
        return [NOTHING] * rows
    lengths = np.diff(offsets)
    changes = _changes(offsets, lengths, keys, values)
    found: list[Mapping[str, str]] = []
    for first, last in zip(changes, [*changes[1:], rows], strict=True):
        start, length = int(offsets[first]), int(lengths[first])
        shared = dict(
            zip(
                keys.slice(start, length).to_pylist(),
                values.slice(start, length).to_pylist(),
                strict=True,
            )
        )
        found += [shared] * (last - first)
    return found


def _changes(
    offsets: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any], keys: pa.Array, values: pa.Array
) -> list[int]:
    """Rows that differ from the one before; row 0 included."""
    rows = len(lengths)
    size = int(lengths[0])
    if bool((lengths == size).all()):
        if size == 0:
            return [0]
        # All rows have as many entries: one is like the one before where everything is.
        later, earlier = slice(size, None), slice(0, len(keys) - size)
        if keys[later].equals(keys[earlier]) and values[later].equals(values[earlier]):
            return [0]  # nearly always: one resource, one API key
        same = pc.and_(
            pc.equal(keys[later], keys[earlier]),
            pc.equal(values[later], values[earlier]),
        ).to_numpy(zero_copy_only=False)
        same_rows = same.reshape(rows - 1, size).all(axis=1)
        return [0, *(np.flatnonzero(~same_rows) + 1).tolist()]
    # An entry is compared with the one in its place a row earlier, if that row is as long.
    key_codes = keys.dictionary_encode().indices.to_numpy()
    value_codes = values.dictionary_encode().indices.to_numpy()
    earlier = np.maximum(np.arange(len(key_codes)) - np.repeat(lengths, lengths), 0)
    differs = (key_codes != key_codes[earlier]) | (value_codes != value_codes[earlier])
    differing = np.diff(np.concatenate(([0], np.cumsum(differs)))[offsets])
    changed = (lengths[1:] != lengths[:-1]) | (differing[1:] > 0)
    return [0, *(np.flatnonzero(changed) + 1).tolist()]


def _with_entries(column: pa.ListArray) -> list[int]:
    """Rows of a list column that are not empty."""
    found: list[int] = np.flatnonzero(np.diff(column.offsets.to_numpy())).tolist()
    return found


def _events_of(
    batch: pa.RecordBatch, wanted: Callable[[str], bool]
) -> dict[int, Sequence[SpanEvent]]:
    """Row -> its events whose name is wanted, in their order."""
    column = batch.column("Events.Name")
    listed = column.flatten()
    if len(listed) == 0:
        return {}
    coded = listed.dictionary_encode()
    names = coded.dictionary.to_pylist()
    codes = coded.indices.to_numpy()
    picked = np.flatnonzero(np.fromiter(map(wanted, names), dtype=bool, count=len(names))[codes])
    if len(picked) == 0:
        return {}
    lengths = np.diff(column.offsets.to_numpy())
    owners = np.repeat(np.arange(batch.num_rows), lengths)[picked].tolist()
    chosen = pa.array(picked)
    times = batch.column("Events.Timestamp").flatten().take(chosen).cast(pa.int64()).to_pylist()
    attributes = batch.column("Events.Attributes").flatten().take(chosen).to_pylist()
    found: dict[int, Sequence[SpanEvent]] = {}
    own: list[SpanEvent] = []
    for row, code, time, said in zip(
        owners, codes[picked].tolist(), times, attributes, strict=True
    ):
        if row not in found:
            own = []
            found[row] = own
        own.append(SpanEvent(names[code], time, dict(said)))
    return found


def _links_of(batch: pa.RecordBatch) -> dict[int, Sequence[tuple[str, str]]]:
    traces = batch.column("Links.TraceId")
    rows = _with_entries(traces)
    if not rows:
        return {}
    picked = pa.array(rows)
    return {
        row: list(zip(trace_ids, span_ids, strict=True))
        for row, trace_ids, span_ids in zip(
            rows,
            traces.take(picked).to_pylist(),
            batch.column("Links.SpanId").take(picked).to_pylist(),
            strict=True,
        )
    }


def events_of(batch: pa.RecordBatch) -> list[Event]:
    """The log records of a LOGS batch that the fold reads: events of ours and GenAI ones, and
    nameless records that a dialect knows by how they begin."""
    if batch.num_rows == 0:
        return []
    names = batch.column("EventName")
    chosen = pc.is_in(names, value_set=FOLDED_ARRAY)
    nameless = pc.equal(names, "")
    if nameless.true_count:
        for begin in dialects.NOTE_BODIES:
            begins = pc.starts_with(batch.column("Body"), begin)
            chosen = pc.or_(chosen, pc.and_(nameless, begins))
    rows = _without_history(batch.filter(chosen))
    if rows.num_rows == 0:
        return []
    found = []
    columns = zip(
        rows.column("EventName").to_pylist(),
        rows.column("Timestamp").cast(pa.int64()).to_pylist(),
        rows.column("TraceId").to_pylist(),
        rows.column("SpanId").to_pylist(),
        rows.column("Body").to_pylist(),
        rows.column("LogAttributes").to_pylist(),
        rows.column("IngestAttributes").to_pylist(),
        strict=True,
    )
    for name, at_ns, trace_id, span_id, body, pairs, stamps in columns:
        attributes, ingest = dict(pairs), dict(stamps)
        # What an API key says wins over the sender; what a header says is for those who do not.
        attributes |= {key: ingest[key] for key in semconv.TENANCY & ingest.keys()}
        run_id = attributes.get(semconv.RUN_ID, "") or ingest.get(semconv.RUN_ID, "")
        event = Event(
            event_id=event_id(name, at_ns, trace_id, run_id, attributes, body),
            name=name,
            at_ns=at_ns,
            trace_id=trace_id,
            span_id=span_id,
            run_id=run_id,
            attributes=attributes,
            body=body,
        )
        if name in hearsay.NAMES and (told := telling(event)) is not None:
            found.append(told)
        if name in hearsay.MESSAGES:
            continue
        is_noted = is_note(event) or not name
        kept = note(event, dialects.event_step_fields(event)) if is_noted else event
        if kept is not None and not _is_order(kept):
            found.append(kept)
    return found


def _without_history(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Without what a call logged before the last message of the assistant's, again: nothing of it
    is new, and reading it would take the square of what a run said."""
    names = rows.column("EventName").to_pylist()
    if hearsay.ASSISTANT not in names:
        return rows
    calls = list(
        zip(
            names,
            rows.column("TraceId").to_pylist(),
            rows.column("SpanId").to_pylist(),
            rows.column("Timestamp").cast(pa.int64()).to_pylist(),
            strict=True,
        )
    )
    last: dict[tuple[str, str], int] = {}
    for name, trace_id, span_id, at_ns in calls:
        key = (trace_id, span_id)
        if name == hearsay.ASSISTANT and at_ns > last.get(key, -1):
            last[key] = at_ns
    kept = [
        name not in hearsay.MESSAGES or at_ns >= last.get((trace_id, span_id), -1)
        for name, trace_id, span_id, at_ns in calls
    ]
    return rows if all(kept) else rows.filter(pa.array(kept))


def _is_order(event: Event) -> bool:
    """A directive that a sender made up: only a collector gives any, senders answer them.  It stays
    a log record."""
    answers = ("acknowledged", "failed")
    return (
        event.name == semconv.DIRECTIVE_EVENT
        and event.attributes.get(semconv.DIRECTIVE_STATUS) not in answers
    )


FOLDED_ARRAY: Final = pa.array(sorted(FOLDED))
