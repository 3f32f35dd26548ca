"""Events the fold reads: log records with these names, and what the collector itself records.

Their effect on a run is a function of the set of events, whatever order they came in: by
(time, event id).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_agentrun import semconv
from otel_agentrun.dialects.hearsay import MESSAGES
from otel_agentrun.step import Event

RUN_STARTED: Final = semconv.RUN_STARTED_EVENT
RUN_STEP: Final = semconv.RUN_STEP_EVENT
"""A step began or ended: what a run did up to the moment its process was lost."""
RUN_HEARTBEAT: Final = semconv.RUN_HEARTBEAT_EVENT
RUN_PAUSED: Final = semconv.RUN_PAUSED_EVENT
RUN_RESUMED: Final = semconv.RUN_RESUMED_EVENT
RUN_ENDED: Final = semconv.RUN_ENDED_EVENT
RUN_CLOSED: Final = semconv.RUN_CLOSED_EVENT
"""Made by the collector: the quiet period passed, or heartbeats stopped."""
PAYMENT: Final = semconv.PAYMENT_EVENT
FEEDBACK: Final = semconv.FEEDBACK_EVENT
FINDING: Final = semconv.FINDING_EVENT
DECISION: Final = semconv.DECISION_EVENT
DIRECTIVE: Final = semconv.DIRECTIVE_EVENT
APPROVAL_REQUESTED: Final = semconv.APPROVAL_REQUESTED_EVENT
EVALUATION: Final = "gen_ai.evaluation.result"
STATE: Final = semconv.STATE_EVENT
ERASED: Final = semconv.ERASED_EVENT
"""Made by the collector: who erased what.  Never folded."""

NOTES: Final = frozenset({"gen_ai.client.inference.operation.details", "gen_ai.choice"})
"""What a model answered, as log records: they add fields to the step of their span (notes.py)."""

FOLDED: Final = frozenset(
    {
        RUN_STARTED, RUN_STEP, RUN_HEARTBEAT, RUN_PAUSED, RUN_RESUMED, RUN_ENDED, RUN_CLOSED,
        PAYMENT, FEEDBACK, FINDING, DECISION, DIRECTIVE, APPROVAL_REQUESTED, STATE, EVALUATION,
        "gen_ai.client.operation.exception", "gen_ai.execute_tool.exception", *NOTES,
        *MESSAGES,
    }
)  # fmt: skip
"""Other log records are stored as logs and read with the run; they change nothing in it."""

CONTROL: Final = frozenset(
    {RUN_STARTED, RUN_ENDED, FINDING, DECISION, DIRECTIVE, APPROVAL_REQUESTED}
)
"""What control is made of: it hears of these as soon as they are in the journal."""

OUTCOMES: Final = frozenset({"success", "soft_failure", "process_failure", "failure"})
"""A feedback label that is one of these is the run's outcome."""

NANO: Final = 1_000_000_000


def event_id(
    name: str, at_ns: int, trace_id: str, run_id: str, attributes: Mapping[str, str], body: str = ""
) -> str:
    """32 hex of a digest over the content: a resent event is the same event."""
    digest = hashlib.blake2b(digest_size=16)
    parts = (
        name,
        str(at_ns),
        trace_id,
        run_id,
        body,
        *(f"{k}\0{attributes[k]}" for k in sorted(attributes)),
    )
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\1")
    return digest.hexdigest()


def is_verdict(event: Event) -> bool:
    """A finding of which something is to be done."""
    return (
        event.name == FINDING
        and event.attributes.get(semconv.FINDING_ACTION) in ("pause", "kill")
        and semconv.FINDING_WITHDRAWN not in event.attributes
    )


def make_event(
    name: str,
    at_ns: int,
    *,
    trace_id: str = "",
    run_id: str = "",
    span_id: str = "",
    attributes: Mapping[str, str],
) -> Event:
    """An event of the collector's own, with its deterministic id."""
    return Event(
        event_id=event_id(name, at_ns, trace_id, run_id, attributes),
        name=name,
        at_ns=at_ns,
        trace_id=trace_id,
        span_id=span_id,
        run_id=run_id,
        attributes=attributes,
    )


