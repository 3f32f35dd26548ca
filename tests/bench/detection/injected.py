"""Loops of every kind, put into a real trajectory at a random point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from otel_agentrun.rules import DEFAULTS, Seen
from otel_agentrun.step import Kind, Role
from tests.bench.detection.trajectories import call, make, model

TOPICS = (
    "refund", "delay", "luggage", "seat", "upgrade", "voucher", "insurance", "meal", "visa", "pet",
    "wheelchair", "lounge", "miles", "partner", "codeshare", "overbooking", "gate",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A trajectory with a loop in it: from `provable_at` (a position) on a rule can know."""

    pattern: str
    period: int
    """Steps of one time around, model calls included."""
    steps: tuple[Seen, ...]
    provable_at: int

    @property
    def deadline(self) -> int:
        """Two periods after the loop is provable."""
        return self.provable_at + 2 * self.period


def limit_of(pattern: str) -> int:
    return next(rule.limit for rule in DEFAULTS.loops if rule.pattern == pattern)


def injections(steps: tuple[Seen, ...], rng: Random) -> Iterator[Injected]:
    """One of each kind; cycles of a random period from 2 to 16."""
    for pattern in (
        "repeated_call", "cycle", "near_duplicate", "reworded", "no_progress", "ping_pong",
        "retry_storm", "planning",
    ):  # fmt: skip
        yield _inject(steps, pattern, rng)


def _inject(steps: tuple[Seen, ...], pattern: str, rng: Random) -> Injected:
    at = rng.randrange(len(steps) + 1)
    period = rng.randrange(2, 17) if pattern == "cycle" else 1
    times = limit_of(pattern) + 2
    loop = list(_loop(pattern, period, times, rng))
    per_round = len(loop) // times
    shifted = [_moved(seen, number) for number, seen in enumerate(
        [*steps[:at], *loop, *steps[at:]], 1)]  # fmt: skip
    return Injected(
        pattern=pattern,
        period=per_round,
        steps=tuple(shifted),
        provable_at=at + per_round * limit_of(pattern) - 1,
    )


def _loop(pattern: str, period: int, times: int, rng: Random) -> Iterator[Seen]:
    """The steps of all rounds, as many in each."""
    salt = rng.randrange(1 << 30)
    topics = rng.sample(TOPICS, 12)
    for turn in range(times):
        if pattern == "planning":
            yield model(0)
            yield Seen(make(0, kind=Kind.PLAN, name=f"plan {salt} {turn}"))
            continue
        if pattern == "ping_pong":
            for one, other in (("triage", "billing"), ("billing", "triage")):
                yield Seen(
                    make(0, kind=Kind.TOOL, role=Role.HANDOFF, tool_name=f"transfer_to_{other}",
                         name="handoff", agent_name=one, handoff_to=other)
                )  # fmt: skip
            continue
        for place in range(period):
            yield model(0)
            tool, given, result = "find_policy", {"q": f"{salt} {place}"}, f"result {salt} {place}"
            if pattern == "near_duplicate":
                words = [*topics[:-1], f"{topics[-1]}{turn}"]
                given, result = {"q": " ".join(words)}, f"result {salt} {turn}"
            elif pattern in ("reworded", "no_progress"):
                # Two words stay; of what is reworded, every second question comes again.
                said = [*topics[:2], *rng.sample(TOPICS, 3)]
                if pattern == "reworded" and turn % 2 == 0:
                    said = topics[:5]
                given, result = {"q": " ".join(said)}, f"nothing found {salt}"
            yield call(0, tool, json.dumps(given), result, failed=pattern == "retry_storm")


def _moved(seen: Seen, number: int) -> Seen:
    """The same step at another place."""
    at = make(number, kind=seen.step.kind)
    step = replace(seen.step, span_id=at.span_id, start_ns=at.start_ns, end_ns=at.end_ns)
    return Seen(step, seen.cost_nano_usd)
