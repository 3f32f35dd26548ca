"""Rules over the runs of one trace group, as the fold places their steps.

What a rule finds becomes an event (`agentrun.finding`), journaled like every decision of the
collector: it comes back through the fold and is on the run from then on.  A judge compares what the
rules say now with what those events say, and gives the events that are missing: so a restart, a
resent span or another collector never makes a second one, and the end of a run does not depend on
the order in which its spans came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from collector.runs.events import DECISION, FINDING, make_event, standing
from collector.runs.identity import Assembly, descend
from collector.runs.run import PlacedStep, Run
from collector.runs.windows import Windows
from otel_agentrun import semconv
from otel_agentrun.rules import Ending, Finding, Ruleset, Seen, Selected, Spent, Watch
from otel_agentrun.rules.budgets import Drawn, Price, Unknown, drawn, shared
from otel_agentrun.rules.finding import BudgetUse, action, severity
from otel_agentrun.rules.ruleset import NAMES
from otel_agentrun.step import Event, Kind, Role

__all__ = ["Judge", "RulesInForce", "run_names"]

RUN: Final = Kind.RUN
AGENT: Final = Role.AGENT
OPEN: Final = frozenset({"initiated", "running", "paused"})
NOBODY: Final[frozenset[str]] = frozenset()
NANO: Final = 1_000_000_000
SPANS_MAX: Final = 64
"""Span ids of one finding."""


class RulesInForce:
    """The rules of all groups; `ruleset` may be replaced at any time between two folds."""

    __slots__ = ("price", "ruleset", "windows")

    def __init__(self, ruleset: Ruleset, price: Price | None = None) -> None:
        self.ruleset = ruleset
        self.price = price
        self.windows = Windows()
        """What runs have drawn together from budgets that they share."""


class Judge:
    """The rules of one group.  `settled`: nothing has come since it was read back from the store,
    ended: rules of today are not for runs of the past."""

    __slots__ = ("_approved", "_in_force", "_ruleset", "_sent", "_watches", "settled")

    def __init__(self, in_force: RulesInForce) -> None:
        self._in_force = in_force
        self._ruleset = in_force.ruleset
        self._watches: dict[str, Watch] = {}
        self._approved: dict[str, frozenset[str]] = {}
        """Run id -> calls, or tools where no call was named, that people have approved."""
        self._sent: dict[str, Event] = {}
        """Finding id -> the event that is on its way through the journal."""
        self.settled = False

    def not_recorded(self) -> bool:
        """Events could not be journaled: those under way are to be given again, if there are."""
        had = bool(self._sent)
        self._sent.clear()
        return had

    def judge(
        self,
        assemblies: Sequence[Assembly],
        runs: Mapping[str, Run],
        placed: Iterable[PlacedStep],
        left: Collection[str],
        whole: Callable[[Assembly], Iterable[PlacedStep]],
        events: Mapping[str, Sequence[Event]],
        revision: int,
    ) -> list[tuple[Event, bool]]:
        """(event, whether it is a new finding) of what is not recorded yet; sets the `budgets` of
        the runs.

        `placed` are the steps that are new or changed, `left` the runs that lost some ("" is any),
        `whole` gives all steps of a run, `events` those that are known, by run.
        """
        if self._in_force.ruleset is not self._ruleset:
            self._ruleset = self._in_force.ruleset
            self._watches.clear()
        for gone in self._watches.keys() - runs.keys():
            del self._watches[gone]
        anew = self._select(assemblies, runs, {*left, *self._newly_approved(events)})
        self._feed(assemblies, placed, anew, whole)
        found: list[tuple[Event, bool]] = []
        uses: dict[str, dict[str, BudgetUse]] = {}
        for assembly in assemblies:  # parents first: children draw from what those have left
            run = runs[assembly.run_id]
            watch = self._watches[run.run_id]
            recorded = self._recorded(events.get(run.run_id, ()))
            if not watch.selected.by_name and not recorded:
                continue
            budgets = watch.selected.budgets
            amounts: list[Drawn] = []
            if budgets:
                spent = self._spent(assembly, run)
                amounts = drawn(budgets, spent, run.environment)
                if watch.selected.windowed and assembly.parent is None and not self.settled:
                    trace_id = run.trace_ids[0] if run.trace_ids else ""
                    others = partial(self._in_force.windows.others, run.run_id, trace_id)
                    amounts += shared(
                        watch.selected.windowed, spent, run_names(run), run.started_at_ns, others
                    )
                self._use(assembly, run, amounts, uses)
            if not self.settled:
                findings = watch.findings(
                    amounts,
                    started_ns=run.started_at_ns,
                    below=partial(self._below, assembly),
                    ending=_ending(run),
                )
                if findings or recorded:
                    found += self._missing(run, watch.selected, findings, recorded, revision)
        return found

    # ------------------------------------------------------------------ steps

    def _newly_approved(self, events: Mapping[str, Sequence[Event]]) -> Iterator[str]:
        """Runs in which something was approved since they were judged."""
        for run_id, known in events.items():
            calls = frozenset(call for event in known if (call := approved_call(event)))
            if calls != self._approved.get(run_id, NOBODY):
                self._approved[run_id] = calls
                yield run_id

    def _watch(self, run_id: str, selected: Selected) -> Watch:
        approved = self._approved.get(run_id, NOBODY)
        return Watch(selected, price=self._in_force.price, approved=approved)

    def _select(
        self, assemblies: Sequence[Assembly], runs: Mapping[str, Run], left: Collection[str]
    ) -> set[str]:
        """The runs that are judged from their beginning: what applies to them has changed, or steps
        have left them.  Every run has a watch afterwards."""
        anew: set[str] = set()
        for assembly in assemblies:
            run_id = assembly.run_id
            names = run_names(runs[run_id]) if self._ruleset.names else {}
            selected = self._ruleset.select(names)
            watch = self._watches.get(run_id)
            if watch is None:
                # Its steps may have been placed before there was a judge to hear of it.
                self._watches[run_id] = self._watch(run_id, selected)
                anew.add(run_id)
            elif watch.selected is not selected or run_id in left or "" in left:
                self._watches[run_id] = self._watch(run_id, selected)
                anew.add(run_id)
        return anew

    def _feed(
        self,
        assemblies: Sequence[Assembly],
        placed: Iterable[PlacedStep],
        anew: Collection[str],
        whole: Callable[[Assembly], Iterable[PlacedStep]],
    ) -> None:
        batches: dict[str, list[PlacedStep]] = {}
        for entry in placed:
            batch = batches.get(entry.run_id)
            if batch is None:
                batches[entry.run_id] = [entry]
            else:
                batch.append(entry)
        if anew:
            for assembly in assemblies:
                run_id = assembly.run_id
                # Nearly always a run that is new here has come whole.
                if run_id in anew and len(batches.get(run_id, ())) != _size(assembly):
                    batches[run_id] = list(whole(assembly))
        for run_id, batch in batches.items():
            watch = self._watches.get(run_id)
            if watch is not None:
                watch.remove(entry.step.span_id for entry in batch if entry.duplicate_of)
                watch.add(
                    Seen(entry.step, entry.cost_nano_usd)
                    for entry in batch
                    if entry.counted or (entry.step.kind is RUN and entry.step.role is AGENT)
                )

    def _below(self, assembly: Assembly) -> list[Seen]:
        if not assembly.children:
            return []
        return [
            seen
            for each in descend(assembly)[1:]
            if each.run_id in self._watches
            for seen in self._watches[each.run_id].steps
        ]

    # ------------------------------------------------------------------ budgets

    def _spent(self, assembly: Assembly, run: Run) -> Spent:
        total = run.total
        unknown: Unknown = self._watches[run.run_id].unknown
        for child in descend(assembly)[1:] if assembly.children else ():
            unknown += self._watches[child.run_id].unknown
        end = run.ended_at_ns or max((b.end_ns for b in assembly.buckets), default=0)
        return Spent(
            cost_nano_usd=total.cost_nano_usd,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            steps=total.steps,
            model_calls=total.model_calls,
            tool_calls=total.tool_calls,
            retrievals=total.retrievals,
            retries=total.retries,
            plan_steps=total.plan_steps,
            wall_ns=max(end - run.started_at_ns, 0),
            depth=run.max_depth,
            fan_out=run.max_fan_out,
            unknown=unknown,
        )

    def _use(
        self,
        assembly: Assembly,
        run: Run,
        amounts: Sequence[Drawn],
        uses: dict[str, dict[str, BudgetUse]],
    ) -> None:
        above = uses.get(assembly.parent.run_id, {}) if assembly.parent else {}
        own = [each.use(above.get(each.budget.name)) for each in amounts]
        if assembly.children:
            uses[run.run_id] = {use.rule: use for use in own}
        entry: Any = run  # not handed out yet
        entry.budgets = tuple(own)

    # ------------------------------------------------------------------ findings

    def _recorded(self, events: Sequence[Event]) -> dict[str, Event]:
        """Finding id -> the event that counts, those on their way included."""
        if not events and not self._sent:
            return {}
        found: dict[str, Event] = {}
        for event in events:
            if event.name != FINDING:
                continue
            finding_id = event.attributes.get(semconv.FINDING_ID, "")
            known = found.get(finding_id)
            if finding_id and (known is None or standing(event) > standing(known)):
                found[finding_id] = event
        for finding_id, event in list(self._sent.items()):
            known = found.get(finding_id)
            if known is not None and standing(known) >= standing(event):
                del self._sent[finding_id]
        return found

    def _missing(
        self,
        run: Run,
        selected: Selected,
        findings: Sequence[Finding],
        recorded: Mapping[str, Event],
        revision: int,
    ) -> list[tuple[Event, bool]]:
        events: list[tuple[Event, bool]] = []
        ids = set()
        for finding in findings:
            finding_id = finding.finding_id(run.run_id)
            ids.add(finding_id)
            event = _event(finding, finding_id, run, selected, revision)
            known = self._sent.get(finding_id) or recorded.get(finding_id)
            if known is not None:
                if not _says_more(event, known, ended=run.ended_at_ns > 0):
                    continue
                event = _event(finding, finding_id, run, selected, _after(known, revision))
            self._sent[finding_id] = event
            events.append((event, known is None))
        for finding_id, known in recorded.items():
            said = known.attributes
            if (
                finding_id not in ids
                and finding_id not in self._sent
                and semconv.FINDING_WITHDRAWN not in said
                and said.get(semconv.RULES_VERSION) == selected.version
                and semconv.FINDING_REVISION in said
            ):
                event = _withdrawn(known, _after(known, revision))
                self._sent[finding_id] = event
                events.append((event, False))
        return events


def _size(assembly: Assembly) -> int:
    """Its steps as rules see them: a child run's root is its parent's."""
    size = sum(len(bucket.nodes) for bucket in assembly.buckets)
    size -= assembly.parent is not None and assembly.root is not None
    return size + sum(child.root is not None for child in assembly.children)


def run_names(run: Run) -> dict[str, object]:
    """What a rule's `match` can name."""
    return {name: getattr(run, name) for name in NAMES}


