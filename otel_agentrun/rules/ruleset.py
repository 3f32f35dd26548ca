"""The rules in force, compiled: which apply to a run, and what they need to be told."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun.match import Match
from otel_agentrun.rules.conduct import PolicyRule
from otel_agentrun.rules.globs import Globs
from otel_agentrun.rules.schema import Budget, Loop, Policy, Rule, RulesFile
from otel_agentrun.rules.trail import NEVER, PERIOD_MAX

__all__ = ["NAMES", "LoopRule", "Ruleset", "Selected", "plain"]

NAMES: Final = (
    "agent_name", "agent_id", "agent_role", "agent_type", "agent_version", "workflow_name",
    "task_type", "service_name", "environment", "workspace", "department", "virtual_key", "user_id",
    "session_id", "conversation_id", "trigger", "execution", "app_version", "tags",
)  # fmt: skip
"""What a rule's `match` can name of a run."""


@dataclasses.dataclass(frozen=True, slots=True)
class LoopRule:
    """A loop rule, its globs compiled."""

    loop: Loop
    tools: Globs
    exempt: Globs


class Selected:
    """The rules that apply to some runs; made once per combination."""

    __slots__ = (
        "budgets", "by_name", "floors", "loops", "policies", "rounds", "similarity", "version",
        "windowed",
    )  # fmt: skip

    def __init__(self, file: RulesFile, rules: tuple[Rule, ...], version: str) -> None:
        self.version = version
        self.similarity = file.similarity
        self.by_name: dict[str, Rule] = {rule.name: rule for rule in rules}
        self.budgets = [rule for rule in rules if isinstance(rule, Budget)]
        self.windowed = [rule for rule in self.budgets if rule.window != "none"]
        """Budgets that runs share."""
        self.loops: dict[str, list[LoopRule]] = {}
        """By pattern."""
        self.floors: dict[str, int] = {}
        """Pattern -> the least count at which some rule is due."""
        self.rounds = [NEVER] * (PERIOD_MAX + 1)
        """The same of cycles by period; a repeated call is one of period 1."""
        self.policies: list[PolicyRule] = []
        for rule in rules:
            if isinstance(rule, Loop):
                exempt = Globs((*file.polling_tools, *rule.exempt), empty_matches=False)
                compiled = LoopRule(rule, Globs(rule.tools), exempt)
                self.loops.setdefault(rule.pattern, []).append(compiled)
                floor = max(round(rule.limit * min(rule.escalate.values()) + 0.499999), 1)
                known = self.floors.get(rule.pattern, NEVER)
                self.floors[rule.pattern] = min(floor, known)
                periods = {"repeated_call": (1,), "cycle": rule.periods}.get(rule.pattern, ())
                for period in periods:
                    self.rounds[period] = min(floor, self.rounds[period])
            elif isinstance(rule, Policy):
                only_named = rule.policy == "required_step"
                self.policies.append(
                    PolicyRule(
                        rule,
                        Globs(rule.tools, empty_matches=not only_named),
                        Globs(rule.models),
                    )
                )


class Ruleset:
    """All rules that are in force.  Two with the same rules have the same `version`."""

    def __init__(self, file: RulesFile, defaults: RulesFile | None = None) -> None:
        """`defaults` are taken where `file.defaults` says so; a rule of `file` replaces the one
        with its name."""
        own = {rule.name for rule in file.rules}
        rules: list[Rule] = list(file.rules)
        if defaults is not None and file.defaults:
            rules = [*(rule for rule in defaults.rules if rule.name not in own), *rules]
        self.file = file
        self.rules = tuple(rule for rule in rules if rule.enabled and rule.escalate)
        self.version = _version(file, self.rules)
        self._matched = [rule for rule in self.rules if rule.match is not None]
        self.names: frozenset[str] = frozenset(
            name for rule in self._matched if rule.match is not None for name in rule.match.names
        )
        """What the rules look at to see whether they apply."""
        self.acts = any(
            not rule.dry_run and not rule.escalate.keys().isdisjoint(("pause", "kill"))
            for rule in self.rules
        )
        """Some pause or stop runs."""
        self._selected: dict[tuple[bool, ...], Selected] = {}

    def select(self, names: Mapping[str, object]) -> Selected:
        """The rules for a run with these names; the same object for the same rules."""
        if not self._matched and self._selected:
            return self._selected[()]
        fits = tuple(_fits(rule.match, names) for rule in self._matched)
        found = self._selected.get(fits)
        if found is None:
            left_out = {r.name for r, fit in zip(self._matched, fits, strict=True) if not fit}
            rules = tuple(rule for rule in self.rules if rule.name not in left_out)
            found = self._selected[fits] = Selected(self.file, rules, self.version)
        return found


def _fits(match: Match | None, names: Mapping[str, object]) -> bool:
    return match is None or match(names)


def plain(value: object) -> Any:
    """A rule or a whole file as JSON values, as `plain_file.read` reads them."""
    if isinstance(value, Match):
        return value.text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 5 and 5.0 are the same limit
    return value


def _version(file: RulesFile, rules: tuple[Rule, ...]) -> str:
    """12 hex over what the rules say, however the file is written."""
    by_name = sorted(rules, key=lambda rule: rule.name)
    said = [file.similarity, *file.polling_tools, *([type(r).__name__, plain(r)] for r in by_name)]
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
