"""In-house conventions as data: `mappings:` of the config, compiled like a dialect's module.

What a mapping does not say of a span is read as plain GenAI, so that it names only what differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import SimpleNamespace
from typing import Any, Final

from otel_agentrun.dialects import genai, kinds
from otel_agentrun.dialects import labels as run_labels
from otel_agentrun.dialects.dialect import Dialect
from otel_agentrun.dialects.reading import Content
from otel_agentrun.dialects.tables import COMMON
from otel_agentrun.step import Kind, Role, SpanView

__all__ = ["FIELDS", "LABELS", "NO_MAPPINGS", "Mappings", "SpanMapping", "dialect", "is_label"]

Keys = Mapping[str, tuple[str, ...]]

STEP_FIELDS: Final = frozenset(genai.KEYS) | {
    "error_type", "handoff_to", "hit_count", "run_id", "attempt", "cost", "prompt_name",
    "prompt_version", "tool_version",
}  # fmt: skip
CONTENT_FIELDS: Final = frozenset(one.name for one in fields(Content))
LABELS: Final = frozenset(run_labels.LABELS)
FIELDS: Final = STEP_FIELDS | CONTENT_FIELDS | LABELS
"""What keys may be given for, besides `tags.<name>`."""
TAGS: Final = "tags."


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMapping:
    """Spans of one in-house convention: how they are told, what they are, where their fields are.

    At least one of `scope` and `attribute` is given; with both, both have to fit.
    """

    name: str
    """Name of the dialect on steps and runs."""
    scope: str = ""
    """Glob on the instrumentation scope's name."""
    attribute: str = ""
    """A key that marks the spans."""
    kind_attribute: str = ""
    """The key whose value tells the kind; "" is `attribute`."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Value of it -> kind."""
    kind: str = "other"
    """Kind of spans that no value of `kinds` and no `gen_ai.operation.name` tells."""
    keys: Keys = field(default_factory=dict)
    """Field -> keys, first present wins, before those of plain GenAI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mappings:
    """All of a config; picklable, so that decoder processes read spans alike."""

    spans: tuple[SpanMapping, ...] = ()
    """The first that fits a span reads it, before any built-in dialect."""
    keys: Keys = field(default_factory=dict)
    """Field -> keys, read from every span after those its dialect has; labels from resources
    and request headers, too."""


NO_MAPPINGS: Final = Mappings()


def is_label(name: str) -> bool:
    return name in LABELS or (name.startswith(TAGS) and len(name) > len(TAGS))


def dialect(mapping: SpanMapping, everywhere: Keys) -> Dialect:
    """The mapping as a dialect; `everywhere` are the keys that every dialect reads besides."""
    own = {name: keys for name, keys in mapping.keys.items() if name in STEP_FIELDS}
    labels = {key: name for name, keys in mapping.keys.items() if is_label(name) for key in keys}
    said = {key for keys in mapping.keys.values() for key in keys}
    said |= {key for keys in COMMON.values() for key in keys}
    keys = {
        name: (*own.get(name, ()), *(k for k in genai.KEYS.get(name, ()) if k not in said))
        for name in {**own, **genai.KEYS}
    }
    told_by = mapping.kind_attribute or mapping.attribute
    table = {value: Kind(kind) for value, kind in mapping.kinds.items()}
    default = Kind(mapping.kind)
    scope = _glob(mapping.scope or "*").fullmatch
    marked = mapping.attribute

    def recognizes(span: SpanView) -> bool:
        return (not marked or marked in span.attributes) and scope(span.scope) is not None

    def kind(span: SpanView) -> Kind:
        found = table.get(span.text(told_by)) if told_by else None
        if found is not None:
            return found
        return genai.kind(span) if genai.OPERATION in span.attributes else default

    def role(span: SpanView, kind: Kind) -> Role:
        if kind is kinds.RUN and genai.OPERATION not in span.attributes:
            return kinds.AGENT
        return genai.role(span, kind)

    module = SimpleNamespace(
        **{name: value for name, value in vars(genai).items() if name in INHERITED}
    )
    module.NAME = mapping.name
    module.KEYS = keys
    module.ALSO_READ = genai.ALSO_READ | {key for key in (told_by, marked) if key}
    module.CONTENT = _content(mapping.keys)
    module.recognizes, module.kind, module.role = recognizes, kind, role
    module.label = lambda key: labels.get(key, "")
    return Dialect(module, everywhere)


INHERITED: Final = frozenset(
    {
        "PREFIXES", "EVENTS", "CONTENT_PREFIXES", "derive", "usage", "tool_requests", "told",
        "content",
    }
)  # fmt: skip
"""What a mapping takes from plain GenAI as it is, where that has it."""


def _glob(text: str) -> re.Pattern[str]:
    """`*` stands for any characters, `?` for one."""
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _content(keys: Keys) -> Keys:
    """Where the read path looks: an input may be messages or a plain text."""
    found: dict[str, Sequence[str]] = dict(genai.CONTENT)
    for name, own in keys.items():
        targets = {"input": ("messages_in", "input"), "output": ("messages_out", "output")}
        for target in targets.get(name, (name,)):
            if target in CONTENT_FIELDS:
                found[target] = (*own, *genai.CONTENT.get(target, ()))
    return {name: tuple(each) for name, each in found.items()}


def everywhere(keys: Keys) -> tuple[Keys, dict[str, str]]:
    """(fields of steps, key -> label) of `Mappings.keys`."""
    steps = {name: own for name, own in keys.items() if name in STEP_FIELDS and not is_label(name)}
    labels: dict[str, Any] = {
        key: name for name, own in keys.items() if is_label(name) for key in own
    }
    return steps, labels
