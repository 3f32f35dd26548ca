"""What a check found, equal problems counted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from collector.semconv.conformance import check
from collector.semconv.problem import Observed, Problem, Severity
from collector.semconv.registry import Registry
from otel_agentrun.semconv import STEP_KIND

PLACES_MAX: Final = 3
"""Places of one problem that are kept."""


@dataclass(slots=True)
class Found:
    """Equal problems: one of them, how many there are, and where the first ones are."""

    problem: Problem
    count: int = 0
    where: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a check."""

    checked: Counter[str]
    """Signal -> how many of it were looked at."""
    steps: Counter[str]
    """Step kind -> how many spans of ours were looked at."""
    found: tuple[Found, ...]
    """Violations before advice, then the most frequent ones."""
    unreadable: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        return sum(one.count for one in self.found if one.problem.severity is severity)

    @property
    def conforms(self) -> bool:
        """Nothing is violated, and everything could be read."""
        return not self.unreadable and not self.count(Severity.VIOLATION)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "conforms": self.conforms,
            "violations": self.count(Severity.VIOLATION),
            "advice": self.count(Severity.ADVICE),
            "checked": dict(self.checked),
            "steps": dict(self.steps),
            "problems": [
                {
                    "severity": one.problem.severity.value,
                    "rule": one.problem.rule,
                    "subject": one.problem.subject,
                    "attribute": one.problem.attribute or None,
                    "what": one.problem.what,
                    "why": one.problem.why,
                    "fix": one.problem.fix,
                    "count": one.count,
                    "where": one.where,
                }
                for one in self.found
            ],
            "unreadable": list(self.unreadable),
        }


def examine(seen: Iterable[Observed], registry: Registry) -> Report:
    """Check everything and count equal problems together."""
    checked: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    found: dict[Problem, Found] = {}
    for one in seen:
        checked[one.signal.value] += 1
        kind = one.attributes.get(STEP_KIND)
        if one.signal == "span" and isinstance(kind, str) and kind in registry.spans:
            steps[kind] += 1
        for problem in check(one, registry):
            equal = found.setdefault(replace(problem, where=""), Found(problem=problem))
            equal.count += 1
            if len(equal.where) < PLACES_MAX and problem.where not in equal.where:
                equal.where.append(problem.where)
    order = sorted(
        found.values(),
        key=lambda one: (one.problem.severity is Severity.ADVICE, -one.count, one.problem.subject),
    )
    return Report(checked=checked, steps=steps, found=tuple(order))
