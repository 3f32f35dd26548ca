"""What the store has of a group: where its rows were put, and which have to be written (again).

Spans that come late move what is there already: steps to other runs, runs to other groups or hours,
events to the spans that they are of.  Every row is written once where it belongs, and again, or
hidden, where it no longer does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from collector.runs.bucket import HIDDEN, Bucket, Node
from collector.runs.identity import Assembly
from collector.runs.owners import Owners
from collector.runs.reports import REPORTED
from collector.runs.run import PlacedStep, Removed, Run
from collector.runs.trace import Pricing, Trace
from otel_agentrun.dialects.kinds import MODEL
from otel_agentrun.step import COUNTED, Event, Step

_new = object.__new__


class Placement:
    """Of the rows of one group."""

    __slots__ = ("_events", "_gone", "_heard_of", "_runs", "left")

    def __init__(self) -> None:
        self.left: set[str] = set()
        """Runs that have lost steps to others since somebody cleared it; "" is any."""
        self._runs: dict[str, tuple[int, str]] = {}
        """run id -> (start time, workspace) of the rows in the store: the rest of their keys."""
        self._events: dict[str, tuple[str, str]] = {}
        """event id -> (run id, group id) it was last written with."""
        self._heard_of: set[str] = set()
        """Traces whose events were written."""
        self._gone: list[Step] = []
        """Told steps that nobody tells of any more, since `hidden` was last called."""

    def restore(self, run: Run) -> None:
        """The store has this row."""
        self._runs.setdefault(run.run_id, _row_key(run))

    def absorb(self, other: Placement) -> None:
        """Two groups are one from now on, and nothing is sure to be where it was."""
        self._runs |= other._runs
        self._events |= other._events
        self._heard_of |= other._heard_of
        self._gone += other._gone
        self.left.add("")

    def take_back(self, steps: Collection[Step]) -> None:
        """Nobody tells of these told steps any more."""
        self._gone += steps
        if steps:
            self.left.add("")

    def forget_event(self, event_id: str) -> None:
        """It is history, and no event of the group any more."""
        self._events.pop(event_id, None)

    def steps(
        self, assemblies: Iterable[Assembly], runs: Mapping[str, Run], pricing: Pricing
    ) -> list[PlacedStep]:
        """Rows of the steps that are new or moved."""
        placed: list[PlacedStep] = []
        for assembly in assemblies:
            self._place(assembly, runs[assembly.run_id], pricing, placed)
        return placed

    def _place(
        self, assembly: Assembly, run: Run, pricing: Pricing, placed: list[PlacedStep]
    ) -> None:
        as_ = (run.run_id, run.agent_name, run.parent_run_id, run.group_id)
        root = assembly.root
        for bucket in assembly.buckets:
            moved = bucket.placed_as != as_
            if moved and bucket.placed_as is not None and bucket.placed_as[0] != as_[0]:
                self.left |= {bucket.placed_as[0], as_[0]}
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
                    entry.cost_nano_usd, entry.cost_confidence = cost(node, pricing)
                if entry.counted and bucket.failures:
                    attempts = bucket.attempts_of(step)
                    if attempts is not None and attempts.failures:
                        entry.retry_of, attempt = attempts.previous(step)
                        entry.attempt = entry.attempt or attempt
                placed.append(entry)
        for bucket, duplicate_of in assembly.echoes:
            placed += self._echo(bucket, duplicate_of, run)

    def _echo(self, bucket: Bucket, duplicate_of: str, run: Run) -> Iterator[PlacedStep]:
        """Rows of what describes a call that is counted elsewhere."""
        as_ = (run.run_id, duplicate_of, run.parent_run_id, run.group_id)
        moved = bucket.placed_as != as_
        bucket.placed_as = as_
        fresh, bucket.fresh = bucket.fresh, []
        for node in bucket.nodes if moved else fresh:
            node.dirty = False
            yield PlacedStep(
                step=node.step,
                run_id=run.run_id,
                group_id=run.group_id,
                revision=run.revision,
                agent_name=node.step.agent_name or run.agent_name,
                counted=False,
                duplicate_of=duplicate_of if node.step.kind is MODEL else "",
                attempt=node.step.attempt,
            )

    def hidden(
        self,
        assemblies: Iterable[Assembly],
        traces: Mapping[str, Trace],
        group_id: str,
        revision: int,
    ) -> list[PlacedStep]:
        """Rows in no run for told steps that were written before the spans of such calls came, or
        before it was known that nobody tells of them."""
        gone, self._gone = self._gone, []
        rows = [
            PlacedStep(step=step, run_id="", group_id="", revision=revision, counted=False)
            for step in gone
            if (trace := traces.get(step.trace_id)) is None or step.span_id not in trace.nodes
        ]
        shown = {id(bucket) for run in assemblies for bucket in run.buckets}
        for trace in traces.values():
            for bucket in trace.tops.values():
                for told in bucket.told.values():
                    if id(told) in shown or told.placed_as in (None, HIDDEN):
                        continue
                    told.placed_as = HIDDEN
                    self.left.add("")
                    rows += [
                        PlacedStep(
                            step=node.step,
                            run_id="",
                            group_id=group_id,
                            revision=revision,
                            counted=False,
                        )
                        for node in told.nodes
                    ]
        return rows

    def runs(
        self, runs: Mapping[str, Run], owners: Owners, group_id: str, revision: int
    ) -> tuple[Removed, ...]:
        """These are the runs from now on: the rows that an earlier fold wrote of runs that are no
        more, or under another hour."""
        removed = []
        for run_id, (started_at_ns, workspace) in self._runs.items():
            run = runs.get(run_id)
            if run is not None and _row_key(run) == (started_at_ns, workspace):
                continue
            heir = ""
            if run is None:
                trace_id, _, span_id = run_id.partition("-")
                heir = owners.of_span(trace_id, span_id)
            removed.append(
                Removed(
                    run_id=run_id,
                    group_id=group_id,
                    started_at_ns=started_at_ns,
                    workspace=workspace,
                    replaced_by=heir,
                    revision=revision,
                )
            )
        self._runs = {run_id: _row_key(run) for run_id, run in runs.items()}
        return tuple(removed)

    def events(
        self, events: Mapping[str, Event], owners: Owners, group_id: str
    ) -> tuple[tuple[Event, str, str], ...]:
        """(event, run id, group id) of events that are new, or belong to another run than before:
        they may come before the spans that say whose they are."""
        run_of = {
            event.event_id: run_id
            for run_id, entries in owners.of_events(events.values()).items()
            for event in entries
        }
        moved = []
        for event_id, event in events.items():
            place = (run_of.get(event_id, event.run_id), group_id)
            if self._events.get(event_id) != place:
                self._events[event_id] = place
                moved.append((event, *place))
        return tuple(moved)

    def heard_of(
        self, events: Iterable[Event], traces: Mapping[str, Trace]
    ) -> tuple[tuple[str, int], ...]:
        """Traces of these written events that have no span: their spans come when this group is
        perhaps no more in memory."""
        found: dict[str, int] = {}
        for event in events:
            trace_id = event.trace_id
            if not trace_id or trace_id in self._heard_of:
                continue
            self._heard_of.add(trace_id)
            trace = traces.get(trace_id)
            nodes = trace.nodes.values() if trace is not None else ()
            if all(node.step.version == REPORTED for node in nodes):
                found[trace_id] = event.at_ns
        return tuple(found.items())


def cost(node: Node, pricing: Pricing) -> tuple[int | None, str]:
    """Of a counted step or a paid endpoint: (nano-USD, confidence)."""
    step = node.step
    if node.call is not None:
        call = node.call.find().counted
        return (call.cost_nano_usd, call.confidence) if call else (None, "")
    price = step.cost_nano_usd
    if price is None:
        price = pricing.tool(step)
    return price, "" if price is None else "exact"


def _row_key(run: Run) -> tuple[int, str]:
    return (run.started_at_ns, run.workspace)
