"""Which dialect reads a span and which key feeds which field: settled once per shape of span.

The shape of a span is its scope and the keys it carries.  An emitter sends a handful of shapes, so
a span costs one look-up here, and then a walk over those of its keys that mean something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun.dialects.dialect import Dialect
from otel_agentrun.dialects.tables import OF_TEXT, Convert, as_is
from otel_agentrun.step import SpanView, as_text

SHAPES_MAX: Final = 2048

Reader = tuple[str, str, Convert | None, Convert]
"""(key, field, converter of text if it needs one, converter of other types)."""


class Shape:
    """What scope and keys say before any value is looked at."""

    __slots__ = ("dialect", "fields", "labels", "scope")

    def __init__(self, dialect: Dialect, scope: str, keys: Sequence[str]) -> None:
        found = [(entry, key) for key in keys if (entry := dialect.table[key]) is not None]
        # Worst first: what a better key says replaces it.
        found.sort(key=lambda pair: -pair[0][1])
        self.dialect = dialect
        self.scope = scope
        """One object for all steps of the shape."""
        self.fields: tuple[Reader, ...] = tuple(
            (key, field, _of_text(convert), convert or as_text)
            for (field, _, convert, is_label), key in found
            if not is_label
        )
        self.labels: tuple[Reader, ...] = tuple(
            (key, name, None, as_text) for (name, _, _, is_label), key in found if is_label
        )


def _of_text(convert: Convert | None) -> Convert | None:
    return None if convert is None or convert is as_is else OF_TEXT.get(convert, convert)


class Shapes(dict[tuple[str, tuple[str, ...]], Shape]):
    """(scope, keys) -> shape.  Bounded: it forgets everything when it is full."""

    def __init__(self, order: Sequence[Dialect], unrecognized: Dialect) -> None:
        super().__init__()
        self._order = order
        self._unrecognized = unrecognized
        self._last: tuple[str, tuple[str, ...], Shape] | None = None

    def of(self, span: SpanView) -> Shape:
        scope, keys = span.scope, tuple(span.attributes)
        last = self._last
        # Spans of a scope come together in a request.
        if last is not None and last[1] == keys and last[0] == scope:
            return last[2]
        shape = self.get((scope, keys))
        if shape is None:
            dialect = next((d for d in self._order if d.recognizes(span)), self._unrecognized)
            if len(self) >= SHAPES_MAX:
                self.clear()
            shape = self[(scope, keys)] = Shape(dialect, scope, keys)
        self._last = (scope, keys, shape)
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
