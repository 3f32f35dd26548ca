"""The registry as frozen values: attributes, spans and events by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

OURS: Final = "agentrun."


class Level(StrEnum):
    """How much a span or event needs an attribute, as in the conventions."""

    REQUIRED = "required"
    CONDITIONAL = "conditionally_required"
    RECOMMENDED = "recommended"
    OPT_IN = "opt_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a closed set."""

    value: str
    brief: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What one attribute is."""

    key: str
    type: str
    """`string`, `int`, `double`, `boolean`, `string[]`, or `any`; of a template, of each value."""
    template: bool = False
    """`key` is a prefix: the attributes are `<key>.<anything>`."""
    constant: str
    """Name in `otel_agentrun.semconv`."""
    brief: str = ""
    note: str = ""
    unit: str = ""
    values: tuple[Value, ...] = ()
    closed: bool = False
    """Nothing but `values` is allowed; else they are the well-known ones."""
    examples: tuple[Any, ...] = ()
    content: bool = False
    """Holds what people or models said, arguments, results or documents: opt-in, redacted."""
    group: str = ""
    """Group of ours; "" for what others define."""
    source: str = ""

    @property
    def ours(self) -> bool:
        return self.key.startswith(OURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A section of attributes."""

    id: str
    title: str
    brief: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One attribute of one span or event."""

    key: str
    level: Level
    condition: str = ""
    when: Mapping[str, Any] = field(default_factory=dict)
    """The condition where a check can read it: attribute -> value, or `otlp: error`."""
    at_start: bool = False
    """Has to be there when the span starts, for samplers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanType:
    """A span of ours, by the value of `agentrun.step.kind`."""

    name: str
    """`agent.run`: the first word of the span's name."""
    kind: str
    brief: str
    span_kinds: tuple[str, ...]
    operations: tuple[str, ...]
    """Values of `gen_ai.operation.name`; none: the attribute is left out."""
    uses: Mapping[str, Use]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """An event, by its name."""

    name: str
    constant: str
    brief: str
    uses: Mapping[str, Use]
    is_step: bool = False
    """Carries the attributes of any step beside its own."""
    by_collector: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One line of what the project is for, and the names that carry it."""

    id: str
    text: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything that has a name."""

    attributes: Mapping[str, Attribute]
    groups: tuple[Group, ...]
    spans: Mapping[str, SpanType]
    """By step kind."""
    events: Mapping[str, EventType]
    operations: Mapping[str, tuple[str, ...]]
    """GenAI operation -> attributes that its span must have."""
    foreign_events: Mapping[str, tuple[str, ...]]
    renamed: Mapping[str, str]
    genai_commit: str
    genai_schema_url: str
    core_version: str
    prefixes: Mapping[str, Attribute] = field(default_factory=dict)
    """Templates by their prefix, with the dot."""

    common: frozenset[str] = frozenset()
    """Attributes that all spans of ours list, and events may carry as well."""

    def find(self, key: str) -> Attribute | None:
        """The attribute that `key` is, or the template that it belongs to."""
        found = self.attributes.get(key)
        if found is not None and not found.template:
            return found
        for prefix, template in self.prefixes.items():
            if len(key) > len(prefix) and key.startswith(prefix):
                return template
        return None
