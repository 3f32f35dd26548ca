"""Journal payloads: Arrow IPC streams with their schema: a newer collector reads older ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from collector.journal.segment import RecordKind
from collector.model import ATTRIBUTES, TIME, Signal
from otel_agentrun.step import Event

SIGNAL_OF: Final = {
    RecordKind.SPANS: Signal.TRACES,
    RecordKind.LOGS: Signal.LOGS,
    RecordKind.EVENT: Signal.EVENTS,
    RecordKind.DIRECTIVE: Signal.EVENTS,
}

EVENTS: Final = pa.schema(
    [
        ("EventId", pa.string()),
        ("Name", pa.string()),
        ("At", TIME),
        ("TraceId", pa.string()),
        ("SpanId", pa.string()),
        ("RunId", pa.string()),
        ("Attributes", ATTRIBUTES),
        ("Body", pa.string()),
    ]
)

# Spans of one exporter repeat themselves: lz4 takes most off at a fraction of the cost of disk.
# In this thread: buffers are small, and handing them to others costs a third more.
OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
READ_OPTIONS: Final = pa.ipc.IpcReadOptions(use_threads=False)


def encode(batch: pa.RecordBatch) -> pa.Buffer:
    """A batch as the payload of a record."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=OPTIONS) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def decode(payload: pa.Buffer | bytes | memoryview, schema: pa.Schema) -> pa.RecordBatch:
    """The batch of a payload, with the columns of `schema`: one written by an older collector lacks
    the newer ones, which are empty then.  Raises pa.ArrowInvalid."""
    with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
        batch = reader.read_next_batch()
    if batch.schema.equals(schema):
        return batch
    rows = batch.num_rows
    columns = []
    for field in schema:
        at = batch.schema.get_field_index(field.name)
        columns.append(batch.column(at).cast(field.type) if at >= 0 else absent(field.type, rows))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def absent(kind: pa.DataType, rows: int) -> pa.Array:
    """A column of nothing: "" and 0 and empty lists, as the exporter writes absent values."""
    if pa.types.is_string(kind):
        return pa.repeat(pa.scalar("", kind), rows)
    if pa.types.is_map(kind):
        return pa.array([[]] * rows, kind)
    if pa.types.is_list(kind):
        return pa.array([[]] * rows, kind)
    return pa.array([0] * rows, pa.int64()).cast(kind)


def encode_events(events: Sequence[Event]) -> pa.Buffer:
    """Events as the payload of a record."""
    columns = [
        pa.array([event.event_id for event in events]),
        pa.array([event.name for event in events]),
        pa.array([event.at_ns for event in events], pa.int64()).cast(TIME),
        pa.array([event.trace_id for event in events]),
        pa.array([event.span_id for event in events]),
        pa.array([event.run_id for event in events]),
        pa.array([list(event.attributes.items()) for event in events], ATTRIBUTES),
        pa.array([event.body for event in events]),
    ]
    return encode(pa.RecordBatch.from_arrays(columns, schema=EVENTS))


def decode_events(payload: pa.Buffer | bytes | memoryview) -> list[Event]:
    """The events of a payload."""
    batch = decode(payload, EVENTS)
    columns = [batch.column(name).to_pylist() for name in EVENTS.names if name != "At"]
    times = batch.column("At").cast(pa.int64()).to_pylist()
    return [
        Event(
            event_id=event_id,
            name=name,
            at_ns=at_ns,
            trace_id=trace_id,
            span_id=span_id,
            run_id=run_id,
            attributes=dict(attributes),
            body=body,
        )
        for (event_id, name, trace_id, span_id, run_id, attributes, body), at_ns in zip(
            zip(*columns, strict=True), times, strict=True
        )
    ]
