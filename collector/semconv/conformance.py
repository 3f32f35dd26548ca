"""Telemetry against the registry: names, types, values, and what must be there.  Pure.

A *violation* is something that the registry says and the telemetry does not do.  *Advice* is what
others could do better: a renamed attribute, one of a foreign emitter that has another type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from collector.semconv.registry import OURS, Attribute, EventType, Level, Registry, SpanType, Use

STEP_KIND: Final = "agentrun.step.kind"
RUN_ID: Final = "agentrun.run.id"
OPERATION: Final = "gen_ai.operation.name"
GEN_AI: Final = "gen_ai."
SHOWN_CHARS_MAX: Final = 60


class Signal(StrEnum):
    """What is looked at."""

    RESOURCE = "resource"
    SPAN = "span"
    SPAN_EVENT = "span event"
    EVENT = "event"
    LOG = "log record"


class Severity(StrEnum):
    """Whether it breaks a promise."""

    VIOLATION = "violation"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One span, event, log record or resource as it was exported, values typed."""

    signal: Signal
    name: str = ""
    """Of the span or event; "" for the rest."""
    kind: str = ""
    """Of a span, in lower case: `internal`, `client`, ..."""
    failed: bool = False
    """The status of a span is an error."""
    in_trace: bool = False
    """An event or log record that carries a trace id."""
    attributes: Mapping[str, Any]
    where: str = ""
    """For people: file, and trace and span id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one thing, why, and what to do."""

    severity: Severity
    rule: str
    subject: str
    """`span agent.tool`, `event agentrun.decision`: what it is about."""
    attribute: str = ""
    what: str
    why: str
    fix: str
    where: str = ""


def check(seen: Observed, registry: Registry) -> Iterator[Problem]:
    """Everything that is wrong with `seen`, in the order of its attributes."""
    span = _span_type(seen, registry)
    event = registry.events.get(seen.name) if seen.signal is Signal.EVENT else None
    subject = _subject(seen, span)
    ours = span is not None or event is not None
    for key, value in seen.attributes.items():
        yield from _named(key, value, seen, subject, registry, ours=ours)
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


# --------------------------------------------------------------------------- attributes


def _named(
    key: str, value: Any, seen: Observed, subject: str, registry: Registry, *, ours: bool
) -> Iterator[Problem]:
    """One attribute by itself: its name, its type, its value."""
    if key in registry.renamed:
        yield Problem(
            severity=Severity.ADVICE,
            rule="renamed",
            subject=subject,
            attribute=key,
            what=f"{key} has another name",
            why=f"the conventions at {registry.genai_commit[:7]} call it {registry.renamed[key]}",
            fix=f"send {registry.renamed[key]}; both are read",
            where=seen.where,
        )
        return
    known = registry.find(key)
    if known is None:
        yield from _unknown(key, seen, subject, registry)
        return
    severity = Severity.VIOLATION if known.ours or ours else Severity.ADVICE
    if not fits(value, known.type):
        yield Problem(
            severity=severity,
            rule="wrong_type",
            subject=subject,
            attribute=key,
            what=f"{key} is {type_of(value)} ({_shown(value)})",
            why=f"its type is {known.type}",
            fix=f"send {_article(known.type)}",
            where=seen.where,
        )
    elif known.closed and value not in {each.value for each in known.values}:
        allowed = ", ".join(each.value for each in known.values)
        yield Problem(
            severity=severity,
            rule="value_not_allowed",
            subject=subject,
            attribute=key,
            what=f"{key} is {_shown(value)}",
            why=f"allowed are {allowed}",
            fix=_perhaps(str(value), [each.value for each in known.values], "use one of them"),
            where=seen.where,
        )


