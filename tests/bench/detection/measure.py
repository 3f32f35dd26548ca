"""Precision and recall of the default loop rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from otel_agentrun.rules import DEFAULTS, Finding, Ruleset, RulesFile, Seen, Watch
from tests.bench.detection.injected import Injected, injections
from tests.bench.detection.trajectories import trajectories

SEED = 5
SELECTED = Ruleset(RulesFile(), DEFAULTS).select({})


@dataclass(slots=True)
class Score:
    """Of one rule over the injected loops."""

    injected: int = 0
    found: int = 0
    """In time: within two periods of being provable."""
    false: int = 0
    """Trajectories flagged by it before any loop began, or without any."""

    @property
    def recall(self) -> float:
        return self.found / self.injected if self.injected else 1.0

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.false) if self.found else 1.0


@dataclass(slots=True)
class Report:
    trajectories: int = 0
    flagged: list[tuple[int, Finding]] = field(default_factory=list)
    """(number, finding) of loops found in what was recorded."""
    scores: dict[str, Score] = field(default_factory=dict)
    """By pattern."""
    missed: Counter[str] = field(default_factory=Counter)


def loops(steps: Sequence[Seen]) -> list[Finding]:
    watch = Watch(SELECTED)
    watch.add(steps)
    return [finding for finding in watch.findings() if finding.kind == "loop"]


def found_in_time(case: Injected) -> bool:
    """Whether the rule for this pattern has found it by the deadline: an injected cycle may be a
    repeated call to boot, so that any loop rule counts whose evidence lies in the loop."""
    watch = Watch(SELECTED)
    watch.add(case.steps[: case.deadline + 1])
    begin = case.steps[case.provable_at].key
    return any(
        finding.what == case.pattern
        and any(
            seen.key >= begin for seen in watch.steps if seen.step.span_id in finding.span_ids[-1:]
        )
        for finding in watch.findings()
    )


def measure() -> Report:
    """Over all recorded trajectories; an empty report without the file."""
    rng = Random(SEED)
    report = Report()
    for number, steps in enumerate(trajectories()):
        report.trajectories += 1
        for finding in loops(steps):
            report.flagged.append((number, finding))
            report.scores.setdefault(finding.what, Score()).false += 1
        for case in injections(steps, rng):
            score = report.scores.setdefault(case.pattern, Score())
            score.injected += 1
            if found_in_time(case):
                score.found += 1
            else:
                report.missed[case.pattern] += 1
    return report