def approved_call(event: Event) -> str:
    """The call that a person has approved, or the tool where no call is named; "" otherwise."""
    said = event.attributes
    if (
        event.name != DECISION
        or said.get(semconv.DECISION_KIND) != "approval"
        or said.get(semconv.DECISION_OUTCOME) != "approved"
    ):
        return ""
    return said.get(semconv.GEN_AI_TOOL_CALL_ID) or said.get(semconv.GEN_AI_TOOL_NAME, "")


def _after(known: Event, revision: int) -> int:
    """A revision that counts more than the known event's: what it was found from may have changed
    without a new span."""
    return max(revision, standing(known)[0] + 1)


def _says_more(event: Event, known: Event, *, ended: bool) -> bool:
    """Whether the finding calls for another action than recorded; once the run has ended, whether
    anything about it is different."""
    said, before = event.attributes, known.attributes
    if semconv.FINDING_WITHDRAWN in before:
        return True
    if said[semconv.FINDING_ACTION] != before.get(semconv.FINDING_ACTION):
        return True
    return ended and _content(event) != _content(known)


def _content(event: Event) -> dict[str, str]:
    mutable = (semconv.FINDING_REVISION, semconv.RULES_VERSION)
    return {k: v for k, v in event.attributes.items() if k not in mutable}


