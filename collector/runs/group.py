"""A trace group: the unit of the fold.  `fold(steps, events)` is what it all has to equal.

A group takes steps and events in any order, any number of times, and yields what changed since it
was last asked.  Restoring one from the store is adding what the store has of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from collector.runs import clients
from collector.runs.bucket import REWRITE
from collector.runs.events import RUN_HEARTBEAT, RUN_STARTED, RUN_STEP, is_verdict
from collector.runs.heard import Hearsay, is_telling
from collector.runs.identity import Assembly, assemble, descend, group_id
from collector.runs.judge import Judge, RulesInForce
from collector.runs.notes import is_note, noted
from collector.runs.owners import Owners
from collector.runs.placement import Placement, cost
from collector.runs.reports import REPORTED, is_report, reported, with_report
from collector.runs.run import Changes, PlacedStep, Run
from collector.runs.summary import summarize
from collector.runs.trace import NO_PRICING, Added, Pricing, Trace
from otel_agentrun import semconv
from otel_agentrun.dialects import REVISION
from otel_agentrun.dialects.kinds import TOLD
from otel_agentrun.dialects.told import is_logged
from otel_agentrun.step import COUNTED, Event, Step

REVISION_SHIFT = 40
ANNOUNCING = frozenset({RUN_STARTED, RUN_HEARTBEAT})
"""Events by which a run makes itself known before its first span; others only name one."""
ROUNDS_MAX = 4
"""Times that the rules are asked in a row while what they find changes a run."""


class Told(NamedTuple):
    """A run that told of itself, at first."""

    at_ns: int
    trace_id: str
    span_id: str
    """Of its own span, which comes when it ends."""
    parent_id: str


class TraceGroup:
    """Traces that are folded together, and the events of their runs."""

    __slots__ = (
        "_announced", "_findings", "_folded", "_hearsay", "_judge", "_notes", "_placement",
        "_pricing", "_reports", "_told", "alive", "events", "is_live", "open_runs", "size",
        "traces", "verdicts",
    )  # fmt: skip

    def __init__(self, pricing: Pricing = NO_PRICING, rules: RulesInForce | None = None) -> None:
        self.traces: dict[str, Trace] = {}
        self.events: dict[str, Event] = {}
        self._folded: dict[str, Event] = {}
        """Those among them that say something about a run; the rest is about steps."""
        self._announced: dict[str, Told] = {}
        """By run id."""
        self.alive = False
        """It has sent heartbeats."""
        self.is_live = False
        """Its application tells of runs and steps as they happen: it can be told something, too."""
        self.size = 0
        """Distinct spans, and calls that they tell of."""
        self._told = 0
        """Those calls."""
        self._reports: dict[tuple[str, str], Step] = {}
        """(trace id, span id) -> the step that a report tells of."""
        self._notes: dict[tuple[str, str], list[Event]] = {}
        """(trace id, span id) -> what log records add to that step."""
        self._hearsay: Hearsay | None = None
        """What log records tell of tool calls."""
        self.open_runs = 0
        """Runs without an end, as of the last `changes`."""
        self._pricing = pricing
        self._placement = Placement()
        self._judge = Judge(rules) if rules is not None else None
        self._findings: list[tuple[Event, bool]] = []
        """What the rules have found since the last `changes`, and whether it is new."""
        self.verdicts: list[Event] = []
        """Findings of which something is to be done: to be journaled before anything else.  Whoever
        takes them clears the list."""

    def add(self, step: Step) -> Added:
        """Take one step in; only `DUPLICATE` and `OLDER` change nothing."""
        if self._notes and (notes := self._notes.get((step.trace_id, step.span_id))):
            step = noted(step, notes)
        if self._reports and (report := self._reports.get((step.trace_id, step.span_id))):
            step = with_report(step, report)
        trace = self._trace(step.trace_id)
        if self._hearsay is not None:
            self._hearsay.came(step, trace)
        added = trace.add(step)
        if added is Added.NEW:
            self.size += 1
            if step.role is TOLD:
                self._told += 1
            if self._judge is not None:
                self._judge.settled = False
        return added

    def add_event(self, event: Event) -> bool:
        """Take one event in; False when it was known."""
        if event.event_id in self.events:
            return False
        name = event.name
        if is_telling(event):
            return self._hear(event)
        self.events[event.event_id] = event
        if name in ANNOUNCING and event.run_id:
            parent_id = event.attributes.get(semconv.RUN_PARENT_ID, "")
            self._announce(
                event.run_id, Told(event.at_ns, event.trace_id, event.span_id, parent_id)
            )
        if is_note(event):
            self._note(event)
        elif name == RUN_STEP:
            self.is_live = True
            if is_report(event):
                self._report(event)
        elif name == RUN_HEARTBEAT:
            self.alive = True
        else:
            self._folded[event.event_id] = event
            self.is_live = self.is_live or name == RUN_STARTED
        return True

    def _announce(self, run_id: str, told: Told) -> None:
        known = self._announced.get(run_id)
        if known is None or told < known:
            self._announced[run_id] = told

    def _trace(self, trace_id: str) -> Trace:
        trace = self.traces.get(trace_id)
        if trace is None:
            trace = self.traces[trace_id] = Trace(trace_id, self._pricing)
        return trace

    def _report(self, event: Event) -> None:
        """Its span may be here already, or come later, or never."""
        key = (event.trace_id, event.span_id)
        step = reported(event)
        known = self._reports.get(key)
        if known is not None and _fullness(known) >= _fullness(step):
            return
        self._reports[key] = step
        trace = self._trace(event.trace_id)
        node = trace.nodes.get(event.span_id)
        step = noted(step, self._notes.get(key, ()))
        if self._hearsay is not None:
            self._hearsay.came(step, trace)
        if node is None:
            trace.add(step)
        elif node.step.version == REPORTED:
            node.step = step
            trace.stale = True
        elif (full := with_report(node.step, step)) is not node.step:
            node.step = full
            trace.stale = True
        if self._judge is not None:
            self._judge.settled = False

    def _note(self, event: Event) -> None:
        """Its step may be here already, or come later."""
        notes = self._notes.setdefault((event.trace_id, event.span_id), [])
        notes.append(event)
        trace = self.traces.get(event.trace_id)
        node = trace.nodes.get(event.span_id) if trace else None
        if trace is not None and node is not None:
            step = noted(node.step, notes)
            if step is not node.step:
                trace.amend(step)

    def _hear(self, event: Event) -> bool:
        """Whether it is not history yet."""
        if self._hearsay is None:
            self._hearsay = Hearsay()
        gone = self._hearsay.hear(event)
        if gone is None:
            return False
        self.events[event.event_id] = event
        for each in gone:
            del self.events[each.event_id]
            self._placement.forget_event(each.event_id)
        if self._judge is not None:
            self._judge.settled = False
        return True

    def restore(self, steps: Iterable[Step], events: Iterable[Event], runs: Iterable[Run]) -> None:
        """Take in what the store has of this group: nothing of it needs to be written again,
        unless folding it with what is here moves it."""
        fresh = self.size > 0
        ended = True
        for run in runs:
            self._placement.restore(run)
            ended = ended and run.ended_at_ns > 0
        events = list(events)
        told = {(event.trace_id, event.span_id) for event in events if is_report(event)}
        for step in steps:
            if step.role is TOLD:
                self._restore_told(step)
            # A step without a span comes back with its report.
            elif step.version != REPORTED or (step.trace_id, step.span_id) not in told:
                self.add(step)
        for event in events:
            self.add_event(event)
        if self._judge is not None:
            self._judge.settled = ended and not fresh

    def _restore_told(self, step: Step) -> None:
        trace = self._trace(step.trace_id)
        if is_logged(step):
            self._hearsay = self._hearsay or Hearsay()
            self._hearsay.restored(step, trace)
        else:
            self.add(step)
        # Its row may be in a run, and nobody knows any more: a span may have come meanwhile.
        trace.nodes[step.span_id].bucket.find().placed_as = REWRITE

    def absorb(self, other: TraceGroup) -> None:
        """Join two groups: a link, a shared run id or conversation ties their traces."""
        self.traces |= other.traces
        self.events |= other.events
        self._folded |= other._folded
        self._reports |= other._reports
        self._notes |= other._notes
        if other._hearsay is not None:
            self._hearsay = self._hearsay or Hearsay()
            self._hearsay.absorb(other._hearsay)
        for run_id, told in other._announced.items():
            self._announce(run_id, told)
        self.alive = self.alive or other.alive
        self.is_live = self.is_live or other.is_live
        self._placement.absorb(other._placement)
        self.size += other.size
        self._told += other._told
        if self._judge is not None:
            self._judge.settled = False

    def untie(self) -> None:
        """Break the cycles between nodes and buckets: the group is not used any more, and its
        memory is free at once instead of when the garbage collector comes by."""
        for trace in self.traces.values():
            trace.untie()

    @property
    def revision(self) -> int:
        """Grows with the normalizer and with the distinct spans and events of the group; those that
        may turn out to be history count as the model call that they are of.  Calls that spans tell
        of do not count: the store does not have those that were never shown."""
        known = self.size - self._told + len(self.events)
        if self._hearsay is not None:
            known += self._hearsay.calls - self._hearsay.events
        return (REVISION << REVISION_SHIFT) + known

    @property
    def is_stale(self) -> bool:
        """It has to be folded again although its revision is the same."""
        if self._hearsay is not None and self._hearsay.is_news:
            return True
        return any(trace.stale for trace in self.traces.values())

    @property
    def group_id(self) -> str:
        traces = [trace for trace in self.traces.values() if trace.tops]
        if traces:
            return group_id(traces)
        return min((e.at_ns, e.trace_id or e.run_id) for e in self.events.values())[1]

    def assemblies(self) -> list[Assembly]:
        """The runs of this group, parents first; none for a trace in which no agent acts."""
        self._tell()
        for trace_id, trace in self.traces.items():
            self.traces[trace_id] = trace.settled()
        traces = [trace for trace in self.traces.values() if trace.tops]
        found = assemble(traces) if traces else []
        known = {run.run_id for run in found}
        # Runs that have announced themselves and have no span yet: all there is of a live parent
        # may be the steps of its child.
        named = sorted(
            (told, run_id)
            for run_id, told in self._announced.items()
            if run_id not in known and not self._has(told.trace_id, told.span_id)
        )
        runs = [Assembly(run_id, announced_ns=told.at_ns) for told, run_id in named] + found
        return self._related(runs) if self._announced else runs

    def _tell(self) -> None:
        if self._hearsay is not None and self._hearsay.is_news:
            self._placement.take_back(self._hearsay.tell(self.traces))

    def _related(self, runs: list[Assembly]) -> list[Assembly]:
        """Runs whose own span is still to come are where they say that they are."""
        by_id = {run.run_id: run for run in runs}
        for run in runs:
            told = self._announced.get(run.run_id)
            if told is None or run.root is not None or run.parent is not None:
                continue
            parent = by_id.get(told.parent_id)
            if parent is not None and parent.top is not run:
                run.parent = parent
                parent.children.append(run)
        return [each for run in runs if run.parent is None for each in descend(run)]

    def _has(self, trace_id: str, span_id: str) -> bool:
        trace = self.traces.get(trace_id)
        return trace is not None and span_id in trace.nodes

    def ties(self, trace_id: str) -> list[tuple[Step, str]]:
        """(call of a client, id) of what ties a trace to others of that client."""
        self._tell()
        trace = self.traces[trace_id]
        if trace.stale:
            trace = self.traces[trace_id] = trace.rebuilt()
        return list(clients.ties(trace.tops.values())) if trace.has_clients else []

    def runs(self) -> list[Run]:
        """What the group folds to, now."""
        assemblies = self.assemblies()
        events = Owners(assemblies, self.traces).of_events(self._folded.values())
        return list(self._fold(assemblies, events).values())

    def changes(self) -> Changes:
        """What to write since the last call: moved steps and events, all runs, removed runs."""
        assemblies = self.assemblies()
        owners = Owners(assemblies, self.traces)
        events = owners.of_events(self._folded.values())
        runs = self._fold(assemblies, events)
        placement = self._placement
        steps = placement.steps(assemblies, runs, self._pricing)
        steps += placement.hidden(assemblies, self.traces, self.group_id, self.revision)
        if self._judge is not None:
            left, placement.left = placement.left, set()
            fresh = steps
            for _ in range(ROUNDS_MAX):
                if not self._judged(assemblies, runs, events, fresh, left):
                    break
                events = owners.of_events(self._folded.values())
                runs = self._fold(assemblies, events, runs)
                fresh, left = [], set()
        identifier = self.group_id
        self.open_runs = sum(run.ended_at_ns == 0 for run in runs.values())
        findings, self._findings = self._findings, []
        verdicts, self.verdicts = self.verdicts, []
        moved = placement.events(self.events, owners, identifier) if self.events else ()
        return Changes(
            steps=tuple(steps),
            runs=tuple(runs.values()),
            removed=placement.runs(runs, owners, identifier, self.revision),
            events=moved,
            heard_of=placement.heard_of((event for event, _, _ in moved), self.traces),
            findings=tuple(findings),
            verdicts=tuple(verdicts),
        )

    def judge(self) -> None:
        """Ask the rules about what came since the last `changes`, which need not be soon: what is
        to be done about it is then in `verdicts`."""
        assemblies = self.assemblies()
        for assembly in assemblies:
            for bucket in assembly.buckets:
                placed = bucket.placed_as
                if placed is not None and placed[0] != assembly.run_id:
                    return  # steps have moved: `changes` has to say from where
        events = Owners(assemblies, self.traces).of_events(self._folded.values())
        runs = self._fold(assemblies, events)
        fresh = [entry for each in assemblies for entry in self._seen(each, fresh=True)]
        self._judged(assemblies, runs, events, fresh, ())

    def not_recorded(self) -> bool:
        """Verdicts could not be journaled: whether it has some to give again."""
        return self._judge is not None and self._judge.not_recorded()

    def _judged(
        self,
        assemblies: list[Assembly],
        runs: dict[str, Run],
        events: dict[str, list[Event]],
        placed: Iterable[PlacedStep],
        left: Collection[str],
    ) -> bool:
        """Whether the rules have found something that is on a run from now on.

        What is to be done about is a decision, and comes back through the journal; all else would
        be found again.
        """
        assert self._judge is not None
        found = self._judge.judge(assemblies, runs, placed, left, self._seen, events, self.size)
        self._findings += found
        changed = False
        for event, _ in found:
            if is_verdict(event):
                self.verdicts.append(event)
            else:
                changed = True
                self.events[event.event_id] = self._folded[event.event_id] = event
        return changed

    def _seen(self, assembly: Assembly, *, fresh: bool = False) -> Iterator[PlacedStep]:
        """All steps of a run as rules see them, or those since the last `changes`; the roots of its
        child runs included."""
        root = assembly.root if assembly.parent is not None else None
        nodes = [
            node
            for bucket in assembly.buckets
            for node in (bucket.fresh if fresh else bucket.nodes)
        ]
        for node in nodes:
            step = node.step
            if step is root:
                continue
            counted = step.kind in COUNTED and not node.duplicate_of
            yield PlacedStep(
                step=step,
                run_id=assembly.run_id,
                group_id="",
                revision=0,
                counted=counted,
                duplicate_of=node.duplicate_of,
                cost_nano_usd=cost(node, self._pricing)[0] if counted else None,
            )
        for child in assembly.children:
            if child.root is not None:
                yield PlacedStep(
                    step=child.root, run_id=assembly.run_id, group_id="", revision=0, counted=False
                )

    def _fold(
        self,
        assemblies: list[Assembly],
        events: Mapping[str, list[Event]],
        before: Mapping[str, Run] | None = None,
    ) -> dict[str, Run]:
        """`before` are the same runs without the newest events: their budgets are kept."""
        identifier, revision = self.group_id, self.revision
        runs: dict[str, Run] = {}
        for run in assemblies:
            if run.parent is None:
                runs |= summarize(run, identifier, events, self._pricing, revision)
        for run_id, known in (before or {}).items():
            entry: Any = runs[run_id]  # not handed out yet
            entry.budgets = known.budgets
        return runs


def _fullness(step: Step) -> tuple[int, str, str]:
    """Of two reports of one span the later, fuller one counts."""
    return (step.end_ns, step.result_digest, repr(step))


def fold(
    steps: Iterable[Step], events: Iterable[Event] = (), pricing: Pricing = NO_PRICING
) -> list[Run]:
    """The runs of one trace group: pure, whatever the order and number of equal steps."""
    group = TraceGroup(pricing)
    for step in steps:
        group.add(step)
    for event in events:
        group.add_event(event)
    return group.runs()
