"""How a span was read: which dialect, what decided its kind, which key gave which field.

By the tables that `step()` reads with, so that the two cannot disagree.  The read path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_agentrun import dialects
from otel_agentrun.dialects.shapes import Reader, values
from otel_agentrun.dialects.tables import STATUS_KEYS
from otel_agentrun.dialects.transport import MARKS
from otel_agentrun.step import SpanView, as_text

__all__ = ["Reading", "explain"]

VALUE_CHARS_MAX: Final = 80
WORKED_OUT: Final[Mapping[str, str]] = {
    "agent_name": "agent_name",
    "provider": "provider",
    "model": "model",
    "tool_name": "tool_name",
    "tool_call_id": "tool_call_id",
    "arguments_digest": "arguments",
    "result_digest": "result",
    "tool_requests": "output",
    "finish_reasons": "finish_reasons",
    "handoff_to": "handoff_to",
    "error_type": "error_type",
    "hit_count": "hit_count",
}
"""Field of a step -> the table's field that says it, where an attribute does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one span, in the order of its attributes."""

    dialect: str
    """"" when no dialect recognizes the span."""
    decided_by: Mapping[str, str] = field(default_factory=dict)
    """Attributes that the dialect looks at beside its table: they tell kind and role."""
    fields: Sequence[tuple[str, str, str]] = ()
    """(field, attribute, value cut short), for fields of the step and labels of its run."""
    worked_out: Sequence[str] = ()
    """Fields that no single attribute says: from the span's name, its events or its messages."""
    unread: Sequence[str] = ()
    """Attributes that neither the step nor its content has use for."""


def explain(span: SpanView) -> Reading:
    """`span` has all its attributes, as text or typed."""
    shape = dialects.SHAPES.of(span)
    dialect = shape.dialect
    attributes = span.attributes
    beside = dialect.also_read & attributes.keys()
    fields = [
        (name, key, _short(attributes[key]))
        for name, key in sorted(
            {**_winners(shape.labels, attributes), **_winners(shape.fields, attributes)}.items()
        )
    ]
    step = dialects.step(span)
    said = {name for name, _, _ in fields}
    read = {key for _, key, _ in fields} | beside | STATUS_KEYS | set(MARKS)
    return Reading(
        dialect=dialect.name,
        decided_by={key: _short(attributes[key]) for key in sorted(beside)},
        fields=fields,
        worked_out=[
            name
            for name, source in WORKED_OUT.items()
            if getattr(step, name) and source not in said
        ],
        unread=sorted(
            key
            for key in attributes
            if key not in read and dialect.table[key] is None and not dialects.is_content_key(key)
        ),
    )


def _winners(readers: Sequence[Reader], attributes: Mapping[str, Any]) -> dict[str, str]:
    """Field -> the key whose value it has: readers go from worst to best, the last one wins."""
    found: dict[str, str] = {}
    for reader in readers:
        if values((reader,), attributes):
            found[reader[1]] = reader[0]
    return found


def _short(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"
