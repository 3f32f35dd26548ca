"""What a check looks at, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

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


def violation(
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


def perhaps(given: str, known: Iterable[str], otherwise: str) -> str:
    close = get_close_matches(given, list(known), n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else otherwise


def shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"`{text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + '…'}`"
