"""Which dialect reads a span and which key feeds which field: settled once per shape of span.

The shape of a span is its scope and the keys it carries.  An emitter sends a handful of shapes, so
a span costs one look-up here, and then a walk over those of its keys that mean something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects.dialect import Dialect
from otel_agentrun.dialects.tables import Convert, as_is
from otel_agentrun.step import SpanView, as_text

SHAPES_MAX: Final = 2048

Reader = tuple[str, str, Convert | None, Convert]
"""(key, field, converter of text if it needs one, converter of other types)."""


class Shape:
    """What scope and keys say before any value is looked at."""

    __slots__ = ("dialect", "fields", "labels")

    def __init__(self, dialect: Dialect, keys: Sequence[str]) -> None:
        found = [(entry, key) for key in keys if (entry := dialect.table[key]) is not None]
        # Worst first: what a better key says replaces it.
        found.sort(key=lambda pair: -pair[0][1])
        self.dialect = dialect
        self.fields: tuple[Reader, ...] = tuple(
            (key, field, None if convert is as_is else convert, convert or as_text)
            for (field, _, convert, is_label), key in found
            if not is_label
        )
        self.labels: tuple[Reader, ...] = tuple(
            (key, name, None, as_text) for (name, _, _, is_label), key in found if is_label
        )


class Shapes(dict[tuple[str, tuple[str, ...]], Shape]):
    """(scope, keys) -> shape.  Bounded: it forgets everything when it is full."""

    def __init__(self, order: Sequence[Dialect], unrecognized: Dialect) -> None:
        super().__init__()
        self._order = order
        self._unrecognized = unrecognized

    def of(self, span: SpanView) -> Shape:
        keys = tuple(span.attributes)
        shape = self.get((span.scope, keys))
        if shape is None:
            dialect = next((d for d in self._order if d.recognizes(span)), self._unrecognized)
            if len(self) >= SHAPES_MAX:
                self.clear()
            shape = self[(span.scope, keys)] = Shape(dialect, keys)
        return shape


def values(readers: Sequence[Reader], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> converted value, each from its best key that has one; NaN and "" are none."""
    found: dict[str, Any] = {}
    for key, field, of_text, of_other in readers:
        value = attributes[key]
        if type(value) is str:
            if not value:
                continue
            if of_text is not None:
                value = of_text(value)
                if value is None:
                    continue
        elif value is None or value == "":
            continue
        else:
            value = of_other(value)
            if value is None:
                continue
        found[field] = value
    return found
