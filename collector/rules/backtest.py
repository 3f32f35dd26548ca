"""What rules would have done to runs that are over: step by step, as they were.

Pure: stored runs and steps in, one document out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from collector.runs.judge import run_names
from collector.runs.run import PlacedStep, Run
from otel_agentrun.rules import ACTIONS, Action, Ending, Finding, Ruleset, Seen, Watch, action
from otel_agentrun.rules.budgets import Price, Running, WindowKey, drawn, shared, window_key
from otel_agentrun.rules.finding import kind_of
from otel_agentrun.step import Kind, Role

__all__ = ["backtest"]

Document = dict[str, Any]
NANO: Final = 1_000_000_000
EXAMPLES_MAX: Final = 5
STOPPING: Final = ("pause", "kill")
VERBS: Final = {"flag": "flagged", "warn": "warned", "pause": "paused", "kill": "killed"}


@dataclass(slots=True)
class Tally:
    """What one rule, or all of them, would have done."""

    runs: dict[Action, set[str]] = field(default_factory=lambda: {each: set() for each in ACTIONS})
    """Action -> the runs in which it was the severest."""
    saved_nano_usd: int = 0
    good: set[str] = field(default_factory=set)
    """Runs that completed well and would have been paused or killed."""

    def note(self, run: Run, severest: Action, saved_nano_usd: int) -> None:
        self.runs[severest].add(run.run_id)
        self.saved_nano_usd += saved_nano_usd
        if severest in STOPPING and run.status == "completed" and run.outcome == "success":
            self.good.add(run.run_id)

    def document(self) -> Document:
        touched = sorted(run_id for runs in self.runs.values() for run_id in runs)
        return {
            **{VERBS[each]: len(runs) for each, runs in self.runs.items()},
            "saved_usd": self.saved_nano_usd / NANO,
            "completed_well_hit": len(self.good),
            "examples": (sorted(self.good) + [r for r in touched if r not in self.good])[
                :EXAMPLES_MAX
            ],
        }


def backtest(
    ruleset: Ruleset,
    runs: Iterable[Run],
    steps: Mapping[str, Sequence[PlacedStep]],
    price: Price | None = None,
) -> Document:
    """Rules over ended runs; `steps` by run id.

    Of a run that would have been stopped, what it and its child runs cost afterwards counts as
    saved; pausing counts as stopping.  Budgets of windows are filled in the order in which runs
    began, whether or not earlier ones would have been stopped.
    """
    ordered = sorted(runs, key=lambda run: (run.started_at_ns, run.run_id))
    children: dict[str, list[Run]] = defaultdict(list)
    for run in ordered:
        if run.parent_run_id:
            children[run.parent_run_id].append(run)
    total = Tally()
    by_rule = {rule.name: Tally() for rule in ruleset.rules}
    sums: dict[WindowKey, float] = defaultdict(float)
    for run in ordered:
        tree = _descendants(run, children)
        replay = _Replay(ruleset, run, [s for each in tree for s in steps.get(each.run_id, ())])
        reached = replay.run(sums, price)
        stops = [at for due in reached.values() for each, at in due.items() if each in STOPPING]
        for name, due in reached.items():
            ends = [at for each, at in due.items() if each in STOPPING]
            saved = replay.cost_after(min(ends)) if ends else 0
            by_rule[name].note(run, max(due, key=ACTIONS.index), saved)
        if reached:
            severest = max((each for due in reached.values() for each in due), key=ACTIONS.index)
            total.note(run, severest, replay.cost_after(min(stops)) if stops else 0)
    return {
        "rules_version": ruleset.version,
        "runs": len(ordered),
        "completed_well": sum(r.status == "completed" and r.outcome == "success" for r in ordered),
        "total": total.document(),
        "rules": [
            {"rule": rule.name, "kind": kind_of(rule), **by_rule[rule.name].document()}
            for rule in ruleset.rules
        ],
    }


class _Replay:
    """One run with its descendants, again from its first step."""

    def __init__(self, ruleset: Ruleset, run: Run, placed: Sequence[PlacedStep]) -> None:
        self._run = run
        self._selected = ruleset.select(run_names(run))
        counted = [
            (entry.run_id == run.run_id, Seen(entry.step, entry.cost_nano_usd))
            for entry in placed
            if entry.counted or (entry.step.kind is Kind.RUN and entry.step.role is Role.AGENT)
        ]
        self._steps = sorted(counted, key=lambda pair: pair[1].key)

    def run(
        self, sums: dict[WindowKey, float], price: Price | None
    ) -> dict[str, dict[Action, int]]:
        """Rule -> action -> position of the step with which it was first due."""
        run, selected = self._run, self._selected
        names, started_ns = run_names(run), run.started_at_ns
        watch = Watch(selected, price=price)
        running = Running(started_ns, price)
        running.spent.depth = run.max_depth
        shares = (
            [b for b in selected.budgets if b.window != "none"] if not run.parent_run_id else []
        )
        reached: dict[str, dict[Action, int]] = {}

        def others(key: WindowKey, _: float) -> float:
            return sums[key]

        def look(position: int, ending: Ending | None = None) -> None:
            amounts = drawn(selected.budgets, running.spent, run.environment)
            if shares:
                amounts += shared(
                    shares, running.spent, names, started_ns, lambda key, _: sums[key]
                )
            for finding in watch.findings(amounts, started_ns=started_ns, ending=ending):
                self._note(finding, position, reached)

        for position, (own, seen) in enumerate(self._steps):
            running.take(seen)
            if own:
                watch.add((seen,))
            look(position)
        look(len(self._steps) - 1, Ending(completed=run.status == "completed"))
        for each in shared(shares, running.spent, names, started_ns, lambda _, __: 0.0):
            key = window_key(each.budget, names, started_ns)
            if key is not None:
                sums[key] += each.used
        return reached

    def _note(self, finding: Finding, position: int, reached: dict[str, dict[Action, int]]) -> None:
        due = action(finding, self._selected.by_name[finding.rule])
        reached.setdefault(finding.rule, {}).setdefault(due, position)

    def cost_after(self, position: int) -> int:
        """Nano-USD of what came after a step."""
        return sum(seen.cost_nano_usd or 0 for _, seen in self._steps[position + 1 :])


def _descendants(run: Run, children: Mapping[str, Sequence[Run]]) -> list[Run]:
    found = [run]
    for each in found:
        found += children.get(each.run_id, ())
    return found
