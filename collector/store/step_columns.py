"""Steps <-> columns: the part of `agent_steps` that says what a step is, not where the fold put it.

Made once, beside the fold (a decoder process), read back as `Step`s by the fold, and stored as it
is.  A column of nothing but defaults is left out; text that repeats is coded by a dictionary, so
that the steps read back share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from collector.store.codecs import (
    BOOL,
    BY_ANNOTATION,
    MAPS,
    TEXT,
    TIMES,
    TUPLES,
    UINT,
    Codec,
)
from otel_agentrun.step import NO_LABELS, Kind, Role, Status, Step, ToolRequest, Usage

NO_USAGE: Final = Usage()
HAS_USAGE: Final = "HasUsage"
REQUESTS: Final = {
    "ToolRequests.Name": "name",
    "ToolRequests.CallId": "call_id",
    "ToolRequests.ArgumentsDigest": "arguments_digest",
}
LINKS: Final = ("Links.TraceId", "Links.SpanId")
LABELS: Final = "Labels"
NESTED: Final = frozenset({"usage", "tool_requests", "links", "labels"})
REPEATED: Final = frozenset(
    {
        "trace_id", "parent_span_id", "kind", "role", "dialect", "scope", "name", "status",
        "error_type", "run_id", "agent_name", "agent_id", "provider", "model", "tool_name",
        "retry_reason", "handoff_to",
    }
)  # fmt: skip
"""Text of which a request has few values."""
NAMED: Final = {
    "version": "SpanVersion",
    "start_ns": "Timestamp",
    "end_ns": "EndTime",
    # What the emitter said, beside what the fold made of it.
    "run_id": "EnclosingRunId",
    "agent_name": "EmittedAgentName",
    "attempt": "EmittedAttempt",
    "cost_nano_usd": "EmittedCostNanoUsd",
}
CODECS: Final = {
    "version": UINT, "start_ns": TIMES, "end_ns": TIMES, "kind": TEXT, "role": TEXT, "status": TEXT,
}  # fmt: skip
ENUMS: Final[Mapping[str, Callable[[str], Any]]] = {"kind": Kind, "role": Role, "status": Status}


class Field(NamedTuple):
    """A field of `Step` or `Usage` that is a column."""

    attribute: str
    column: str
    codec: Codec
    default: Any


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _fields(cls: type) -> tuple[Field, ...]:
    return tuple(
        Field(
            entry.name,
            NAMED.get(entry.name) or camel(entry.name),
            CODECS.get(entry.name) or BY_ANNOTATION[str(entry.type)],
            "" if entry.default is MISSING else entry.default,
        )
        for entry in fields(cls)
        if entry.name not in NESTED
    )


STEP: Final = _fields(Step)
USAGE: Final = _fields(Usage)
COLUMNS: Final[Mapping[str, Codec]] = {
    **{field.column: field.codec for field in (*STEP, *USAGE)},
    HAS_USAGE: BOOL,
    **dict.fromkeys((*REQUESTS, *LINKS), TUPLES),
    LABELS: MAPS,
}
"""Every column, and how its values are encoded."""

_step_of = attrgetter(*(field.attribute for field in STEP))
_usage_of = attrgetter(*(field.attribute for field in USAGE))


# ---------------------------------------------------------------------- encoding


def encode(steps: Sequence[Step]) -> pa.RecordBatch:
    """The columns of `steps` that hold anything; never fails on a value."""
    found: dict[str, pa.Array] = {}
    every = zip(*map(_step_of, steps), strict=True) if steps else [()] * len(STEP)
    for field, column in zip(STEP, every, strict=True):
        if field.codec.is_default(column):
            continue
        repeated = field.attribute in REPEATED
        found[field.column] = _coded(column) if repeated else field.codec.encode(column)
    usages = [step.usage for step in steps]
    if any(usage is not None for usage in usages):
        found[HAS_USAGE] = BOOL.encode([usage is not None for usage in usages])
        stated = zip(*(_usage_of(usage or NO_USAGE) for usage in usages), strict=True)
        for field, column in zip(USAGE, stated, strict=True):
            if not field.codec.is_default(column):
                found[field.column] = field.codec.encode(column)
    requests = [step.tool_requests for step in steps]
    if any(requests):
        for name, attribute in REQUESTS.items():
            get = attrgetter(attribute)
            found[name] = TUPLES.encode([tuple(map(get, each)) for each in requests])
    links = [step.links for step in steps]
    if any(links):
        for index, name in enumerate(LINKS):
            found[name] = TUPLES.encode([tuple(pair[index] for pair in each) for each in links])
    labels = [step.labels for step in steps]
    if any(labels):
        found[LABELS] = _shared(labels)
    return pa.RecordBatch.from_arrays(list(found.values()), names=list(found))


def _coded(column: Sequence[str]) -> pa.DictionaryArray:
    return _dictionary(column, dict.fromkeys(column), TEXT)


def _shared(labels: Sequence[Mapping[str, str]]) -> pa.DictionaryArray:
    """Steps of one emitter share their mappings: each distinct object is encoded once."""
    identities = list(map(id, labels))
    return _dictionary(identities, dict(zip(identities, labels, strict=True)), MAPS)


def _dictionary(
    column: Sequence[Any], distinct: Mapping[Any, Any], codec: Codec
) -> pa.DictionaryArray:
    """`distinct` are the values of `column`, each with what is encoded of it (`None`: itself)."""
    rows = len(column)
    if len(distinct) == 1:
        indices = pa.array(np.zeros(rows, np.int32))
    else:
        codes = dict(zip(distinct, range(len(distinct)), strict=True))
        indices = pa.array(np.fromiter(map(codes.__getitem__, column), np.int32, rows))
    values = [key if value is None else value for key, value in distinct.items()]
    return pa.DictionaryArray.from_arrays(indices, codec.encode(values))


# ---------------------------------------------------------------------- decoding


def decode(columns: pa.RecordBatch | pa.Table) -> list[Step]:
    """The inverse of `encode`; columns may be dictionaries or plain, and may be absent."""
    names = set(columns.schema.names)

    def of(column: str, codec: Codec) -> Iterable[Any] | None:
        return _values(columns.column(column), codec) if column in names else None

    values: list[Iterable[Any]] = []
    for field in STEP:
        read = of(field.column, field.codec)
        enum = ENUMS.get(field.attribute)
        if read is not None and enum is not None:
            members = {text: enum(text) for text in set(read)}
            read = [members[text] for text in read]
        values.append(repeat(field.default) if read is None else read)
    return _build(
        columns.num_rows,
        *values,
        _usages(of),
        _requests(of),
        _links(of),
        of(LABELS, MAPS) or repeat(NO_LABELS),
    )


Of = Callable[[str, Codec], Iterable[Any] | None]


def _values(column: pa.Array | pa.ChunkedArray, codec: Codec) -> list[Any]:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_dictionary(column.type):
        return codec.decode(pa.chunked_array([column]))
    known = codec.decode(pa.chunked_array([column.dictionary]))
    if len(known) == 1:
        return known * len(column)
    return list(map(known.__getitem__, column.indices.to_numpy().tolist()))


def _usages(of: Of) -> Iterable[Usage | None]:
    has = of(HAS_USAGE, BOOL)
    if has is None:
        return repeat(None)
    counts = [of(field.column, field.codec) or repeat(None) for field in USAGE]
    names = [field.attribute for field in USAGE]
    return [
        Usage(**dict(zip(names, stated, strict=True))) if known else None
        for known, *stated in zip(has, *counts, strict=False)
    ]


def _requests(of: Of) -> Iterable[tuple[ToolRequest, ...]]:
    columns = [of(name, TUPLES) for name in REQUESTS]
    if columns[0] is None:
        return repeat(())
    return [
        tuple(
            ToolRequest(name=name, call_id=call_id, arguments_digest=digest)
            for name, call_id, digest in zip(*row, strict=True)
        )
        if row[0]
        else ()
        for row in zip(*columns, strict=True)  # all there, or none
    ]


def _links(of: Of) -> Iterable[tuple[tuple[str, str], ...]]:
    columns = [of(name, TUPLES) for name in LINKS]
    if columns[0] is None:
        return repeat(())
    return [
        tuple(zip(*row, strict=True)) if row[0] else ()
        for row in zip(*columns, strict=True)  # all there, or none
    ]


def _builder() -> Callable[..., list[Step]]:
    """A loop with one assignment per field, written out as `dataclass` does with `__init__`:
    `Step(**values)` takes four times as long, and there is one per span."""
    names = [*(field.attribute for field in STEP), "usage", "tool_requests", "links", "labels"]
    assert set(names) == {field.name for field in fields(Step)}
    source = [
        f"def build(rows, {', '.join(names)}):",
        "    found = []",
        f"    for _, {', '.join('_' + name for name in names)} in zip(range(rows),"
        f" {', '.join(names)}):",
        "        step = new(Step)",
        *(f"        step.{name} = _{name}" for name in names),
        "        found.append(step)",
        "    return found",
    ]
    scope: dict[str, Any] = {"new": object.__new__, "Step": Step}
    exec("\n".join(source), scope)
    build: Callable[..., list[Step]] = scope["build"]
    return build


_build = _builder()


# ---------------------------------------------------------------------- handing over


def to_bytes(columns: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_batch(columns)
    handed: bytes = sink.getvalue().to_pybytes()
    return handed


def from_bytes(handed: bytes) -> pa.RecordBatch:
    """The inverse of `to_bytes`."""
    with pa.ipc.open_stream(handed) as reader:
        return reader.read_next_batch()


# ---------------------------------------------------------------------- storing


def stored(parts: Sequence[pa.RecordBatch], *, sparse: bool = False) -> dict[str, pa.Array]:
    """Several batches as plain columns of one; `sparse` leaves out what none of them holds."""
    present = {name for part in parts for name in part.schema.names}
    found: dict[str, pa.Array] = {}
    for name, codec in COLUMNS.items():
        if name in present or not sparse:
            found[name] = pa.concat_arrays([_plain(part, name, codec) for part in parts])
    return found


def _plain(part: pa.RecordBatch, name: str, codec: Codec) -> pa.Array:
    at = part.schema.get_field_index(name)
    if at < 0:
        return codec.encode([codec.default] * part.num_rows)
    column = part.column(at)
    if pa.types.is_dictionary(column.type):
        return column.dictionary.take(column.indices)
    return column
