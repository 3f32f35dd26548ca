"""What is wrong with rules although every single value is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from otel_agentrun.rules.budgets import CALL_MEASURES
from otel_agentrun.rules.ruleset import NAMES
from otel_agentrun.rules.schema import ACTIONS, Budget, Loop, Policy, Rule, RulesFile

__all__ = ["Mistake", "mistakes"]

CALL_NAMES: Final = ("tool_name", "agent_name", "arguments")
"""What `when` of a policy can name."""
NEEDS: Final = {
    "approval": ("tools",),
    "forbidden_tool": ("tools",),
    "forbidden_model": ("models",),
    "required_step": ("kinds", "tools"),
}
"""Policy -> settings, one of which it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """`key` is dotted, list positions in brackets: `budgets[0].window`."""

    key: str
    expected: str
    got: str
    why: str
    fix: str


def mistakes(file: RulesFile) -> Iterator[Mistake]:
    """Every contradiction in a rules file."""
    first: dict[str, str] = {}
    for section in ("budgets", "loops", "policies"):
        for index, rule in enumerate(getattr(file, section)):
            key = f"{section}[{index}]"
            yield from _rule(rule, key)
            if rule.name in first:
                yield Mistake(
                    key=f"{key}.name", expected="a name of its own",
                    got=f"`{rule.name}`, as {first[rule.name]}",
                    why="findings of two rules could not be told apart.", fix="rename one of them.",
                )  # fmt: skip
            first.setdefault(rule.name, key)
            if isinstance(rule, Budget):
                yield from _budget(rule, key)
            elif isinstance(rule, Policy):
                yield from _policy(rule, key)
            elif isinstance(rule, Loop) and rule.period_min > rule.period_max:
                yield Mistake(
                    key=f"{key}.period_min", expected=f"at most `period_max`, {rule.period_max}",
                    got=str(rule.period_min), why="no cycle is both long and short enough.",
                    fix="lower it, or raise `period_max`.",
                )  # fmt: skip


def _rule(rule: Rule, key: str) -> Iterator[Mistake]:
    if not rule.escalate:
        yield Mistake(
            key=f"{key}.escalate", expected="at least one action", got="none",
            why="nothing would ever be found.", fix="write `{flag: 1}`, or `enabled: false`.",
        )  # fmt: skip
    shares = [(each, rule.escalate[each]) for each in ACTIONS if each in rule.escalate]
    for (mild, low), (severe, high) in pairwise(shares):
        if high < low:
            yield Mistake(
                key=f"{key}.escalate", expected=f"`{severe}` no earlier than `{mild}`",
                got=f"{severe} at {high:g} and {mild} at {low:g}",
                why="actions get severer as the limit is used up.",
                fix=f"raise `{severe}`, or leave `{mild}` out.",
            )  # fmt: skip
    if rule.match is not None:
        for name in sorted(rule.match.names):
            if name.partition(".")[0] not in NAMES:
                yield Mistake(
                    key=f"{key}.match", expected="names of a run", got=f"`{name}`",
                    why="an unknown name is always empty.", fix=f"there are {', '.join(NAMES)}.",
                )  # fmt: skip


def _budget(rule: Budget, key: str) -> Iterator[Mistake]:
    shared = rule.per not in ("run", "request")
    if shared and rule.window == "none":
        yield Mistake(
            key=f"{key}.window", expected="hour, day or month", got="none",
            why=f"the runs of one {rule.per} share the limit for some time.", fix="add `window:`.",
        )  # fmt: skip
    if not shared and rule.window != "none":
        yield Mistake(
            key=f"{key}.window", expected=f"no window with `per: {rule.per}`",
            got=f"`{rule.window}`", why="a run, or a call, has one limit.",
            fix="delete `window`, or share the limit: `per: agent`.",
        )  # fmt: skip
    if rule.per == "request" and rule.measure not in CALL_MEASURES:
        yield Mistake(
            key=f"{key}.measure", expected=", ".join(sorted(CALL_MEASURES)), got=rule.measure,
            why="a single model call has nothing else to limit.", fix="use one of these.",
        )  # fmt: skip
    if shared and rule.measure in ("depth", "fan_out", "wall_secs"):
        yield Mistake(
            key=f"{key}.measure", expected="an amount that adds up over runs", got=rule.measure,
            why="the sum over several runs means nothing.", fix="use `per: run`.",
        )  # fmt: skip
    if rule.unknown_usage == "count_steps" and not rule.unknown_call:
        yield Mistake(
            key=f"{key}.unknown_call", expected="what a call of unknown usage counts", got="0",
            why="`count_steps` would count nothing.", fix="write the amount, or use `estimate`.",
        )  # fmt: skip


def _policy(rule: Policy, key: str) -> Iterator[Mistake]:
    needed = NEEDS.get(rule.policy, ())
    if needed and not any(getattr(rule, name) for name in needed):
        yield Mistake(
            key=key, expected=f"`{'` or `'.join(needed)}` with `policy: {rule.policy}`", got="none",
            why="the rule would be about nothing.", fix=f"add `{needed[0]}:`.",
        )  # fmt: skip
    if rule.when is not None:
        for name in sorted(rule.when.names):
            if name.partition(".")[0] not in CALL_NAMES:
                yield Mistake(
                    key=f"{key}.when", expected="names of a call", got=f"`{name}`",
                    why="an unknown name is always empty.",
                    fix="there are tool_name, agent_name and arguments.<name>.",
                )  # fmt: skip
