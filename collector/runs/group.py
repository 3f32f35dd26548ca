"""A trace group: the unit of the fold.  `fold(steps, events)` is what it all has to equal.

A group takes steps and events in any order, any number of times, and yields what changed since it
was last asked.  Restoring one from the store is adding what the store has of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from collector.runs.bucket import HIDDEN, REWRITE, Node
from collector.runs.events import RUN_HEARTBEAT, RUN_STARTED, RUN_STEP, is_verdict
from collector.runs.heard import Hearsay, is_telling
from collector.runs.identity import Assembly, assemble, descend, group_id
from collector.runs.judge import Judge, RulesInForce
from collector.runs.notes import is_note, noted
from collector.runs.reports import REPORTED, is_report, reported, with_report
from collector.runs.run import Changes, PlacedStep, Removed, Run
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


_new = object.__new__


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
        "_announced", "_findings", "_folded", "_gone", "_heard_of", "_hearsay", "_judge", "_left",
        "_notes", "_placed", "_pricing", "_reports", "_written", "alive", "events", "is_live",
        "open_runs", "size", "traces", "verdicts",
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
        """Distinct spans."""
        self._reports: dict[tuple[str, str], Step] = {}
        """(trace id, span id) -> the step that a report tells of."""
        self._notes: dict[tuple[str, str], list[Event]] = {}
        """(trace id, span id) -> what log records add to that step."""
        self._hearsay: Hearsay | None = None
        """What log records tell of tool calls."""
        self._gone: list[Step] = []
        """Told steps that nobody tells of any more, since the last `changes`."""
        self.open_runs = 0
        """Runs without an end, as of the last `changes`."""
        self._pricing = pricing
        self._written: dict[str, tuple[int, str]] = {}
        """run id -> (start time, workspace) of the rows in the store: the rest of their keys."""
        self._placed: dict[str, tuple[str, str]] = {}
        """event id -> (run id, group id) it was last written with."""
        self._heard_of: set[str] = set()
        """Traces whose events were written."""
        self._judge = Judge(rules) if rules is not None else None
        self._findings: list[tuple[Event, bool]] = []
        """What the rules have found since the last `changes`, and whether it is new."""
        self.verdicts: list[Event] = []
        """Findings of which something is to be done: to be journaled before anything else.  Whoever
        takes them clears the list."""
        self._left: set[str] = set()
        """Runs that have lost steps to others since the last `changes`; "" is any."""

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
            self._placed.pop(each.event_id, None)
        if self._judge is not None:
            self._judge.settled = False
        return True

    def restore(self, steps: Iterable[Step], events: Iterable[Event], runs: Iterable[Run]) -> None:
        """Take in what the store has of this group: nothing of it needs to be written again,
        unless folding it with what is here moves it."""
        fresh = self.size > 0
        ended = True
        for run in runs:
            self._written.setdefault(run.run_id, _row_key(run))
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
        self._gone += other._gone
        for run_id, told in other._announced.items():
            self._announce(run_id, told)
        self.alive = self.alive or other.alive
        self.is_live = self.is_live or other.is_live
        self._placed |= other._placed
        self._heard_of |= other._heard_of
        self._written |= other._written
        self.size += other.size
        self._left.add("")
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
        may turn out to be history count as the model call that they are of."""
        known = self.size + len(self.events)
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
        if self._hearsay is not None and self._hearsay.is_news:
            gone = self._hearsay.tell(self.traces)
            self._gone += gone
            self._left.update("" for _ in gone)
        for trace_id, trace in self.traces.items():
            if trace.stale:
                self.traces[trace_id] = trace.rebuilt()
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

    def runs(self) -> list[Run]:
        """What the group folds to, now."""
        assemblies = self.assemblies()
        return list(self._fold(assemblies, self._events_by_run(assemblies)).values())

    def changes(self) -> Changes:
        """What to write since the last call: moved steps and events, all runs, removed runs."""
        assemblies = self.assemblies()
        events = self._events_by_run(assemblies)
        runs = self._fold(assemblies, events)
        steps: list[PlacedStep] = []
        for assembly in assemblies:
            self._place(assembly, runs[assembly.run_id], steps)
        self._hide(assemblies, steps)
        if self._judge is not None:
            left, self._left = self._left, set()
            fresh = steps
            for _ in range(ROUNDS_MAX):
                if not self._judged(assemblies, runs, events, fresh, left):
                    break
                events = self._events_by_run(assemblies)
                runs = self._fold(assemblies, events, runs)
                fresh, left = [], set()
        removed = self._removed(runs, _owners(assemblies))
        self._written = {run_id: _row_key(run) for run_id, run in runs.items()}
        self.open_runs = sum(run.ended_at_ns == 0 for run in runs.values())
        findings, self._findings = self._findings, []
        verdicts, self.verdicts = self.verdicts, []
        moved = self._moved_events(assemblies)
        return Changes(
            steps=tuple(steps),
            runs=tuple(runs.values()),
            removed=removed,
            events=moved,
            heard_of=self._without_spans(event for event, _, _ in moved),
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
        events = self._events_by_run(assemblies)
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
                cost_nano_usd=self._cost(node)[0] if counted else None,
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

    def _events_by_run(
        self, assemblies: list[Assembly], events: Mapping[str, Event] | None = None
    ) -> dict[str, list[Event]]:
        """Events by the run they are of: named by id, by the span they are in, by their trace."""
        found: dict[str, list[Event]] = {}
        events = self._folded if events is None else events
        if not events or not assemblies:
            return found
        known = {run.run_id for run in assemblies}
        owners = _owners(assemblies)
        for event in events.values():
            run_id = event.run_id
            if run_id not in known:
                run_id = self._owner(owners, event.trace_id, event.span_id)
            found.setdefault(run_id or assemblies[0].run_id, []).append(event)
        return found

    def _owner(self, owners: dict[int, str], trace_id: str, span_id: str) -> str:
        """The run that a span belongs to; of an unknown span, the first run of its trace."""
        trace = self.traces.get(trace_id)
        if trace is None:
            return ""
        node = trace.nodes.get(span_id)
        if node is not None:
            return owners.get(id(node.bucket.find()), "")
        buckets = sorted(trace.tops.values(), key=lambda b: (b.start_ns, b.top_span_id))
        return next((owners[id(b)] for b in buckets if id(b) in owners), "")

    def _moved_events(self, assemblies: list[Assembly]) -> tuple[tuple[Event, str, str], ...]:
        """(event, run id, group id) of events that are new, or belong to another run than before:
        they may come before the spans that say whose they are."""
        if not self.events:
            return ()
        identifier = self.group_id
        run_of = {
            event.event_id: run_id
            for run_id, events in self._events_by_run(assemblies, self.events).items()
            for event in events
        }
        moved = []
        for event_id, event in self.events.items():
            place = (run_of.get(event_id, event.run_id), identifier)
            if self._placed.get(event_id) != place:
                self._placed[event_id] = place
                moved.append((event, *place))
        return tuple(moved)

    def _without_spans(self, events: Iterable[Event]) -> tuple[tuple[str, int], ...]:
        """Traces of these events that have no span: their spans come when this group is perhaps no
        more in memory."""
        found: dict[str, int] = {}
        for event in events:
            trace_id = event.trace_id
            if not trace_id or trace_id in self._heard_of:
                continue
            self._heard_of.add(trace_id)
            trace = self.traces.get(trace_id)
            nodes = trace.nodes.values() if trace is not None else ()
            if all(node.step.version == REPORTED for node in nodes):
                found[trace_id] = event.at_ns
        return tuple(found.items())

    def _place(self, assembly: Assembly, run: Run, steps: list[PlacedStep]) -> None:
        """Rows of the steps of one run that are new or moved."""
        as_ = (run.run_id, run.agent_name, run.parent_run_id, run.group_id)
        root = assembly.root
        for bucket in assembly.buckets:
            moved = bucket.placed_as != as_
            if moved and bucket.placed_as is not None and bucket.placed_as[0] != as_[0]:
                self._left |= {bucket.placed_as[0], as_[0]}
            bucket.placed_as = as_
            fresh, bucket.fresh = bucket.fresh, []
            for node in bucket.nodes if moved else fresh:
                node.dirty = False
                step = node.step
                entry: Any = _new(PlacedStep)  # frozen once it is in the list
                entry.step = step
                entry.run_id = run.run_id
                entry.group_id = run.group_id
                entry.revision = run.revision
                entry.agent_name = step.agent_name or run.agent_name
                entry.counted = step.kind in COUNTED and not node.duplicate_of
                entry.duplicate_of = node.duplicate_of
                entry.cost_nano_usd = None
                entry.cost_confidence = entry.retry_of = entry.child_run_id = ""
                entry.attempt = step.attempt
                if step is root and assembly.parent is not None:
                    # A child run's root is a step of its parent and the root of its own run.
                    entry.run_id, entry.child_run_id = assembly.parent.run_id, run.run_id
                if entry.counted or step.endpoint:
                    entry.cost_nano_usd, entry.cost_confidence = self._cost(node)
                if entry.counted and bucket.failures:
                    attempts = bucket.attempts_of(step)
                    if attempts is not None and attempts.failures:
                        entry.retry_of, attempt = attempts.previous(step)
                        entry.attempt = entry.attempt or attempt
                steps.append(entry)

    def _hide(self, assemblies: list[Assembly], steps: list[PlacedStep]) -> None:
        """Rows in no run for told steps that were written before the spans of such calls came, or
        before it was known that nobody tells of them."""
        steps += [
            PlacedStep(step=step, run_id="", group_id="", revision=self.revision, counted=False)
            for step in self._gone
            if not self._has(step.trace_id, step.span_id)
        ]
        self._gone.clear()
        shown = {id(bucket) for run in assemblies for bucket in run.buckets}
        for trace in self.traces.values():
            for bucket in trace.tops.values():
                for told in bucket.told.values():
                    if id(told) in shown or told.placed_as in (None, HIDDEN):
                        continue
                    told.placed_as = HIDDEN
                    self._left.add("")
                    steps += [
                        PlacedStep(
                            step=node.step,
                            run_id="",
                            group_id=self.group_id,
                            revision=self.revision,
                            counted=False,
                        )
                        for node in told.nodes
                    ]

    def _cost(self, node: Node) -> tuple[int | None, str]:
        """Of a counted step or a paid endpoint: (nano-USD, confidence)."""
        step = node.step
        if node.call is not None:
            call = node.call.find().counted
            return (call.cost_nano_usd, call.confidence) if call else (None, "")
        price = step.cost_nano_usd
        if price is None:
            price = self._pricing.tool(step)
        return price, "" if price is None else "exact"

    def _removed(self, runs: dict[str, Run], owners: dict[int, str]) -> tuple[Removed, ...]:
        """Rows that an earlier fold wrote: of runs that are no more, or under another hour."""
        removed = []
        for run_id, (started_at_ns, workspace) in self._written.items():
            run = runs.get(run_id)
            if run is not None and _row_key(run) == (started_at_ns, workspace):
                continue
            heir = ""
            if run is None:
                trace_id, _, span_id = run_id.partition("-")
                heir = self._owner(owners, trace_id, span_id)
            removed.append(
                Removed(
                    run_id=run_id,
                    group_id=self.group_id,
                    started_at_ns=started_at_ns,
                    workspace=workspace,
                    replaced_by=heir,
                    revision=self.revision,
                )
            )
        return tuple(removed)


def _fullness(step: Step) -> tuple[int, str, str]:
    """Of two reports of one span the later, fuller one counts."""
    return (step.end_ns, step.result_digest, repr(step))


def _row_key(run: Run) -> tuple[int, str]:
    return (run.started_at_ns, run.workspace)


def _owners(assemblies: list[Assembly]) -> dict[int, str]:
    """id of a bucket -> the run it is part of."""
    return {id(bucket): run.run_id for run in assemblies for bucket in run.buckets}


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
