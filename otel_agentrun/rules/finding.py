"""What a rule reports, and what its rule says to do about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from otel_agentrun.rules.schema import ACTIONS, Action, Budget, Loop, Rule
from otel_agentrun.step import value

__all__ = ["LOCAL", "BudgetUse", "Finding", "FindingKind", "action", "kind_of", "severity"]

FindingKind = Literal["budget", "loop", "policy"]
PROCESS: Final = frozenset({"required_step", "guessing", "unrecovered_error"})
"""Policies whose violation is a process failure: a right answer in a wrong way."""
LOCAL: Final = "local rules"
"""Actor of a finding that an application made, and acts on by itself."""
SEVERITY: Final = {"flag": "info", "warn": "warning", "pause": "critical", "kill": "critical"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule's report about one run.  It decides nothing: `action` does, from it and its rule."""

    rule: str
    kind: FindingKind
    what: str
    """The rule's measure, pattern or policy."""
    subject: str = ""
    """Tells the findings of one rule in one run apart: the span a loop began with, a tool call."""
    amount: float
    """How much: of a budget, in its unit; repetitions; violations."""
    limit: float
    explanation: str
    span_ids: tuple[str, ...] = ()
    """Evidence: spans that show it, in order."""
    at_ns: int = 0
    """When it became true: the end of the step that made it so."""
    cost_nano_usd: int = 0
    """What the repetitions cost; 0 for other kinds."""
    process_failure: bool = False
    estimated: bool = False
    """The amount includes usage estimated from text length."""

    @property
    def share(self) -> float:
        """Amount in parts of the limit; anything of a budget of 0 is beyond all shares."""
        if self.limit:
            return self.amount / self.limit
        return float("inf") if self.amount else 0.0

    def finding_id(self, run_id: str) -> str:
        """32 hex: the same finding of the same run, however far it has grown."""
        text = "\0".join((run_id, self.kind, self.rule, self.subject))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@value
class BudgetUse:
    """How far one budget of a run is used up; amounts in the unit of `kind`."""

    rule: str
    kind: str
    """The budget's measure."""
    limit: float
    used: float
    remaining: float
    """Never below 0; a child run's is at most what its parent has left."""


def due(rule: Rule, share: float) -> Action | None:
    """The severest action that this share of the limit calls for, `None` below all of them.

    A budget is exceeded past its limit, a count is reached at it.
    """
    found: Action | None = None
    for each in ACTIONS:
        threshold = rule.escalate.get(each)
        if threshold is None:
            continue
        if share > threshold or (share == threshold and not isinstance(rule, Budget)):
            found = each
    return found


def action(finding: Finding, rule: Rule) -> Action:
    """What to do about a finding: the one place where findings become actions."""
    if rule.dry_run:
        return "flag"
    return due(rule, finding.share) or "flag"


def severity(finding: Finding, rule: Rule) -> str:
    """info, warning or critical: of what its rule calls for, in a dry run as well."""
    return SEVERITY[due(rule, finding.share) or "flag"]


def kind_of(rule: Rule) -> FindingKind:
    if isinstance(rule, Budget):
        return "budget"
    return "loop" if isinstance(rule, Loop) else "policy"
