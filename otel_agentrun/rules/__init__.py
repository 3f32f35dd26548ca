"""Budgets, loops and policies: pure functions of a run's steps, for applications and the collector.

A rule reports (`Finding`); `action` says what its settings call for; who does it is elsewhere.
"""

from __future__ import annotations

from otel_agentrun.rules.budgets import Spent
from otel_agentrun.rules.conduct import Ending
from otel_agentrun.rules.defaults import DEFAULTS
from otel_agentrun.rules.finding import BudgetUse, Finding, action, severity
from otel_agentrun.rules.ruleset import Ruleset, Selected
from otel_agentrun.rules.schema import ACTIONS, Action, Budget, Loop, Policy, Rule, RulesFile
from otel_agentrun.rules.seen import Seen
from otel_agentrun.rules.watch import Watch

__all__ = [
    "ACTIONS", "DEFAULTS", "Action", "Budget", "BudgetUse", "Ending", "Finding", "Loop", "Policy",
    "Rule", "RulesFile", "Ruleset", "Seen", "Selected", "Spent", "Watch", "action", "severity",
]  # fmt: skip
