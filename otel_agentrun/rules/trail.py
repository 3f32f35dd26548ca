"""What a run does over and over, kept up step by step: O(1) for a step that repeats nothing.

A `Trail` is fed the steps of one run in order.  It compares each call with the last 16 (a match
streak per period: `ABCABC` is period 3 with a streak of 3), with the call before it when that is of
the same tool, with what results are known, and with the failures and plans since something was
done.  Its memory does not grow with the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from otel_agentrun.rules.seen import Seen
from otel_agentrun.sketch import of_another, read, similarity
from otel_agentrun.step import FAILED, Kind, Role

__all__ = ["PERIOD_MAX", "Sighting", "Trail"]

PERIOD_MAX: Final = 16
RING: Final = 48
"""Calls that evidence is taken from."""
REMEMBERED_MAX: Final = 128
"""Calls, results and failures that are remembered; half of them are forgotten past that."""
REWORDED: Final = 0.25
"""Share of words that a call has in common with the one it says in other words."""

MODEL: Final = Kind.MODEL
TOOL: Final = Kind.TOOL
RETRIEVE: Final = Kind.RETRIEVE
PLAN: Final = Kind.PLAN
VALIDATE: Final = Kind.VALIDATE
RUN: Final = Kind.RUN
HANDOFF: Final = Role.HANDOFF
AGENT: Final = Role.AGENT
NEVER: Final = 1 << 62

V = TypeVar("V")
Call = tuple[str, str]
"""(tool, digest of its arguments)."""


class Streak(NamedTuple):
    """How long something has gone on, from where, and whether results changed meanwhile."""

    times: int
    first: Seen
    changed: int = 0
    """Comparisons in which the result was another one."""
    unknown: int = 0
    """Comparisons without a result on one side."""
    varied: bool = False
    """Arguments differed."""
    repeated: bool = False
    """Some were the same to the letter."""


class Sighting(NamedTuple):
    """A pattern that has gone on for long enough that some rule cares."""

    pattern: str
    times: int
    """Equal calls, whole cycles, round trips, failures, plans."""
    period: int
    names: tuple[str, ...]
    """The tools of one cycle in order, or the agents, or the model."""
    first: Seen
    last: Seen
    changed: int
    unknown: int
    spans: tuple[str, ...]

    @property
    def cost_nano_usd(self) -> int:
        """Of every step of the run from the first call of the pattern to the last."""
        return self.last.cost_so_far - self.first.cost_so_far + (self.first.cost_nano_usd or 0)


class Trail:
    """`floors`: pattern -> count from which on it is of interest; others are not looked for.
    `rounds`: that of cycles, by period; a repeated call is one of period 1."""

    __slots__ = (
        "_agents", "_asked", "_calls", "_count", "_failures", "_floors", "_last_at", "_models",
        "_near", "_plans", "_results", "_reworded", "_ring", "_rounds", "_similarity", "_stale",
        "_streaks", "_turns", "_unrecorded", "cost", "sightings",
    )  # fmt: skip

    def __init__(self, floors: Mapping[str, int], rounds: Sequence[int], similar: float) -> None:
        self._floors = floors
        self._rounds = rounds
        self._similarity = similar
        self.sightings: dict[tuple[str, str], Sighting] = {}
        """(pattern, id of the span it began with) -> its latest state."""
        self.cost = 0
        """Nano-USD of all steps so far, as far as known."""
        self._count = 0
        self._ring: deque[Seen] = deque(maxlen=RING)
        self._calls: deque[Call | None] = deque(maxlen=PERIOD_MAX)
        self._last_at: dict[Call, int] = {}
        self._streaks: dict[int, Streak] = {}
        self._models = 0
        """Model calls so far."""
        self._asked = 0
        """How many there had been at the latest call."""
        self._near: Streak | None = None
        self._reworded: Streak | None = None
        self._unrecorded: Streak | None = None
        self._stale: Streak | None = None
        self._results: dict[Call, bool] = {}
        """(tool, digest of a result) that are known, oldest first."""
        self._failures: dict[Call, Streak] = {}
        self._plans: Streak | None = None
        self._agents: tuple[str, ...] = ()
        self._turns: Streak | None = None

    def copy(self) -> Trail:
        twin = Trail(self._floors, self._rounds, self._similarity)
        twin.sightings = dict(self.sightings)
        twin.cost, twin._count = self.cost, self._count
        twin._ring, twin._calls = self._ring.copy(), self._calls.copy()
        twin._last_at, twin._streaks = dict(self._last_at), self._streaks
        twin._models, twin._asked = self._models, self._asked
        twin._near, twin._reworded = self._near, self._reworded
        twin._unrecorded, twin._stale = self._unrecorded, self._stale
        twin._results, twin._failures = dict(self._results), dict(self._failures)
        twin._plans, twin._agents, twin._turns = self._plans, self._agents, self._turns
        return twin

    def take(self, seen: Seen) -> None:
        """The next step, by (start time, span id)."""
        step = seen.step
        self.cost += seen.cost_nano_usd or 0
        seen.cost_so_far = self.cost
        kind = step.kind
        if kind is MODEL:
            self._models += 1
            if self._failures or step.status in FAILED:
                self._attempt(seen, ("", step.model))
                if step.failed:
                    self._unrecorded = None
        elif kind is TOOL or kind is RETRIEVE:
            self._call(seen)
        elif kind is RUN:
            if step.role is AGENT:
                self._agent(step.agent_name, seen)
        elif kind is PLAN:
            self._plan(seen)
        elif kind is VALIDATE and not step.failed:
            self._plans = None

    # ------------------------------------------------------------------ calls

    def _call(self, seen: Seen) -> None:
        step = seen.step
        name = step.tool_name or step.name
        digest = step.arguments_digest
        call = (name, digest)
        failed = step.status in FAILED
        if failed or self._failures:
            self._attempt(seen, call)
        if self._plans is not None and not failed:
            self._plans = None
        if step.role is HANDOFF:
            self._agent(step.agent_name, seen)
            self._agent(step.handoff_to, seen)
        at = self._count
        self._count = at + 1
        last = self._last_at.get(call, -NEVER) if digest else -NEVER
        before = self._ring[-1] if at else None
        if before is not None and (before.step.tool_name or before.step.name) == name:
            self._again(seen, before, name, at - last)
        else:
            self._near = self._reworded = self._unrecorded = None
        self._asked = self._models
        if digest:
            self._last_at[call] = at
            if len(self._last_at) > REMEMBERED_MAX:
                _halve(self._last_at)
        is_loop = False
        if at - last <= PERIOD_MAX:
            is_loop = self._match(seen, call)
        elif self._streaks:
            self._streaks = {}
        if step.result_digest:
            known = at - last <= PERIOD_MAX
            self._result(seen, (name, step.result_digest), is_loop=is_loop, is_known=known)
        elif self._stale is not None:
            self._stale = None
        self._calls.append(call if digest else None)
        self._ring.append(seen)

    def _match(self, seen: Seen, call: Call) -> bool:
        """The call is one of the last 16: carry on those streaks, drop the others.  Whether one of
        them is long enough."""
        before, ring = self._streaks, self._ring
        result = seen.step.result_digest
        streaks: dict[int, Streak] = {}
        for period, earlier in enumerate(reversed(self._calls), 1):
            if earlier != call:
                continue
            other = ring[-period]
            known = other.step.result_digest
            changed = bool(result and known and result != known)
            unknown = not (result and known)
            old = before.get(period)
            streaks[period] = (
                Streak(1, other, changed, unknown)
                if old is None
                else Streak(old.times + 1, old.first, old.changed + changed, old.unknown + unknown)
            )
        self._streaks = streaks
        for period, streak in streaks.items():  # the shortest first
            count = streak.times // period + 1
            if count < 2 or any(
                period % shorter == 0 and streaks[shorter].times >= streak.times
                for shorter in streaks
                if shorter < period
            ):
                continue  # not once around, or a multiple of a shorter cycle
            if count >= self._rounds[period]:
                pattern = "cycle" if period > 1 else "repeated_call"
                latest = [one[0] for one in islice(reversed(self._calls), period - 1) if one]
                latest = [*reversed(latest), call[0]]
                # Turned to the order in which the cycle began.
                begin = period - 1 - (streak.times - 1) % period
                names = (*latest[begin:], *latest[:begin])
                self._keep(self._sighting(pattern, count, streak, seen, names, period))
                return True
        return False

    def _again(self, seen: Seen, before: Seen, name: str, since: int) -> None:
        """The same tool as the call before; the very same call was made `since` calls ago."""
        alike = 1.0 if since == 1 else _alike(seen, before)
        reworded = self._reworded
        if alike >= REWORDED or (reworded and _alike(seen, reworded.first) >= REWORDED):
            self._carry_on(seen, before, name, since, alike)
        elif self._near is not None or self._reworded is not None:
            self._near = self._reworded = None
        if _is_recorded(seen) or _is_recorded(before):
            self._unrecorded = None
            return
        old = self._unrecorded or Streak(1, before)
        # Calls of one turn may be asked for together.
        self._unrecorded = Streak(old.times + (self._asked != self._models), old.first)

    def _carry_on(self, seen: Seen, before: Seen, name: str, since: int, alike: float) -> None:
        """As the call before, or nearly so, or in other words."""
        result, known = seen.step.result_digest, before.step.result_digest
        changed, unknown = bool(result and known and result != known), not (result and known)
        is_varied = since != 1
        old = self._near or Streak(1, before)
        self._near = None
        if alike >= self._similarity:
            self._near = near = Streak(
                old.times + 1, old.first, old.changed + changed, old.unknown + unknown,
                old.varied or is_varied,
            )  # fmt: skip
            if near.varied and near.times >= self._floors.get("near_duplicate", NEVER):
                self._keep(self._sighting("near_duplicate", near.times, near, seen, (name,)))
        old = self._reworded or Streak(1, before)
        self._reworded = None
        if not changed and not unknown:
            self._reworded = reworded = Streak(
                old.times + 1, old.first, varied=old.varied or is_varied,
                repeated=old.repeated or since <= old.times,
            )  # fmt: skip
            is_stuck = reworded.varied and reworded.repeated
            if is_stuck and reworded.times >= self._floors.get("reworded", NEVER):
                self._keep(self._sighting("reworded", reworded.times, reworded, seen, (name,)))

    def stuck(self) -> Sighting | None:
        """Calls of which nothing is recorded but that they were the last ones of a run that failed,
        turn after turn, although no call of it had failed at the end."""
        streak = self._unrecorded
        if streak is None or streak.times < self._floors.get("unrecorded", NEVER):
            return None
        last = self._ring[-1]
        if last.step.failed:
            return None
        name = last.step.tool_name or last.step.name
        return self._sighting("unrecorded", streak.times, streak, last, (name,))

    def _result(self, seen: Seen, key: Call, *, is_loop: bool, is_known: bool) -> None:
        """A result that this tool has given before is nothing new, unless it is that of another
        thing: `ok` for each of many updates."""
        if key not in self._results:
            self._results[key] = True
            self._stale = None
            if len(self._results) > REMEMBERED_MAX:
                _halve(self._results)
            return
        if is_loop:  # known for what it is
            return
        if not is_known and self._is_of_another(seen, key[0]):
            self._stale = None
            return
        stale = self._stale
        if stale is None:
            self._stale = Streak(1, seen)
            return
        other = stale.first.step
        digest = seen.step.arguments_digest
        # Without recorded arguments nothing else could find a call that is made again and again.
        varied = (
            stale.varied
            or not digest
            or (other.arguments_digest != digest or other.tool_name != key[0])
        )
        self._stale = stale = Streak(stale.times + 1, stale.first, varied=varied)
        if varied and stale.times >= self._floors.get("no_progress", NEVER):
            names = dict.fromkeys(
                one.step.tool_name or one.step.name for one in (*self._last(stale.times - 1), seen)
            )
            self._keep(self._sighting("no_progress", stale.times, stale, seen, tuple(names)))

    def _is_of_another(self, seen: Seen, name: str) -> bool:
        """Whether it is about another thing than the last call of this tool."""
        for earlier in islice(reversed(self._ring), PERIOD_MAX):
            if (earlier.step.tool_name or earlier.step.name) == name:
                known = seen.sketch and earlier.sketch
                return bool(known) and of_another(read(seen.sketch), read(earlier.sketch))
        return False

    # ------------------------------------------------------------------ failures, plans, agents

    def _attempt(self, seen: Seen, call: Call) -> None:
        """A call that failed, or one that may make up for a failure."""
        if not seen.step.failed:
            self._failures.pop(call, None)
            return
        old = self._failures.get(call)
        streak = Streak(1, seen) if old is None else Streak(old.times + 1, old.first)
        self._failures[call] = streak
        if len(self._failures) > REMEMBERED_MAX:
            _halve(self._failures)
        if streak.times >= self._floors.get("retry_storm", NEVER):
            name = call[0] or call[1] or "the model"
            self._keep(self._sighting("retry_storm", streak.times, streak, seen, (name,)))

    def _plan(self, seen: Seen) -> None:
        old = self._plans
        self._plans = streak = Streak(1, seen) if old is None else Streak(old.times + 1, old.first)
        if streak.times >= self._floors.get("planning", NEVER):
            self._keep(self._sighting("planning", streak.times, streak, seen, (seen.step.name,)))

    def _agent(self, name: str, seen: Seen) -> None:
        """It is this agent's turn now."""
        agents = self._agents
        if not name or (agents and agents[-1] == name):
            return
        self._agents = (*agents[-1:], name)
        if len(agents) < 2 or agents[0] != name:
            self._turns = Streak(0, seen)
            return
        old = self._turns or Streak(0, seen)
        self._turns = streak = Streak(old.times + 1, old.first)
        rounds = (streak.times + 1) // 2
        if rounds >= self._floors.get("ping_pong", NEVER):
            pair = (agents[-1], name) if streak.times % 2 == 0 else (name, agents[-1])
            self._keep(self._sighting("ping_pong", rounds, streak, seen, pair, 2))

    # ------------------------------------------------------------------ what was seen

    def _keep(self, sighting: Sighting) -> None:
        self.sightings[sighting.pattern, sighting.first.step.span_id] = sighting

    def _sighting(
        self,
        pattern: str,
        count: int,
        streak: Streak,
        seen: Seen,
        names: tuple[str, ...],
        period: int = 1,
    ) -> Sighting:
        first = streak.first
        spans = [one.step.span_id for one in self._ring if one.key > first.key]
        return Sighting(
            pattern, count, period, names, first, seen, streak.changed, streak.unknown,
            tuple(dict.fromkeys((first.step.span_id, *spans, seen.step.span_id))),
        )  # fmt: skip

    def _last(self, count: int) -> Collection[Seen]:
        return list(islice(self._ring, max(len(self._ring) - count, 0), None))


def _halve(remembered: dict[Call, V]) -> None:
    """Forget the half that came first."""
    for key in list(islice(remembered, len(remembered) // 2)):
        del remembered[key]


def _alike(one: Seen, other: Seen) -> float:
    """Words in common, of all words of both; 0 where they are about two things, or nothing is known
    of them."""
    if not one.sketch or not other.sketch:
        return 0.0
    words, others = read(one.sketch), read(other.sketch)
    return 0.0 if of_another(words, others) else similarity(words, others)


def _is_recorded(seen: Seen) -> bool:
    """Whether anything is known of arguments or result."""
    step = seen.step
    return bool(step.arguments_digest or step.result_digest or seen.sketch)