def _event(finding: Finding, finding_id: str, run: Run, selected: Selected, revision: int) -> Event:
    rule = selected.by_name[finding.rule]
    attributes = {
        semconv.RUN_ID: run.run_id,
        semconv.FINDING_ID: finding_id,
        semconv.FINDING_RULE: finding.rule,
        semconv.FINDING_KIND: finding.kind,
        semconv.FINDING_SEVERITY: severity(finding, rule),
        semconv.FINDING_ACTION: action(finding, rule),
        semconv.FINDING_EXPLANATION: finding.explanation,
        semconv.FINDING_SPAN_IDS: ",".join(finding.span_ids[:SPANS_MAX]),
        semconv.FINDING_AMOUNT: f"{finding.amount:.12g}",
        semconv.FINDING_REVISION: str(revision),
        semconv.RULES_VERSION: selected.version,
    }
    if finding.kind == "budget":
        remaining = max(finding.limit - finding.amount, 0.0)
        attributes |= {
            semconv.BUDGET_RULE: finding.rule,
            semconv.BUDGET_KIND: finding.what,
            semconv.BUDGET_LIMIT: f"{finding.limit:.12g}",
            semconv.BUDGET_USED: f"{finding.amount:.12g}",
            semconv.BUDGET_REMAINING: f"{remaining:.12g}",
        }
    if finding.cost_nano_usd:
        attributes[semconv.FINDING_COST_USD] = f"{finding.cost_nano_usd / NANO:.9f}"
    if finding.process_failure:
        attributes[semconv.FINDING_PROCESS_FAILURE] = "true"
    if rule.dry_run:
        attributes[semconv.FINDING_DRY_RUN] = "true"
    return make_event(
        FINDING,
        finding.at_ns,
        trace_id=run.trace_ids[0] if run.trace_ids else "",
        run_id=run.run_id,
        attributes=attributes,
    )


def _withdrawn(known: Event, revision: int) -> Event:
    attributes = {
        **known.attributes,
        semconv.FINDING_WITHDRAWN: "true",
        semconv.FINDING_REVISION: str(revision),
    }
    made = make_event(
        FINDING, known.at_ns, trace_id=known.trace_id, run_id=known.run_id, attributes=attributes
    )
    return replace(made, span_id=known.span_id)


def _ending(run: Run) -> Ending | None:
    if run.status in OPEN:
        return None
    return Ending(
        completed=run.status == "completed", span_id=run.output_span[1], at_ns=run.ended_at_ns
    )
