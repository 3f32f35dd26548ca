"""Telemetry against the registry: names, types, values, and what must be there.  Pure.

A *violation* is something that the registry says and the telemetry does not do.  *Advice* is what
others could do better: a renamed attribute, one of a foreign emitter that has another type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collector.semconv import attributes
from collector.semconv.attributes import GEN_AI
from collector.semconv.problem import (
    Observed,
    Problem,
    Severity,
    Signal,
    perhaps,
    shown,
    violation,
)
from collector.semconv.registry import OURS, Attribute, EventType, Level, Registry, SpanType, Use
from otel_agentrun.semconv import OPERATION, RUN_ID, STEP_KIND


def check(seen: Observed, registry: Registry) -> Iterator[Problem]:
    """Everything that is wrong with `seen`, in the order of its attributes."""
    span = _span_type(seen, registry)
    event = registry.events.get(seen.name) if seen.signal is Signal.EVENT else None
    subject = _subject(seen, span)
    ours = span is not None or event is not None
    for key, value in seen.attributes.items():
        yield from attributes.check(key, value, seen, subject, registry, ours=ours)
    if span is not None:
        yield from _span(seen, subject, span, registry)
    elif seen.signal is Signal.SPAN:
        yield from _foreign(seen, subject, registry)
    elif event is not None:
        yield from _event(seen, subject, event, registry)
    elif seen.signal is Signal.EVENT:
        yield from _unknown_event(seen, subject, registry)


def _span_type(seen: Observed, registry: Registry) -> SpanType | None:
    if seen.signal is not Signal.SPAN:
        return None
    stated = seen.attributes.get(STEP_KIND)
    return registry.spans.get(stated) if isinstance(stated, str) else None


def _subject(seen: Observed, span: SpanType | None) -> str:
    if span is not None:
        return f"span {span.name}"
    if seen.signal is Signal.SPAN and isinstance(seen.attributes.get(OPERATION), str):
        return f"span {seen.attributes[OPERATION]}"
    return f"{seen.signal} {seen.name}".strip()


# --------------------------------------------------------------------------- spans


def _span(seen: Observed, subject: str, span: SpanType, registry: Registry) -> Iterator[Problem]:
    if seen.name != span.name and not seen.name.startswith(f"{span.name} "):
        yield violation(
            seen, subject, "wrong_name",
            f"the span is named {shown(seen.name)}",
            f"a step of kind {span.kind} is named `{span.name} <target>`",
            f"name it `{span.name} …`, or leave out {STEP_KIND}",
        )  # fmt: skip
    if seen.kind not in span.span_kinds:
        yield violation(
            seen, subject, "wrong_span_kind",
            f"the span's kind is {seen.kind or 'unspecified'}",
            f"a step of kind {span.kind} is {' or '.join(span.span_kinds)}",
            f"start it with kind {span.span_kinds[0].upper()}",
        )  # fmt: skip
    operation = seen.attributes.get(OPERATION)
    if operation is not None and operation not in span.operations:
        known = ", ".join(span.operations)
        yield violation(
            seen, subject, "value_not_allowed",
            f"{OPERATION} is {shown(operation)}",
            f"a step of kind {span.kind} is {known}" if known
            else f"the conventions have no operation for a step of kind {span.kind}",
            f"use {span.operations[0]}" if known else "leave it out",
            OPERATION,
        )  # fmt: skip
    yield from _used(seen, subject, span.uses, registry)


def _foreign(seen: Observed, subject: str, registry: Registry) -> Iterator[Problem]:
    """A GenAI span of somebody else's: what the conventions require of its operation."""
    operation = seen.attributes.get(OPERATION)
    required = registry.operations.get(operation, ()) if isinstance(operation, str) else ()
    for key in required:
        # The older name says the same, and is advice already.
        if not _has(seen, key) and not any(
            _has(seen, old) for old, new in registry.renamed.items() if new == key
        ):
            yield Problem(
                severity=Severity.ADVICE,
                rule="missing",
                subject=subject,
                attribute=key,
                what=f"{key} is missing",
                why=f"the GenAI conventions require it of {operation}",
                fix="ask its instrumentation for it",
                where=seen.where,
            )


# --------------------------------------------------------------------------- events


def _event(seen: Observed, subject: str, event: EventType, registry: Registry) -> Iterator[Problem]:
    uses = dict(event.uses)
    # What is stamped on everything inside of a run is on its events, too.
    for key in registry.common:
        uses.setdefault(key, Use(key=key, level=Level.RECOMMENDED))
    if event.is_step:
        stated = seen.attributes.get(STEP_KIND)
        span = registry.spans.get(stated) if isinstance(stated, str) else None
        # A report may leave out what its span says later; what it says is the span's.
        for key, use in (span.uses if span else {}).items():
            uses.setdefault(key, Use(key=key, level=Level.RECOMMENDED, at_start=use.at_start))
    yield from _used(seen, subject, uses, registry)
    if not (event.by_collector or seen.in_trace or _has(seen, RUN_ID)):
        yield violation(
            seen, subject, "no_run",
            "the event names no run",
            "an event belongs to the run of its trace, or to the one that it names",
            f"send it inside of a span, or with {RUN_ID}",
            RUN_ID,
        )  # fmt: skip


def _unknown_event(seen: Observed, subject: str, registry: Registry) -> Iterator[Problem]:
    for key in registry.foreign_events.get(seen.name, ()):
        if not _has(seen, key):
            yield Problem(
                severity=Severity.ADVICE,
                rule="missing",
                subject=subject,
                attribute=key,
                what=f"{key} is missing",
                why=f"the GenAI conventions require it of {seen.name}",
                fix="ask its instrumentation for it",
                where=seen.where,
            )
    if seen.name.startswith(OURS):
        yield violation(
            seen, subject, "unknown_event",
            f"there is no event {seen.name}",
            "agentrun.* holds nothing but what the registry names",
            perhaps(seen.name, registry.events, "use an event name of your own"),
        )  # fmt: skip


# --------------------------------------------------------------------------- both


def _used(
    seen: Observed, subject: str, uses: Mapping[str, Use], registry: Registry
) -> Iterator[Problem]:
    """What is missing, and what belongs elsewhere."""
    for use in uses.values():
        if _has(seen, use.key):
            continue
        if use.level is Level.REQUIRED:
            why = f"{subject} requires it"
        elif use.when and _holds(seen, use.when):
            why = f"{subject} requires it {use.condition}"
        else:
            continue
        yield violation(
            seen, subject, "missing", f"{use.key} is missing", why, f"send {use.key}", use.key
        )
    for key in seen.attributes:
        known = registry.find(key)
        if known is not None and _belongs_elsewhere(known) and known.key not in uses:
            yield Problem(
                severity=Severity.ADVICE,
                rule="not_expected",
                subject=subject,
                attribute=key,
                what=f"{key} is not an attribute of {subject}",
                why="nothing reads it there",
                fix="send it where docs/semconv.md lists it",
                where=seen.where,
            )


def _belongs_elsewhere(known: Attribute) -> bool:
    """Others' attributes, such as `server.address`, may be anywhere."""
    return known.ours or known.key.startswith(GEN_AI)


def _has(seen: Observed, key: str) -> bool:
    return seen.attributes.get(key) not in (None, "")


def _holds(seen: Observed, when: Mapping[str, Any]) -> bool:
    return all(
        seen.failed if key == "otlp" else seen.attributes.get(key) == value
        for key, value in when.items()
    )