def _unknown(key: str, seen: Observed, subject: str, registry: Registry) -> Iterator[Problem]:
    if key.startswith(OURS):
        yield Problem(
            severity=Severity.VIOLATION,
            rule="unknown_name",
            subject=subject,
            attribute=key,
            what=f"there is no attribute {key}",
            why="agentrun.* holds nothing but what the registry names",
            fix=_perhaps(
                key,
                [known for known in registry.attributes if known.startswith(OURS)],
                "use agentrun.tag.<key> for a label of your own",
            ),
            where=seen.where,
        )
    elif key.startswith(GEN_AI) and STEP_KIND in seen.attributes:
        yield Problem(
            severity=Severity.ADVICE,
            rule="unknown_name",
            subject=subject,
            attribute=key,
            what=f"{key} is not among the GenAI attributes that our spans use",
            why=f"the registry refers to {registry.genai_commit[:7]} of the conventions",
            fix=_perhaps(key, registry.attributes, "leave it, if other tools read it"),
            where=seen.where,
        )


def fits(value: Any, stated: str) -> bool:
    """Whether a value is of a type of the registry.  `any` takes structures and JSON text.

    A whole number is a double, too: JavaScript's SDK sends 1.0 as an integer.
    """
    if stated == "any" or (stated == "double" and type_of(value) == "int"):
        return True
    if stated.endswith("[]"):
        return isinstance(value, list | tuple) and all(fits(one, stated[:-2]) for one in value)
    return type_of(value) == stated


def type_of(value: Any) -> str:
    """The registry's word for the type of a value; `map`, `bytes` and `empty` are none of its."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "boolean"
    for type_, name in (
        (str, "string"), (int, "int"), (float, "double"), (bytes, "bytes"), (Mapping, "map"),
    ):  # fmt: skip
        if isinstance(value, type_):
            return name
    kinds = sorted({type_of(one) for one in value})
    return f"{kinds[0]}[]" if len(kinds) == 1 else "mixed[]" if kinds else "empty[]"


# --------------------------------------------------------------------------- spans


def _span(seen: Observed, subject: str, span: SpanType, registry: Registry) -> Iterator[Problem]:
    if seen.name != span.name and not seen.name.startswith(f"{span.name} "):
        yield _violation(
            seen, subject, "wrong_name",
            f"the span is named {_shown(seen.name)}",
            f"a step of kind {span.kind} is named `{span.name} <target>`",
            f"name it `{span.name} …`, or leave out {STEP_KIND}",
        )  # fmt: skip
    if seen.kind not in span.span_kinds:
        yield _violation(
            seen, subject, "wrong_span_kind",
            f"the span's kind is {seen.kind or 'unspecified'}",
            f"a step of kind {span.kind} is {' or '.join(span.span_kinds)}",
            f"start it with kind {span.span_kinds[0].upper()}",
        )  # fmt: skip
    operation = seen.attributes.get(OPERATION)
    if operation is not None and operation not in span.operations:
        known = ", ".join(span.operations)
        yield _violation(
            seen, subject, "value_not_allowed",
            f"{OPERATION} is {_shown(operation)}",
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
        yield _violation(
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
        yield _violation(
            seen, subject, "unknown_event",
            f"there is no event {seen.name}",
            "agentrun.* holds nothing but what the registry names",
            _perhaps(seen.name, registry.events, "use an event name of your own"),
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
        yield _violation(
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


def _violation(
    seen: Observed, subject: str, rule: str, what: str, why: str, fix: str, attribute: str = ""
) -> Problem:
    return Problem(
        severity=Severity.VIOLATION,
        rule=rule,
        subject=subject,
        attribute=attribute,
        what=what,
        why=why,
        fix=fix,
        where=seen.where,
    )


def _perhaps(given: str, known: Iterable[str], otherwise: str) -> str:
    close = get_close_matches(given, list(known), n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else otherwise


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"`{text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + '…'}`"


def _article(type_: str) -> str:
    if type_.endswith("[]"):
        return f"an array of {type_[:-2]}s"
    return f"an {type_}" if type_[0] in "aeiou" else f"a {type_}"
