"""Large attribute values have a table of their own, so that scans over spans do not touch them.

A value longer than the limit keeps its beginning inline; reading puts the whole one back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from otel_agentrun.step import SpanEvent

SPAN_ATTRIBUTES: Final = "SpanAttributes"
EVENT_ATTRIBUTES: Final = "Events.Attributes"
KEYS: Final = ("Timestamp", "TraceId", "SpanId", "Version", "ReceivedAt")


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a large value was: its row, and the key under which `agent_content` has it."""

    row: int
    key: str
    value: str


def move_large(spans: pa.Table, value_bytes_max: int) -> tuple[pa.Table, pa.Table | None]:
    """(spans with large values cut, rows of `agent_content` or `None`).

    `spans` has one chunk per column.  Cutting keeps whole characters, so that up to three bytes
    less than the limit stay inline.
    """
    moved: list[Moved] = []
    for name in (SPAN_ATTRIBUTES, EVENT_ATTRIBUTES):
        column = spans[name].combine_chunks()
        cut = _cut(column, value_bytes_max, moved)
        if cut is not None:
            spans = spans.set_column(spans.schema.get_field_index(name), name, cut)
    if not moved:
        return spans, None
    rows = spans.select(KEYS).take(pa.array([entry.row for entry in moved]))
    rows = rows.append_column("Key", pa.array([entry.key for entry in moved]))
    return spans, rows.append_column("Value", pa.array([entry.value for entry in moved]))


def _cut(column: pa.Array, limit: int, moved: list[Moved]) -> pa.Array | None:
    """The column with its large values cut, `None` where it has none; appends to `moved`."""
    in_events = pa.types.is_list(column.type) and not pa.types.is_map(column.type)
    maps = column.values if in_events else column
    lengths = pc.binary_length(maps.items)
    longest = pc.max(lengths).as_py()
    if longest is None or longest <= limit:
        return None
    positions = pc.indices_nonzero(pc.greater(lengths, limit)).to_pylist()
    map_of = _Owner(maps.offsets)
    row_of = _Owner(column.offsets) if in_events else None
    short = []
    for position in positions:
        value = maps.items[position].as_py()
        key = maps.keys[position].as_py()
        index = map_of(position)
        if row_of is None:
            row = index
        else:
            row = row_of(index)
            key = f"events.{index - column.offsets[row].as_py()}.{key}"
        if row >= 0:  # a slice's values may reach beyond its rows
            moved.append(Moved(row, key, value))
        short.append(value.encode()[:limit].decode(errors="ignore"))
    mask = pa.array(_mask(len(maps.items), positions))
    items = pc.replace_with_mask(maps.items, mask, pa.array(short, pa.string()))
    cut = pa.MapArray.from_arrays(maps.offsets, maps.keys, items)
    return pa.ListArray.from_arrays(column.offsets, cut) if in_events else cut


class _Owner:
    """Which list a position in the values belongs to."""

    def __init__(self, offsets: pa.Array) -> None:
        self._offsets = offsets.to_numpy()

    def __call__(self, position: int) -> int:
        return int(self._offsets.searchsorted(position, side="right")) - 1


def _mask(length: int, positions: list[int]) -> Any:
    import numpy as np

    mask = np.zeros(length, dtype=bool)
    mask[positions] = True
    return mask


def restore(attributes: dict[str, str], events: list[SpanEvent], stored: Mapping[str, str]) -> None:
    """Put whole values back in place; `stored` is `agent_content` of one span by key.

    A newer version of a span may have dropped or changed a value: only what is inline and a
    beginning of the stored value is replaced.
    """
    for key, value in stored.items():
        for target, name in _targets(attributes, events, key):
            inline = target.get(name)
            if inline is not None and value.startswith(inline):
                target[name] = value


def _targets(
    attributes: dict[str, str], events: list[SpanEvent], key: str
) -> Iterator[tuple[dict[str, Any], str]]:
    yield attributes, key
    prefix, _, rest = key.partition(".")
    index, _, name = rest.partition(".")
    if prefix == "events" and index.isdecimal() and int(index) < len(events):
        target = events[int(index)].attributes
        assert isinstance(target, dict)
        yield target, name
