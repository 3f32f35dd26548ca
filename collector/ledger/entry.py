"""What becomes an entry of the ledger, and what its hash covers.

An entry holds ids and digests, never text of people: erasing a run takes its events, and leaves the
chain as it is.  The hash covers nothing but the event, its place and the entry before it, so that
the same event at the same place is the same entry, however often it is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from collector.runs.events import APPROVAL_REQUESTED, DECISION, DIRECTIVE, ERASED, FINDING
from collector.store.codecs import clean_text
from otel_agentrun import semconv
from otel_agentrun.step import Event

GENESIS: Final = "0" * 64
"""What the first entry of a chain has for the hash of the one before it."""
CHECKPOINT: Final = "checkpoint"
"""Kind of the entry that retention writes before it removes the head of a chain."""
RETENTION: Final = "retention"

DECISIONS: Final = frozenset(
    {
        "route", "fallback", "handoff", "approval", "policy", "throttle", "escalate", "pause",
        "resume", "stop",
    }
)  # fmt: skip
"""Kinds of decisions that are entries whatever came out; the others (which tool, which branch, how
to retry) are everyday work, and entries where they are a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of `decision_ledger`.  Hashes and digests are 64 hex digits (SHA-256)."""

    chain_id: str
    seq: int
    """Counts from 1 without gaps."""
    event_id: str
    at_ns: int
    run_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    kind: str
    """`directive`, `finding`, `approval_requested`, `erasure`, `checkpoint`, or the kind of a
    decision."""
    outcome: str = ""
    actor: str = ""
    rule: str = ""
    policy_version: str = ""
    rules_version: str = ""
    reason_digest: str = ""
    """Of the reason in words; "" where none was given."""
    content_digest: str
    previous_hash: str
    hash: str = ""


HASHED: Final = tuple(field.name for field in fields(Entry) if field.name != "hash")


def sealed(entry: Entry) -> Entry:
    """The entry with its hash."""
    return replace(entry, hash=entry_hash(entry))


def entry_hash(entry: Entry) -> str:
    """SHA-256 over the JSON array of all other fields, in order, in UTF-8 without spaces."""
    return _digest([getattr(entry, name) for name in HASHED])


def content_digest(event: Event) -> str:
    """SHA-256 over the JSON array of everything the event says; text as the store keeps it."""
    attributes = {clean_text(key): clean_text(text) for key, text in event.attributes.items()}
    said = (event.name, event.at_ns, event.trace_id, event.span_id, event.run_id, event.body)
    return _digest(
        [
            *(clean_text(value) if isinstance(value, str) else value for value in said),
            [[key, attributes[key]] for key in sorted(attributes)],
        ]
    )


def text_digest(text: str) -> str:
    """SHA-256 of a text in UTF-8; "" of none."""
    return hashlib.sha256(clean_text(text).encode()).hexdigest() if text else ""


def _digest(values: list[Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def kind_and_outcome(event: Event) -> tuple[str, str] | None:
    """`None` for events that are no entries."""
    said = event.attributes
    if event.name == DECISION:
        kind = said.get(semconv.DECISION_KIND, "")
        outcome = said.get(semconv.DECISION_OUTCOME, "")
        return (kind, outcome) if kind in DECISIONS or outcome else None
    if event.name == DIRECTIVE:
        action = said.get(semconv.DIRECTIVE_ACTION, "")
        return "directive", f"{action} {said.get(semconv.DIRECTIVE_STATUS, '')}".strip()
    if event.name == APPROVAL_REQUESTED:
        return "approval_requested", ""
    if event.name == ERASED:
        return "erasure", ""
    if event.name == FINDING:
        action = said.get(semconv.FINDING_ACTION, "")
        if action in ("", "flag"):
            return None
        return "finding", "withdrawn" if semconv.FINDING_WITHDRAWN in said else action
    return None


def reason_of(event: Event) -> str:
    """Why, in words; "" where the event does not say."""
    said: Mapping[str, str] = event.attributes
    return said.get(semconv.DECISION_REASON) or said.get(semconv.FINDING_EXPLANATION) or ""


def entry_of(
    event: Event, run_id: str, *, chain_id: str, seq: int, previous_hash: str
) -> Entry | None:
    """The entry of an event at a place of a chain; `None` for events that are no entries.

    `run_id` is the run that the event belongs to; "" where that is not known.
    """
    found = kind_and_outcome(event)
    if found is None:
        return None
    kind, outcome = found
    said = event.attributes
    entry = Entry(
        chain_id=chain_id,
        seq=seq,
        event_id=event.event_id,
        at_ns=event.at_ns,
        run_id=clean_text(run_id or event.run_id),
        trace_id=clean_text(event.trace_id),
        span_id=clean_text(said.get(semconv.DECISION_SUBJECT_SPAN_ID) or event.span_id),
        kind=clean_text(kind),
        outcome=clean_text(outcome),
        actor=clean_text(said.get(semconv.ACTOR, "")),
        rule=clean_text(said.get(semconv.DECISION_RULE) or said.get(semconv.FINDING_RULE) or ""),
        policy_version=clean_text(said.get(semconv.POLICY_VERSION, "")),
        rules_version=clean_text(said.get(semconv.RULES_VERSION, "")),
        reason_digest=text_digest(reason_of(event)),
        content_digest=content_digest(event),
        previous_hash=previous_hash,
    )
    return sealed(entry)


def checkpoint(
    *, chain_id: str, seq: int, previous_hash: str, at_ns: int, upto: int, upto_hash: str
) -> Entry:
    """Says that the entries up to `upto`, whose hash is `upto_hash`, were removed by retention."""
    outcome = f"{upto}:{upto_hash}"
    return sealed(
        Entry(
            chain_id=chain_id,
            seq=seq,
            event_id=f"{CHECKPOINT}-{upto}",
            at_ns=at_ns,
            kind=CHECKPOINT,
            outcome=outcome,
            actor=RETENTION,
            content_digest=text_digest(outcome),
            previous_hash=previous_hash,
        )
    )


def removed_upto(entry: Entry) -> tuple[int, str] | None:
    """(seq, hash) of the last entry that a checkpoint says was removed; `None` for others."""
    if entry.kind != CHECKPOINT:
        return None
    seq, colon, hash_ = entry.outcome.partition(":")
    return (int(seq), hash_) if colon and seq.isdecimal() else None
