"""All trace groups in memory: which group a step belongs to, when a run is quiet, what to forget.

Nothing here is the only copy: what is forgotten is recalled from the store when another step or
event of it arrives (`unknown` names what to look up, `restore` takes it in).  No I/O and no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from collector.runs.events import RUN_CLOSED, make_event
from collector.runs.group import TraceGroup
from collector.runs.judge import RulesInForce
from collector.runs.run import Changes, PlacedStep, Removed, Run
from collector.runs.trace import NO_PRICING, Added, Pricing
from otel_agentrun import semconv
from otel_agentrun.step import Event, Step

SECOND = 1_000_000_000
Name = TypeVar("Name", bound=str | tuple[object, ...])

BOUNDARIES = ("trace", "conversation", "session", "explicit")
EVICTED_MAX = 100_000
"""Open groups that were dropped for want of room and are remembered, to be closed when quiet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblerSettings:
    """How long groups are kept and what ties traces together."""

    boundary: Callable[[Step], str] | None = None
    """One of BOUNDARIES for a step; without it every step is bounded by its trace."""
    quiet_ns: int = 300 * SECOND
    """A run without a root is closed after nothing came for so long."""
    lost_ns: int = 90 * SECOND
    """The same for a run that sent heartbeats."""
    linger_ns: int = 2 * SECOND
    """An ended run stays in memory for so long: late spans come soon or never."""
    steps_max: int = 400_000
    """Steps in memory; past it the groups that were quiet longest are forgotten."""
    group_traces_max: int = 10_000
    """Traces that are joined into one group at most: a hostile client could tie everything."""
    shared: bool = False
    """Other collectors may write of the same traces: `silent` says when to look."""


@dataclass(slots=True, eq=False)
class Held:
    """A group in memory."""

    group: TraceGroup
    keys: list[str] = field(default_factory=list)
    touched_ns: int = 0
    closing: bool = False
    """Its closing events were asked for and are on their way through the journal."""


class Tie(NamedTuple):
    """What ties the calls of a client to each other (clients.py)."""

    workspace: str
    name: str
    """The id of a tool call or of a response."""
    at_ns: int


