"""What the store knows of traces that are new to this process: everything its groups fold from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from collector.normalize import views_of
from collector.runs.assembler import Stored, Unknown
from collector.runs.run import PlacedStep, Run
from collector.store.client import chunks
from collector.store.raw import span_batches
from collector.store.reader import Reader
from otel_agentrun import dialects
from otel_agentrun.step import Event, Step

HOPS_MAX = 16
"""A trace that is linked to by a trace that is linked to by ..."""


class Recall:
    """Every method raises StoreError."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __call__(self, unknown: Unknown) -> list[Stored]:
        """The stored groups that any of these traces, runs, conversations, ... is in."""
        known = self._reader.known_traces(unknown.traces) if unknown.traces else set()
        groups = self._reader.groups_of(
            unknown.traces if known else (),
            run_ids=unknown.runs,
            conversation_ids=unknown.conversations,
            session_ids=unknown.sessions,
            ties=unknown.ties,
        )
        found = self.groups(groups, known)
        linking = self._linking(known - _in_a_run(found))
        if not linking:
            return found
        return self.groups(groups | self._reader.groups_of(linking), known | linking)

    def _linking(self, trace_ids: set[str]) -> set[str]:
        """Traces that link to these, directly or through others: their spans came first."""
        found: set[str] = set()
        fresh = trace_ids
        for _ in range(HOPS_MAX):
            if not fresh:
                break
            fresh = self._reader.linking_traces(fresh) - found - trace_ids
            found |= fresh
        return found

    def open_groups(self, since_ns: int = 0) -> list[Stored]:
        """Groups with a run that has not ended, for a restart."""
        return self.groups({run.group_id for run in self._reader.open_runs(since_ns)})

    def groups(self, group_ids: Iterable[str], trace_ids: Iterable[str] = ()) -> list[Stored]:
        """These groups; and of these traces what is in no group, each as a group of its own."""
        placed, paired, runs = self._reader.load_group(group_ids)
        steps: dict[str, list[Step]] = defaultdict(list)
        events: dict[str, list[Event]] = defaultdict(list)
        by_group: dict[str, list[Run]] = defaultdict(list)
        group_of: dict[str, str] = {}
        for entry in placed:
            steps[entry.group_id].append(entry.step)
            group_of[entry.step.trace_id] = entry.group_id
        for run in runs:
            by_group[run.group_id].append(run)
            for trace_id in run.trace_ids:
                group_of.setdefault(trace_id, run.group_id)
        run_groups = {run.run_id: run.group_id for run in runs}
        for event, run_id in paired:
            group = group_of.get(event.trace_id) or run_groups.get(run_id) or event.trace_id
            events[group].append(event)
        for step in self._unplaced(set(trace_ids) | set(group_of), placed_keys(placed)):
            steps[group_of.get(step.trace_id, step.trace_id)].append(step)
        return [
            Stored(
                steps=tuple(steps[group]),
                events=tuple(events[group]),
                runs=tuple(by_group[group]),
            )
            for group in dict.fromkeys((*steps, *events, *by_group))
        ]

    def _unplaced(self, trace_ids: set[str], placed: set[tuple[str, str]]) -> list[Step]:
        """Steps of raw spans that no run has: of a trace in which no agent had acted yet."""
        found: list[Step] = []
        for ids in chunks(trace_ids):
            keys = self._reader.store.query(
                "SELECT DISTINCT TraceId, SpanId FROM otel_traces PREWHERE TraceId IN %(ids)s",
                {"ids": ids},
            )
            missing = {(row["TraceId"], row["SpanId"]) for row in keys} - placed
            if not missing:
                continue
            batches = span_batches(
                self._reader.store,
                {trace_id for trace_id, _ in missing},
                {span_id for _, span_id in missing},
            )
            found += [dialects.step(view) for batch in batches for view in views_of(batch)]
        return [step for step in found if (step.trace_id, step.span_id) not in placed]


def _in_a_run(found: Iterable[Stored]) -> set[str]:
    return {step.trace_id for stored in found if stored.runs for step in stored.steps}


def placed_keys(placed: Iterable[PlacedStep]) -> set[tuple[str, str]]:
    return {(entry.step.trace_id, entry.step.span_id) for entry in placed}
