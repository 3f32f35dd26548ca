"""What a spool file holds: a batch, and what was known of its runs when it was folded.

Arrow IPC streams one after the other: the batch (`model.SPANS` or `model.LOGS`); for spans then
where the fold placed them, and the runs of these places.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from collector.model import LOGS, SPANS, Signal
from collector.records import OPTIONS, READ_OPTIONS
from collector.runs.run import PlacedStep, Run
from otel_agentrun.step import Step

OF_STEP: Final = {
    "trace_id": "TraceId", "span_id": "SpanId", "kind": "kind", "name": "name",
    "provider": "provider", "model": "model", "tool_name": "tool_name", "dialect": "dialect",
}  # fmt: skip
"""Field of a step -> column; those in lower case are names of match expressions."""
OF_PLACE: Final = {"run_id": "run_id", "agent_name": "agent_name"}
COST: Final = "cost_nano_usd"
OF_RUN: Final = ("run_id", "parent_run_id", "workflow_name", "task_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One spool file, read."""

    items: pa.Table
    places: pa.Table | None = None
    runs: pa.Table | None = None


def encode_spans(
    batches: Sequence[pa.RecordBatch], steps: Sequence[PlacedStep], runs: Sequence[Run]
) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    _write(sink, pa.Table.from_batches(batches, SPANS))
    _write(sink, places_of(steps))
    _write(sink, runs_of(runs))
    return sink.getvalue()


def encode_logs(batches: Sequence[pa.RecordBatch]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    _write(sink, pa.Table.from_batches(batches, LOGS))
    return sink.getvalue()


def places_of(steps: Sequence[PlacedStep]) -> pa.Table:
    """Where the fold placed steps, as far as backends are told."""
    plain: list[Step] = [placed.step for placed in steps]
    columns: dict[str, pa.Array] = {}
    for attribute, column in OF_STEP.items():
        columns[column] = pa.array(list(map(attrgetter(attribute), plain)), pa.string())
    for attribute, column in OF_PLACE.items():
        columns[column] = pa.array(list(map(attrgetter(attribute), steps)), pa.string())
    columns[COST] = pa.array([placed.cost_nano_usd for placed in steps], pa.int64())
    return pa.table(columns)


def runs_of(runs: Sequence[Run]) -> pa.Table:
    return pa.table(
        {name: pa.array(list(map(attrgetter(name), runs)), pa.string()) for name in OF_RUN}
    )


def decode(content: bytes | pa.Buffer, signal: Signal) -> Payload:
    """Raises pa.ArrowInvalid for what is no such file."""
    source = pa.BufferReader(content)
    tables = [_read(source) for _ in range(1 if signal is Signal.LOGS else 3)]
    wanted = LOGS if signal is Signal.LOGS else SPANS
    if tables[0].schema.names != wanted.names:
        raise pa.ArrowInvalid("written by another version")
    return Payload(items=tables[0], **dict(zip(("places", "runs"), tables[1:], strict=False)))


def without(
    content: bytes, signal: Signal, trace_ids: Collection[str]
) -> tuple[pa.Buffer | None, int]:
    """The file without the items of these traces (`None`: nothing is left), and how many went.

    Raises pa.ArrowInvalid.
    """
    payload = decode(content, signal)
    gone = pc.is_in(payload.items["TraceId"], pa.array(sorted(trace_ids), pa.string()))
    kept = payload.items.filter(pc.invert(gone))
    removed = payload.items.num_rows - kept.num_rows
    if kept.num_rows == 0:
        return None, removed
    sink = pa.BufferOutputStream()
    _write(sink, kept)
    if payload.places is not None and payload.runs is not None:
        ours = pc.is_in(payload.places["TraceId"], kept["TraceId"].combine_chunks())
        _write(sink, payload.places.filter(ours))
        _write(sink, payload.runs)
    return sink.getvalue(), removed


def _write(sink: Any, table: pa.Table) -> None:
    with pa.ipc.new_stream(sink, table.schema, options=OPTIONS) as writer:
        writer.write_table(table)


def _read(source: Any) -> pa.Table:
    with pa.ipc.open_stream(source, options=READ_OPTIONS) as reader:
        return reader.read_all()
