"""The registry, read from its files.

`schemas/semconv/model/` is a Weaver registry (OpenTelemetry semantic-convention YAML, `groups:`).
What it refers to and does not define is in `schemas/semconv/upstream.yaml`: type and values as they
are at the pinned commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import Any, Final

import yaml

from collector import resources
from collector.semconv.registry import (
    OURS,
    Attribute,
    EventType,
    Group,
    Level,
    Registry,
    Requirement,
    SpanType,
    Use,
    Value,
)

FILES: Final = ("run", "identity", "step", "coordination", "money", "control", "spans", "events")
"""Of the model, in the order of the documentation."""
TEMPLATE: Final = "template["


class RegistryError(Exception):
    """The registry contradicts itself: where and what."""


def load(folder: Traversable | None = None) -> Registry:
    """Read the registry of this installation.  Raises RegistryError."""
    folder = folder or resources.data("schemas") / "semconv"
    model = [_read(folder / "model" / f"{name}.yaml") for name in FILES]
    return parse([group for document in model for group in document["groups"]],
                 _read(folder / "upstream.yaml"))  # fmt: skip


def load_requirements(folder: Traversable | None = None) -> tuple[Requirement, ...]:
    """Which requirement is carried by which names, in the order of the list."""
    folder = folder or resources.data("schemas") / "semconv"
    document = _read(folder / "requirements.yaml")
    return tuple(
        Requirement(id=key, text=one["text"], names=tuple(one["names"]))
        for key, one in document.items()
    )


def parse(groups: Iterable[Mapping[str, Any]], upstream: Mapping[str, Any]) -> Registry:
    """The registry of its documents.  Raises RegistryError."""
    groups = list(groups)
    attributes: dict[str, Attribute] = {}
    sections = []
    for group in groups:
        if not group["id"].startswith("registry."):
            continue
        found = [_attribute(one, group["id"]) for one in group["attributes"]]
        for attribute in found:
            if attribute.key in attributes:
                raise RegistryError(f"{group['id']}: {attribute.key} is defined twice")
            attributes[attribute.key] = attribute
        sections.append(
            Group(
                id=group["id"].removeprefix("registry."),
                title=group["display_name"],
                brief=group["brief"].strip(),
                keys=tuple(attribute.key for attribute in found),
            )
        )
    for key, facts in upstream["attributes"].items():
        attributes[key] = _foreign(key, facts, upstream)
    _unique_constants(attributes.values())
    by_id = {group["id"]: group for group in groups}
    spans = {}
    events = {}
    for group in groups:
        if group["type"] == "span":
            span = _span(group, _uses(group, by_id, attributes))
            spans[span.kind] = span
        elif group["type"] == "event":
            event = _event(group, _uses(group, by_id, attributes))
            events[event.name] = event
    return Registry(
        attributes=attributes,
        groups=tuple(sections),
        spans=spans,
        events=events,
        operations={key: tuple(names) for key, names in upstream["operations"].items()},
        foreign_events={key: tuple(names) for key, names in upstream["events"].items()},
        renamed=upstream["renamed"],
        genai_commit=upstream["genai"]["commit"],
        genai_schema_url=upstream["genai"]["schema_url"],
        core_version=upstream["core"]["version"],
        prefixes={f"{one.key}.": one for one in attributes.values() if one.template},
        common=frozenset(set.intersection(*(set(span.uses) for span in spans.values()))),
    )


def _read(file: Traversable) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _attribute(one: Mapping[str, Any], group: str) -> Attribute:
    key, stated = one["id"], one["type"]
    notes = one.get("annotations", {})
    members = stated["members"] if isinstance(stated, Mapping) else ()
    type_, template = _type("string" if members else stated)
    return Attribute(
        key=key,
        type=type_,
        template=template,
        constant=notes.get("constant") or _constant(key.removeprefix(OURS)),
        brief=one["brief"].strip(),
        note=one.get("note", "").strip(),
        unit=notes.get("unit", ""),
        values=tuple(Value(value=each["value"], brief=each["brief"]) for each in members),
        closed=bool(members),
        examples=tuple(one.get("examples", ())),
        content=notes.get("content", False),
        group=group.removeprefix("registry."),
        source="schemas/semconv",
    )


def _foreign(key: str, facts: Mapping[str, Any], upstream: Mapping[str, Any]) -> Attribute:
    type_, template = _type(facts["type"])
    genai = key.startswith("gen_ai.")
    commit, version = upstream["genai"]["commit"], upstream["core"]["version"]
    return Attribute(
        key=key,
        type=type_,
        template=template,
        constant=facts.get("constant") or _constant(key),
        unit=facts.get("unit", ""),
        values=tuple(Value(value=value, brief="") for value in facts.get("values", ())),
        content=facts.get("content", False),
        source=f"semantic-conventions-genai {commit[:7]}"
        if genai
        else f"semantic-conventions {version}",
    )


def _type(stated: str) -> tuple[str, bool]:
    if stated.startswith(TEMPLATE):
        return stated[len(TEMPLATE) : -1], True
    return stated, False


def _constant(key: str) -> str:
    return key.replace(".", "_").upper()


def _unique_constants(attributes: Iterable[Attribute]) -> None:
    named: dict[str, str] = {}
    for one in attributes:
        other = named.setdefault(one.constant, one.key)
        if other != one.key:
            raise RegistryError(f"{one.key} and {other} are both the constant {one.constant}")


def _uses(
    group: Mapping[str, Any],
    by_id: Mapping[str, Mapping[str, Any]],
    attributes: Mapping[str, Attribute],
) -> dict[str, Use]:
    """Own references before those of the group that is extended; own ones win."""
    uses: dict[str, Use] = {}
    for one in _references(group, by_id):
        key = one["ref"]
        if key not in attributes:
            raise RegistryError(f"{group['id']}: {key} is defined nowhere")
        level = one["requirement_level"]
        condition = ""
        if isinstance(level, Mapping):
            level, condition = next(iter(level.items()))
        use = Use(
            key=key,
            level=Level(level),
            condition=condition,
            when=one.get("annotations", {}).get("when", {}),
            at_start=one.get("sampling_relevant", False),
        )
        uses.setdefault(key, use)
    return uses


def _references(
    group: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    yield from group["attributes"]
    if "extends" in group:
        yield from _references(by_id[group["extends"]], by_id)


def _span(group: Mapping[str, Any], uses: Mapping[str, Use]) -> SpanType:
    notes = group["annotations"]
    return SpanType(
        name=group["id"].removeprefix("span."),
        kind=notes["kind"],
        brief=group["brief"].strip(),
        span_kinds=tuple(notes.get("span_kinds", (group["span_kind"],))),
        operations=tuple(notes["operations"]),
        uses=uses,
    )


def _event(group: Mapping[str, Any], uses: Mapping[str, Use]) -> EventType:
    notes = group["annotations"]
    return EventType(
        name=group["name"],
        constant=notes["constant"],
        brief=group["brief"].strip(),
        uses=uses,
        is_step=notes.get("step", False),
        by_collector=notes.get("collector", False),
    )
