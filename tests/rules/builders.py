"""Rules and steps for tests: what a test does not name does not matter to it."""

from __future__ import annotations

from typing import Any

from otel_agentrun.rules import (
    Budget,
    Ending,
    Finding,
    Loop,
    Policy,
    Rule,
    Ruleset,
    RulesFile,
    Seen,
    Spent,
    Watch,
)
from otel_agentrun.rules.budgets import drawn
from otel_agentrun.step import Kind, Step
from tests.runs.builders import a_step, tool

__all__ = ["a_file", "call", "found", "plan", "seen", "watched"]


def a_file(*rules: Rule, **settings: Any) -> RulesFile:
    return RulesFile(
        budgets=tuple(rule for rule in rules if isinstance(rule, Budget)),
        loops=tuple(rule for rule in rules if isinstance(rule, Loop)),
        policies=tuple(rule for rule in rules if isinstance(rule, Policy)),
        **{"defaults": False, **settings},
    )


def call(number: int, name: str = "search", digest: str = "d", **fields: Any) -> Step:
    """Tool call number `number`, one a millisecond."""
    return tool(number, 0, name, digest, start=number, end=number + 1, **fields)


def plan(number: int) -> Step:
    return a_step(number, kind=Kind.PLAN, start=number, end=number + 1)


def seen(steps: list[Step], cost_nano_usd: int | None = None) -> list[Seen]:
    return [Seen(step, cost_nano_usd) for step in steps]


def watched(file: RulesFile, steps: list[Step], **facts: Any) -> Watch:
    watch = Watch(Ruleset(file).select({}), **facts)
    watch.add(seen(steps))
    return watch


def found(
    file: RulesFile, steps: list[Step], spent: Spent | None = None, ending: Ending | None = None
) -> list[Finding]:
    """Findings of the rules of `file` alone."""
    watch = watched(file, steps)
    amounts = drawn(watch.selected.budgets, spent) if spent is not None else ()
    return watch.findings(amounts, ending=ending)
