"""The registry as the page `docs/semconv.md`.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from string import Template
from typing import Final

from collector.semconv.registry import Attribute, Level, Registry, Requirement, SpanType, Use

LEVELS: Final = {
    Level.REQUIRED: "required",
    Level.RECOMMENDED: "recommended",
    Level.OPT_IN: "opt-in",
}


SORTS: Final = {"span": "span", "event": "event", "header": "header", "otlp": "OTLP field"}


def page(introduction: str, registry: Registry, requirements: Iterable[Requirement]) -> str:
    """The text of `docs/semconv.md`; `introduction` may refer to `$commit` and the like."""
    commit = registry.genai_commit
    parts = [
        Template(introduction).substitute(
            commit=commit,
            short=commit[:7],
            core=registry.core_version,
            schema_url=registry.genai_schema_url,
        ),
        "\n## Spans\n\nAll carry what is listed under [Every step](#every-step).\n",
    ]
    common = registry.common
    parts += [_span_section(span, common, registry) for span in registry.spans.values()]
    parts.append("\n### Every step\n\n")
    first = next(iter(registry.spans.values()))
    parts.append(_uses_table([first.uses[key] for key in first.uses if key in common], registry))
    parts.append(
        "\n## Events\n\nLog records with these names. "
        "Each may also carry what is listed under [Every step](#every-step).\n"
    )
    for event in registry.events.values():
        parts.append(f"\n### `{event.name}`\n\n{event.brief}\n\n")
        own = [use for use in event.uses.values() if not (event.is_step and use.key in common)]
        if len(own) < len(event.uses):
            parts.append("With what [every step](#every-step) carries.\n\n")
        parts.append(_uses_table(own, registry))
    parts.append("\n## Attributes\n\n`<key>` stands for any key. *Content* is what people, models "
                 "and tools said: opt-in, and redacted.\n")  # fmt: skip
    for group in registry.groups:
        parts.append(f"\n### {group.title}\n\n{group.brief}\n\n")
        parts.append(_attributes_table([registry.attributes[key] for key in group.keys]))
    parts.append("\n### Defined by others\n\n")
    parts.append(_foreign_table([one for one in registry.attributes.values() if not one.ours]))
    parts.append(
        "\n## What carries which requirement\n\n| id | requirement | names |\n|---|---|---|\n"
    )
    for one in requirements:
        names = ", ".join(_name(name) for name in one.names)
        parts.append(f"| {one.id} | {_cell(one.text)} | {names} |\n")
    return "".join(parts)


def _span_section(span: SpanType, common: frozenset[str], registry: Registry) -> str:
    operations = ", ".join(f"`{one}`" for one in span.operations) or "none"
    kinds = " or ".join(kind.upper() for kind in span.span_kinds)
    own = [use for use in span.uses.values() if use.key not in common]
    return (
        f"\n### `{span.name}`\n\n{span.brief}\n\n"
        f"Span kind {kinds}; `agentrun.step.kind` `{span.kind}`; "
        f"`gen_ai.operation.name` {operations}.\n\n{_uses_table(own, registry)}"
    )


def _uses_table(uses: Iterable[Use], registry: Registry) -> str:
    rows = ["| attribute | type | needed |\n|---|---|---|\n"]
    for use in uses:
        one = registry.attributes[use.key]
        level = LEVELS.get(use.level) or use.condition
        start = "; at the start of the span" if use.at_start else ""
        rows.append(f"| {_key(one)} | {_type(one)} | {_cell(level)}{start} |\n")
    return "".join(rows)


def _attributes_table(attributes: Iterable[Attribute]) -> str:
    rows = ["| attribute | type | means | values |\n|---|---|---|---|\n"]
    for one in attributes:
        means = f"{one.brief} {one.note}".strip() + (" *Content.*" if one.content else "")
        if one.closed:
            values = "<br>".join(f"`{each.value}`: {_cell(each.brief)}" for each in one.values)
        else:
            values = ", ".join(f"`{_cell(_example(each))}`" for each in one.examples)
            values = f"such as {values}" if values else "`true`, `false`"
        rows.append(f"| {_key(one)} | {_type(one)} | {_cell(means)} | {values} |\n")
    return "".join(rows)


def _foreign_table(attributes: Iterable[Attribute]) -> str:
    rows = ["| attribute | type | defined by |\n|---|---|---|\n"]
    rows += [f"| {_key(one)} | {_type(one)} | {one.source} |\n" for one in attributes]
    return "".join(rows)


def _key(one: Attribute) -> str:
    return f"`{one.key}.<key>`" if one.template else f"`{one.key}`"


def _type(one: Attribute) -> str:
    return f"{one.type}, {one.unit}" if one.unit else one.type


def _example(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _name(name: str) -> str:
    """`span:agent.tool` as `agent.tool` (span)."""
    sort, _, rest = name.partition(":")
    return f"`{rest}` ({SORTS[sort]})" if rest else f"`{name}`"
