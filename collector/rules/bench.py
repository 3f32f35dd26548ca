"""Rules and stored runs: what the API and the command line do with them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from collector.rules.backtest import backtest
from collector.rules.file import parse_rules
from collector.rules.suggest import suggest
from collector.runs.run import PlacedStep
from collector.store.filters import RunFilter
from collector.store.reader import Reader
from otel_agentrun.rules import DEFAULTS, Budget, Loop, Policy, Ruleset
from otel_agentrun.rules.budgets import Price
from otel_agentrun.rules.ruleset import plain

__all__ = ["backtest_stored", "in_force", "suggest_stored"]

Document = dict[str, Any]
SOURCE: Final = "rules.yaml"


def in_force(ruleset: Ruleset) -> Document:
    """`{version, file}`: the defaults among them are spelled out."""
    of: dict[str, list[Any]] = {"budgets": [], "loops": [], "policies": []}
    for rule in ruleset.rules:
        section = {Budget: "budgets", Loop: "loops", Policy: "policies"}[type(rule)]
        of[section].append(plain(rule))
    file = {
        "defaults": False,
        "polling_tools": list(ruleset.file.polling_tools),
        "similarity": ruleset.file.similarity,
        **of,
    }
    return {"version": ruleset.version, "file": file}


def backtest_stored(
    reader: Reader, rules: str, wanted: RunFilter, price: Price | None = None
) -> Document:
    """What a rules file (its text) would have done.  Raises ConfigError, StoreError."""
    ruleset = Ruleset(parse_rules(rules, SOURCE), DEFAULTS)
    runs = [run for run in reader.runs(wanted) if run.ended_at_ns]
    steps: dict[str, list[PlacedStep]] = defaultdict(list)
    for placed in reader.steps(runs):
        steps[placed.run_id].append(placed)
    return backtest(ruleset, runs, steps, price)


def suggest_stored(reader: Reader, wanted: RunFilter, percentile: float, margin: float) -> Document:
    """Budgets from history.  Raises StoreError."""
    return suggest(reader.runs(wanted), percentile=percentile, margin=margin)