@dataclass(slots=True)
class Unknown:
    """What is new here and may be in the store."""

    traces: set[str] = field(default_factory=set)
    runs: set[tuple[str, str]] = field(default_factory=set)
    """(workspace, explicit run id)."""
    conversations: set[tuple[str, str]] = field(default_factory=set)
    sessions: set[tuple[str, str]] = field(default_factory=set)
    ties: set[Tie] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.traces or self.runs or self.conversations or self.sessions or self.ties)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the store has of one trace group."""

    steps: tuple[Step, ...]
    events: tuple[Event, ...]
    runs: tuple[Run, ...]


class Assembler:
    """Not thread-safe: one thread folds."""

    def __init__(
        self,
        settings: AssemblerSettings | None = None,
        pricing: Pricing = NO_PRICING,
        rules: RulesInForce | None = None,
    ) -> None:
        self._rules = rules
        self._settings = settings or AssemblerSettings()
        self._pricing = pricing
        self._by_key: dict[str, Held] = {}
        self._open: OrderedDict[int, Held] = OrderedDict()
        """Groups with a run that has not ended, by last arrival; keyed by identity."""
        self._ended: OrderedDict[int, Held] = OrderedDict()
        self._dirty: dict[int, Held] = {}
        self._alone: OrderedDict[int, Held] = OrderedDict()
        """Groups whose others' spans were not asked for since the last arrival; by arrival."""
        self._evicted: OrderedDict[str, int] = OrderedDict()
        """A trace of each open group that was dropped -> its last arrival."""
        self._unknown = Unknown()
        self._linked: dict[tuple[str, int], None] = {}
        """(trace id, time) of links since the last `changes`."""
        self._urgent = False
        self.steps = 0
        """Distinct spans in memory."""
        self.failures: list[tuple[str, Exception]] = []
        """(a key, error) of groups that could not be folded; the caller reports and clears."""

    @property
    def groups(self) -> int:
        return len(self._open) + len(self._ended)

    @property
    def open_runs(self) -> int:
        return sum(held.group.open_runs for held in self._open.values())

    def add(self, steps: Sequence[Step], now_ns: int) -> list[int]:
        """Take steps in; the positions of those that were here already, in the same version."""
        duplicates = []
        touched: dict[int, Held] = {}
        bounded = self._settings.boundary is not None
        for position, step in enumerate(steps):
            held = self._by_key.get(step.trace_id)
            if held is None:
                held = self._hold(step.trace_id)
                self._unknown.traces.add(step.trace_id)
            if step.run_id or step.links or bounded:
                held = self._tie(held, step)
            added = held.group.add(step)
            if added is Added.DUPLICATE:
                duplicates.append(position)
                continue
            if added is Added.NEW:
                self.steps += 1
                if step.links and step.dialect:
                    self._linked |= {(trace_id, step.start_ns): None for trace_id, _ in step.links}
            touched[id(held)] = held
        for held in touched.values():
            if held.keys:  # not joined into another meanwhile
                self._touch(held, now_ns)
        for trace_id in {step.trace_id for step in steps}:
            held = self._by_key[trace_id]
            trace = held.group.traces[trace_id]
            if trace.has_clients or trace.stale:
                self._tie_clients(held, self._ties(held, (trace_id,)))
        return duplicates

    def add_event(self, event: Event, now_ns: int) -> bool:
        """Take in an event of a trace or of a run that is named by id; False when it was known."""
        key, workspace = event.trace_id, ""
        if not key and event.run_id:
            # Ids of ours start with the trace id; others are looked up by their name.
            trace_id = event.run_id.partition("-")[0]
            workspace = event.attributes.get(semconv.WORKSPACE, "")
            key = trace_id if trace_id in self._by_key else run_key(workspace, event.run_id)
        if not key:
            return False
        held = self._by_key.get(key)
        if held is None:
            held = self._hold(key)
            if event.trace_id:
                self._unknown.traces.add(event.trace_id)
            else:
                self._unknown.runs.add((workspace, event.run_id))
        is_new = held.group.add_event(event)
        self._touch(held, now_ns)
        return is_new

    def unknown(self) -> Unknown:
        """What came since the last call and may have a past in the store."""
        self._tie_told()
        unknown, self._unknown = self._unknown, Unknown()
        return unknown

    def restore(self, stored: Stored, now_ns: int) -> None:
        """Take in what the store has: the groups its traces and runs are in become one."""
        keys = list(dict.fromkeys(step.trace_id for step in stored.steps))
        keys += [key for run in stored.runs for key in _keys_of_run(run)]
        keys += [event.trace_id for event in stored.events if event.trace_id]
        held = next((self._by_key[key] for key in keys if key in self._by_key), None)
        before = -1
        if held is None:
            if not keys:
                return
            held = self._hold(keys[0])
        else:
            before = held.group.revision
        for key in keys:
            other = self._by_key.get(key)
            if other is None:
                self._by_key[key] = held
                held.keys.append(key)
            elif other is not held:
                held = self._join(held, other)
                before = -1
        size = held.group.size
        held.group.restore(stored.steps, stored.events, stored.runs)
        self.steps += held.group.size - size
        bounded = self._settings.boundary is not None
        for step in stored.steps:  # what tied it before it left memory ties it again
            if step.run_id or step.links or bounded:
                held = self._tie(held, step)
        if before != held.group.revision or held.group.is_stale:
            self._touch(held, max(held.touched_ns, now_ns))
        self._unknown.traces.difference_update(keys)

    def changes(self) -> Changes:
        """What to write since the last call."""
        self._tie_told()
        steps: list[PlacedStep] = []
        runs: list[Run] = []
        removed: list[Removed] = []
        events: list[tuple[Event, str, str]] = []
        heard_of = list(self._linked)
        findings: list[tuple[Event, bool]] = []
        verdicts: list[Event] = []
        for held in self._dirty.values():
            try:
                changes = held.group.changes()
            except Exception as error:  # a bug of ours costs one group, not the collector
                self.failures.append((held.keys[0], error))
                continue
            steps += changes.steps
            runs += changes.runs
            removed += changes.removed
            events += changes.events
            heard_of += changes.heard_of
            findings += changes.findings
            verdicts += changes.verdicts
            self._sort(held)
        self._dirty.clear()
        self._linked.clear()
        return Changes(
            steps=tuple(steps),
            runs=tuple(runs),
            removed=tuple(removed),
            events=tuple(events),
            heard_of=tuple(heard_of),
            findings=tuple(findings),
            verdicts=tuple(verdicts),
        )

    @property
    def is_urgent(self) -> bool:
        """An application that can be told to stop has told something since the last `changes`, and
        there are rules that stop runs."""
        return self._urgent and self._rules is not None and self._rules.ruleset.acts

    def verdicts(self) -> list[Event]:
        """What the rules want to be done, now, to runs whose applications are live: to be journaled
        like those of `changes`, which come later."""
        found: list[Event] = []
        self._urgent = False
        for held in self._dirty.values():
            group = held.group
            if not group.is_live:
                continue
            try:
                group.judge()
            except Exception as error:  # a bug of ours costs one group, not the collector
                self.failures.append((held.keys[0], error))
            found += group.verdicts
            group.verdicts.clear()
        return found

    def quiet(self, now_ns: int, *, everything: bool = False) -> list[Event]:
        """Closing events of the runs that nothing came of for the quiet period.

        `everything` closes all open runs, as at the end of an ingest.
        """
        events: list[Event] = []
        for held, alive in self._due(now_ns, everything=everything):
            if id(held) in self._alone and not everything:
                continue
            held.closing = True
            events += _closing(held.group, now_ns, lost=alive and not everything)
        return events

    def not_closed(self) -> None:
        """Closing events could not be recorded: `quiet` is to give them again."""
        for held in self._open.values():
            held.closing = False

    def judge_again(self, trace_ids: Collection[str]) -> None:
        """What rules look at beside the runs has changed for those in these traces."""
        for trace_id in trace_ids:
            if (held := self._by_key.get(trace_id)) is not None:
                self._dirty[id(held)] = held
                self._urgent = self._urgent or held.group.is_live

    def not_recorded(self) -> None:
        """Verdicts could not be recorded: `changes` is to give them again."""
        for held in (*self._open.values(), *self._ended.values()):
            if held.group.not_recorded():
                self._dirty[id(held)] = held

    def silent(self, now_ns: int) -> list[str]:
        """Traces of which others may have written: of groups nothing came of for the linger time,
        once after each arrival, and of those about to be closed or dropped.

        Restore what others wrote, then call `quiet` and `forget`: the last to write folds all.
        """
        found: dict[int, Held] = {}
        for held in self._alone.values():
            if now_ns - held.touched_ns < self._settings.linger_ns:
                break
            found[id(held)] = held
        found |= {id(held): held for held in self._leaving(now_ns) if id(held) in self._alone}
        found |= {id(held): held for held, _ in self._due(now_ns)}
        for key in found.keys() & self._dirty.keys():
            del found[key]
        for key, held in found.items():
            self._alone.pop(key, None)
            self._unknown.ties.update(self._ties(held, held.group.traces))
        return [trace_id for held in found.values() for trace_id in held.group.traces]

    def overdue(self, now_ns: int) -> list[str]:
        """Traces of open groups that were dropped for want of room and are quiet: to be restored
        with `revive`, so that `quiet` closes them."""
        found = []
        while self._evicted:
            trace_id, touched_ns = next(iter(self._evicted.items()))
            if now_ns - touched_ns < self._settings.quiet_ns:
                break
            del self._evicted[trace_id]
            found.append(trace_id)
        return found

    def revive(self, stored: Stored, now_ns: int) -> None:
        """Take in a group of `overdue`: it was quiet before it came back."""
        self.restore(stored, now_ns)
        held = next((self._by_key[s.trace_id] for s in stored.steps), None)
        if held is not None and id(held) in self._open:
            held.touched_ns = now_ns - self._settings.quiet_ns
            self._open.move_to_end(id(held), last=False)

    def forget(self, now_ns: int) -> list[str]:
        """Drop ended groups that lingered long enough, and the longest quiet ones past the limit.

        Returns the ids of their traces.  Call it after `changes`: a dirty group stays.
        """
        found: list[str] = []
        for held in self._leaving(now_ns):
            if id(held) in self._alone:  # it was dirty when `silent` was asked: the next time
                continue
            is_open = id(held) in self._open
            trace_ids = self._drop(held)
            if is_open and trace_ids:
                self._evicted[trace_ids[0]] = held.touched_ns
                if len(self._evicted) > EVICTED_MAX:
                    self._evicted.popitem(last=False)
            found += trace_ids
        return found

    def erase(self, trace_ids: Iterable[str]) -> None:
        """Forget groups without a trace of them, whatever their state."""
        for held in {id(h): h for t in trace_ids if (h := self._by_key.get(t))}.values():
            self._dirty.pop(id(held), None)
            self._drop(held)

    # ------------------------------------------------------------------ groups

    def _due(self, now_ns: int, *, everything: bool = False) -> Iterator[tuple[Held, bool]]:
        """Open groups to be closed for their silence, and whether they sent heartbeats."""
        shortest = min(self._settings.quiet_ns, self._settings.lost_ns)
        for held in self._open.values():
            silent_ns = now_ns - held.touched_ns
            if silent_ns < shortest and not everything:
                break
            if held.closing:
                continue
            alive = held.group.alive
            limit = self._settings.lost_ns if alive else self._settings.quiet_ns
            if silent_ns >= limit or everything:
                yield held, alive

    def _leaving(self, now_ns: int) -> list[Held]:
        """What `forget` drops."""
        gone: dict[int, Held] = {}
        for held in self._ended.values():
            if now_ns - held.touched_ns < self._settings.linger_ns:
                break
            gone[id(held)] = held
        excess = self.steps - sum(held.group.size for held in gone.values())
        excess -= self._settings.steps_max
        if excess > 0:
            for held in (*self._ended.values(), *self._open.values()):
                if excess <= 0:
                    break
                if id(held) not in gone:
                    gone[id(held)] = held
                    excess -= held.group.size
        return list(gone.values())

    def _hold(self, key: str) -> Held:
        held = Held(TraceGroup(self._pricing, self._rules), [key])
        self._evicted.pop(key, None)
        self._by_key[key] = held
        self._open[id(held)] = held
        return held

    def _touch(self, held: Held, now_ns: int) -> None:
        held.touched_ns = now_ns
        self._dirty[id(held)] = held
        self._urgent = self._urgent or held.group.is_live
        # An ended group that hears of something is open until it was folded again.
        self._ended.pop(id(held), None)
        self._open[id(held)] = held
        self._open.move_to_end(id(held))
        if self._settings.shared:
            self._alone[id(held)] = held
            self._alone.move_to_end(id(held))

    def _sort(self, held: Held) -> None:
        """After a fold: is anything of it still open?"""
        if held.group.open_runs == 0:
            self._open.pop(id(held), None)
            self._ended[id(held)] = held
            held.closing = False

    def _drop(self, held: Held) -> list[str]:
        if id(held) in self._dirty:
            return []
        self._open.pop(id(held), None)
        self._ended.pop(id(held), None)
        self._alone.pop(id(held), None)
        for key in held.keys:
            self._by_key.pop(key, None)
        self.steps -= held.group.size
        trace_ids = list(held.group.traces)
        held.group.untie()
        return trace_ids

    def _tie(self, held: Held, step: Step) -> Held:
        """Join the group with what the step's run id, links and boundary name."""
        boundary = self._settings.boundary(step) if self._settings.boundary else "trace"
        workspace = step.labels.get("workspace", "")
        if step.run_id and not step.run_id.startswith(step.trace_id):
            held = self._share(
                held, run_key(workspace, step.run_id), self._unknown.runs, (workspace, step.run_id)
            )
        if boundary == "conversation" and (name := step.labels.get("conversation_id")):
            key = f"c:{workspace}:{name}"
            held = self._share(held, key, self._unknown.conversations, (workspace, name))
        elif boundary == "session" and (name := step.labels.get("session_id")):
            key = f"s:{workspace}:{name}"
            held = self._share(held, key, self._unknown.sessions, (workspace, name))
        if boundary != "explicit" and step.dialect:
            for trace_id, _ in step.links:
                if trace_id != step.trace_id:
                    held = self._share(held, trace_id, self._unknown.traces, trace_id)
        return held

    def _ties(self, held: Held, trace_ids: Iterable[str]) -> list[Tie]:
        """What ties these traces of it to others of the same client."""
        boundary = self._settings.boundary
        return [
            Tie(top.labels.get("workspace", ""), one, top.start_ns)
            for trace_id in trace_ids
            for top, one in held.group.ties(trace_id)
            if boundary is None or boundary(top) != "explicit"
        ]

    def _tie_clients(self, held: Held, ties: Iterable[Tie]) -> None:
        """Join a group with those that have the same ids."""
        for tie in ties:
            key = tie_key(tie.workspace, tie.name)
            held = self._share(held, key, self._unknown.ties, tie)

    def _tie_told(self) -> None:
        """The same by what log records tell of: it is known when all of them are here."""
        for held in [held for held in self._dirty.values() if held.group.events]:
            if held.keys:
                self._tie_clients(held, self._ties(held, held.group.traces))

    def _share(self, held: Held, key: str, unknown: set[Name], name: Name) -> Held:
        other = self._by_key.get(key)
        if other is None:
            self._by_key[key] = held
            held.keys.append(key)
            unknown.add(name)
            return held
        return self._join(held, other)

    def _join(self, one: Held, other: Held) -> Held:
        if one is other:
            return one
        if len(one.group.traces) + len(other.group.traces) > self._settings.group_traces_max:
            return one
        if one.group.size < other.group.size:
            one, other = other, one
        one.group.absorb(other.group)
        one.touched_ns = max(one.touched_ns, other.touched_ns)
        for key in other.keys:
            self._by_key[key] = one
        one.keys += other.keys
        other.keys = []
        for queue in (self._open, self._ended, self._dirty, self._alone):
            queue.pop(id(other), None)
        self._touch(one, one.touched_ns)
        return one


def run_key(workspace: str, run_id: str) -> str:
    return f"r:{workspace}:{run_id}"


def tie_key(workspace: str, name: str) -> str:
    return f"t:{workspace}:{name}"


def _keys_of_run(run: Run) -> list[str]:
    ties = [tie_key(run.workspace, name) for name in run.tie_ids]
    return [*run.trace_ids, run_key(run.workspace, run.run_id), *ties]


def _closing(group: TraceGroup, now_ns: int, *, lost: bool) -> list[Event]:
    """One event for each open run: children end on their own account."""
    attributes = {semconv.STOP_REASON: "lost"} if lost else {}
    return [
        make_event(
            RUN_CLOSED,
            now_ns,
            run_id=run.run_id,
            trace_id=run.trace_ids[0] if run.trace_ids else "",
            attributes=attributes,
        )
        for run in group.runs()
        if run.ended_at_ns == 0 and run.status != "paused"
    ]
