"""Usage once: model spans that describe one call are one step.

Two emitters may record the same call, nested (a framework's span around a client's) or side by
side, and one framework may nest three spans for it.  Model spans are one call when
- one is above the other with no agent and no tool between them,
- their response ids are equal within a trace,
- they are siblings of different scopes, overlap, and have equal model and token counts, unless both
  have a response id (parallel calls are real); of those that failed, one lies within the other,
- they are the pieces of a streamed call (see streams.py).
Each field of the call comes from the innermost span that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import NamedTuple

from otel_agentrun.dialects.kinds import CLOSING
from otel_agentrun.siblings import same_call, sibling_key
from otel_agentrun.step import Step, Usage

__all__ = [
    "Call",
    "CallCost",
    "Merged",
    "first",
    "inner_first",
    "join",
    "merge",
    "merge_usage",
    "same_call",
    "sibling_key",
]

USAGE_FIELDS = tuple(f.name for f in fields(Usage))


class Call:
    """One logical model call: the spans that describe it."""

    __slots__ = ("counted", "parent", "steps")

    def __init__(self, step: Step) -> None:
        self.steps = [step]
        self.parent: Call | None = None
        """Set once the call was joined into another (union-find)."""
        self.counted: CallCost | None = None
        """How it is counted now, in the bucket of the span that counts for it."""

    def find(self) -> Call:
        call = self
        while call.parent is not None:
            if call.parent.parent is not None:
                call.parent = call.parent.parent
            call = call.parent
        return call


class Merged(NamedTuple):
    """What a call says once its spans are read together."""

    counting: Step
    """The innermost span: the one that counts; the others are its duplicates."""
    usage: Usage | None
    provider: str
    model: str
    cost_nano_usd: int | None
    failed: bool
    spans: int = 1


class CallCost(NamedTuple):
    """What one logical model call adds to a tally."""

    merged: Merged
    cost_nano_usd: int | None
    confidence: str
    """exact, estimated, unknown; "" for a failed call that used nothing."""


def join(one: Call, other: Call) -> Call:
    """One call from two; the larger absorbs the smaller."""
    one, other = one.find(), other.find()
    if one is other:
        return one
    if len(one.steps) < len(other.steps):
        one, other = other, one
    one.steps += other.steps
    other.steps = []
    other.parent = one
    return one


def merge(steps: Sequence[Step]) -> Merged:
    """Read the spans of one call together, innermost first."""
    if len(steps) == 1:
        step = steps[0]
        usage, cost = step.usage, step.cost_nano_usd
        return Merged(step, usage, step.provider, step.model, cost, step.failed)
    inner = sorted(steps, key=inner_first)
    # The end of a stream says what was used; whether it failed, the spans know.
    outermost = next((step for step in reversed(inner) if step.role is not CLOSING), inner[-1])
    return Merged(
        counting=inner[0],
        usage=merge_usage(inner),
        provider=first(step.provider for step in inner),
        model=first(step.model for step in inner),
        cost_nano_usd=next((s.cost_nano_usd for s in inner if s.cost_nano_usd is not None), None),
        # A failed attempt inside a call that then succeeded is not a failed call.
        failed=outermost.failed,
        spans=len(inner),
    )


def inner_first(step: Step) -> tuple[bool, int, int, str]:
    """A span inside another starts no earlier and ends no later; one without length is no span."""
    return (step.role is CLOSING, -step.start_ns, step.end_ns, step.span_id)


def merge_usage(steps: list[Step]) -> Usage | None:
    """Each count from the first span that states it."""
    stated = [step.usage for step in steps if step.usage is not None]
    if not stated:
        return None
    return Usage(
        **{
            name: next((v for u in stated if (v := getattr(u, name)) is not None), None)
            for name in USAGE_FIELDS
        }
    )


def first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")