@dataclass(slots=True)
class EventFacts:
    """What the events of one run say."""

    ended: Event | None = None
    closed: Event | None = None
    started: Event | None = None
    """The first one: what the run said of itself when it began."""
    paused: bool = False
    paused_ns: int = 0
    outcome: str = ""
    payment_cost_nano_usd: int = 0
    revenue_nano_usd: int = 0
    quality: dict[str, str] | None = None
    findings: list[Event] | None = None
    """Of each finding the event that counts, by time."""
    process_failure: bool = False
    """A finding says that the run got where it is in a wrong way."""


def read_events(events: Iterable[Event]) -> EventFacts:
    """Read the events of a run in order of (time, event id)."""
    facts = EventFacts(quality={}, findings=[])
    assert facts.quality is not None
    assert facts.findings is not None
    paused_at = 0
    for event in sorted(events, key=lambda e: (e.at_ns, e.event_id)):
        attributes = event.attributes
        if event.name == RUN_ENDED:
            facts.ended = event
        elif event.name == RUN_CLOSED:
            facts.closed = event
        elif event.name == RUN_STARTED:
            facts.started = facts.started or event
        elif event.name == RUN_PAUSED and not paused_at:
            facts.paused, paused_at = True, event.at_ns
        elif event.name == RUN_RESUMED and paused_at:
            facts.paused_ns += event.at_ns - paused_at
            facts.paused, paused_at = False, 0
        elif event.name == PAYMENT:
            amount = nano_usd(attributes.get(semconv.PAYMENT_USD, ""))
            if attributes.get(semconv.PAYMENT_KIND) == "revenue":
                facts.revenue_nano_usd += amount
            else:
                facts.payment_cost_nano_usd += amount
        elif event.name == FEEDBACK:
            name = attributes.get(semconv.FEEDBACK_NAME, "feedback")
            label = attributes.get(semconv.FEEDBACK_LABEL, "")
            facts.quality[name] = label or attributes.get(semconv.FEEDBACK_SCORE, "")
            if label in OUTCOMES:
                facts.outcome = label
        elif event.name == EVALUATION:
            name = attributes.get("gen_ai.evaluation.name", "evaluation")
            facts.quality[name] = attributes.get(
                "gen_ai.evaluation.score.label", ""
            ) or attributes.get("gen_ai.evaluation.score.value", "")
        elif event.name == FINDING:
            facts.findings.append(event)
    if facts.findings:
        facts.findings = standing_findings(facts.findings)
        facts.process_failure = any(
            event.attributes.get(semconv.FINDING_PROCESS_FAILURE) == "true"
            for event in facts.findings
        )
    return facts


def standing_findings(events: Iterable[Event]) -> list[Event]:
    """Of the events about one finding the one with the greatest standing, unless it withdraws it;
    by time."""
    found: dict[str, Event] = {}
    for event in events:
        finding_id = event.attributes.get(semconv.FINDING_ID) or event.event_id
        known = found.get(finding_id)
        if known is None or standing(event) > standing(known):
            found[finding_id] = event
    kept = [(k, e) for k, e in found.items() if semconv.FINDING_WITHDRAWN not in e.attributes]
    # Not by event id: that tells how often the finding had been told of.
    return [event for _, event in sorted(kept, key=lambda pair: (pair[1].at_ns, pair[0]))]


def standing(event: Event) -> tuple[int, int, str]:
    """Who knew most of the run when it was found; of several events about one finding the one with
    the greatest standing counts."""
    text = event.attributes.get(semconv.FINDING_REVISION, "")
    known = int(text) if text.isdecimal() and len(text) < 19 else 0
    return (known, event.at_ns, event.event_id)


def nano_usd(text: str) -> int:
    """Decimal USD as nano-USD; anything else is 0."""
    try:
        return round(float(text) * NANO)
    except (ValueError, OverflowError):
        return 0
