"""Telemetry made from the registry itself: what it asks for, no more or all of it."""

from __future__ import annotations

from typing import Any, Final

from collector.semconv.conformance import check
from collector.semconv.loading import load
from collector.semconv.problem import Observed, Problem, Signal
from collector.semconv.registry import Attribute, EventType, Level, SpanType, Use

REGISTRY: Final = load()
BY_TYPE: Final = {
    "string": "text", "int": 1, "double": 0.5, "boolean": True, "string[]": ["text"], "any": "{}",
}  # fmt: skip


def a_value(one: Attribute) -> Any:
    """An allowed value."""
    return one.values[0].value if one.values else BY_TYPE[one.type]


def attributes(uses: dict[str, Use], *, everything: bool) -> dict[str, Any]:
    """What is required, or all there is; templates with one key."""
    found = {}
    for use in uses.values():
        if everything or use.level is Level.REQUIRED:
            one = REGISTRY.attributes[use.key]
            found[f"{one.key}.k" if one.template else one.key] = a_value(one)
    return found


def a_span(step: str, *, everything: bool = False, **changes: Any) -> Observed:
    """A conforming span of ours; `changes` are fields of `Observed`."""
    span: SpanType = REGISTRY.spans[step]
    found = attributes(dict(span.uses), everything=everything)
    found["agentrun.step.kind"] = step
    if span.operations:
        found["gen_ai.operation.name"] = span.operations[0]
    found |= changes.pop("attributes", {})
    found = {key: value for key, value in found.items() if value is not None}
    fields: dict[str, Any] = {
        "name": f"{span.name} target",
        "kind": span.span_kinds[0],
        "where": "here",
    } | changes
    return Observed(signal=Signal.SPAN, attributes=found, **fields)


def an_event(event_name: str, *, everything: bool = False, **changes: Any) -> Observed:
    """A conforming event of ours."""
    event: EventType = REGISTRY.events[event_name]
    found = attributes(dict(event.uses), everything=everything) | changes.pop("attributes", {})
    found = {key: value for key, value in found.items() if value is not None}
    fields: dict[str, Any] = {"name": event_name, "in_trace": True, "where": "here"} | changes
    return Observed(signal=Signal.EVENT, attributes=found, **fields)


def problems(seen: Observed) -> list[Problem]:
    return list(check(seen, REGISTRY))


def rules(seen: Observed) -> list[tuple[str, str]]:
    """(rule, attribute) of every problem."""
    return [(problem.rule, problem.attribute) for problem in problems(seen)]
