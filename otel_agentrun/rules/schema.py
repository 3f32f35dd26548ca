"""Every kind of rule and its settings: what one writes in `rules.yaml`.

The collector's reader, `schemas/rules.schema.json` and `docs/rules.md` follow from these classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Final, Literal

from otel_agentrun.constraints import Format, Range, Refused
from otel_agentrun.match import Match

__all__ = ["ACTIONS", "Action", "Budget", "Loop", "Policy", "Rule", "RulesFile"]

Action = Literal["flag", "warn", "pause", "kill"]
ACTIONS: Final[tuple[Action, ...]] = ("flag", "warn", "pause", "kill")
"""What can be done about a finding, mildest first."""


def _rule_name(text: str) -> None:
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", text) is None:
        raise Refused(
            "1 to 64 of a-z, 0-9, _ and -, a letter first",
            "findings, metrics and the decision ledger name the rule.",
            "write a name such as `refund-cost`.",
        )


def _glob(text: str) -> None:
    if not text.strip():
        raise Refused("a glob", "an empty one matches nothing.", "write a name, or `*` for all.")


RuleName = Annotated[str, Format("rule name", _rule_name)]
Glob = Annotated[str, Format("glob", _glob)]
Share = Annotated[float, Range(0.01, 1000, "it is a part or a multiple of the limit.")]
Limit = Annotated[float, Range(0, 1e15, "it is an amount.")]
Times = Annotated[int, Range(1, 1_000_000, "it counts repetitions.")]

FLAG: Final[Mapping[Action, float]] = MappingProxyType({"flag": 1.0})
POLLING_TOOLS: Final = (
    "wait", "wait_*", "sleep", "sleep_*", "poll", "poll_*", "*_poll", "await_*", "get_*_status",
    "check_*_status", "get_status", "check_status",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What every rule has."""

    name: RuleName
    """Name in findings, metrics and the ledger; a rule named like a default one replaces it."""
    match: Match | None = None
    """Match expression over the run's names (docs/match.md); none: every run."""
    enabled: bool = True
    """`false` turns the rule off: the way to do without a default one."""
    escalate: Mapping[Action, Share] = field(default_factory=lambda: FLAG)
    """Action -> share of the limit at which it is due: `{warn: 0.8, kill: 1}`. The mildest one is
    where findings begin."""
    fail: Literal["open", "closed"] = "open"
    """What an application does when it cannot evaluate the rule: go on (`open`), or stop before the
    next step (`closed`)."""
    pause_fallback: Literal["kill", "continue"] = "continue"
    """What `pause` does where an application cannot wait: in an event loop that it would block."""
    dry_run: bool = False
    """Findings say what would have been done; nothing is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Rule):
    """An amount that may be used up. Past the limit is past it: the limit itself is allowed."""

    measure: Literal[
        "cost_usd", "tokens", "input_tokens", "output_tokens", "steps", "model_calls", "tool_calls",
        "retrievals", "retries", "plan_steps", "wall_secs", "depth", "fan_out",
    ]  # fmt: skip
    """What is counted. A run's amount includes its child runs'."""
    limit: Limit
    """USD, tokens, seconds or a number, by measure."""
    limit_by_environment: Mapping[str, Limit] = field(default_factory=dict)
    """Other limits by deployment environment: `{prod: 5, dev: 0.5}`."""
    per: Literal[
        "run", "request", "agent", "user", "session", "virtual_key", "department", "workspace"
    ] = "run"
    """Whose budget it is: each run's, each single model call's (`request`), or that of all runs of
    one agent, user, ... in a `window`."""
    window: Literal["none", "hour", "day", "month"] = "none"
    """Calendar period (UTC) over which the runs of one agent, user, ... share the limit."""
    unknown_usage: Literal["estimate", "count_steps", "ignore"] = "estimate"
    """Model calls whose tokens nobody sent: estimated from the length of their text (4 bytes a
    token), counted with `unknown_call` each, or left out. An unknown price is never guessed."""
    unknown_call: Limit = 0.0
    """What such a call counts under `count_steps`, in the limit's unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(Rule):
    """A run that repeats itself."""

    pattern: Literal[
        "repeated_call", "cycle", "near_duplicate", "reworded", "no_progress", "unrecorded",
        "ping_pong", "retry_storm", "planning",
    ]  # fmt: skip
    """`repeated_call`: the same tool with the same arguments in a row. `cycle`: a sequence of 2 to
    16 calls again and again. `near_duplicate`: the same tool in a row with almost the same
    arguments. `reworded`: the same tool in a row with the same result each time, the arguments said
    in other words and some of them again to the letter. `no_progress`: calls in a row, with one or
    other arguments, that give only results which are known already. `unrecorded`: a run that failed
    after calls of one tool, turn after turn, of which neither arguments nor results are recorded,
    although no call failed at the end. `ping_pong`: two agents that hand to each other.
    `retry_storm`: the same call failing again and again. `planning`: plans in a row with nothing
    done in between."""
    limit: Times
    """How often in all: equal calls, whole cycles, round trips, failures, plans."""
    tools: tuple[Glob, ...] = ()
    """Only loops in which one of these tools takes part; none: any."""
    exempt: tuple[Glob, ...] = ()
    """Not loops of these tools alone, besides `polling_tools`."""
    period_min: Annotated[int, Range(2, 16, "a cycle of one call is `repeated_call`.")] = 2
    """Shortest `cycle`, in calls."""
    period_max: Annotated[int, Range(2, 16, "longer cycles are not looked for.")] = 16
    """Longest `cycle`, in calls."""

    @property
    def periods(self) -> range:
        """Of the cycles it is about."""
        return range(self.period_min, self.period_max + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Rule):
    """What must, or must not, be done."""

    policy: Literal[
        "approval",
        "forbidden_tool",
        "forbidden_model",
        "required_step",
        "guessing",
        "unrecovered_error",
    ]
    """`approval`: these tools need a person's approval. `forbidden_tool`, `forbidden_model`: not to
    be used. `required_step`: before a run completes, a step of `kinds` or one of `tools` must have
    been there. `guessing`: a tool that was refused for invalid arguments is tried with other values
    although nothing was looked up in between. `unrecovered_error`: a run completes although a tool
    failed last. The last three are process failures: the answer may be right, the way was not."""
    tools: tuple[Glob, ...] = ()
    """Tools it is about; none: all (`required_step`: none)."""
    models: tuple[Glob, ...] = ()
    """Models it is about."""
    when: Match | None = None
    """Match expression over `tool_name`, `agent_name` and `arguments.<name>` of a call. Where an
    emitter does not record arguments, the rule acts by name alone."""
    kinds: tuple[Literal["plan", "model", "tool", "retrieve", "validate"], ...] = ()
    """Kinds of step, one of which is required."""
    must: Literal["be_called", "succeed"] = "succeed"
    """What is asked of a required step."""
    limit: Times = 1
    """Number of violations at which `escalate` counts 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesFile:
    """What a rules file says."""

    defaults: bool = True
    """Take the built-in rules as well: they flag, and never stop anything."""
    polling_tools: tuple[Glob, ...] = POLLING_TOOLS
    """Tools that repeat by design; a list of your own replaces the built-in one."""
    similarity: Annotated[float, Range(0.5, 1, "below half, calls have little in common.")] = 0.8
    """Share of words two calls must have in common to be near duplicates."""
    budgets: tuple[Budget, ...] = ()
    """Amounts that may be used up."""
    loops: tuple[Loop, ...] = ()
    """Runs that repeat themselves."""
    policies: tuple[Policy, ...] = ()
    """What must, or must not, be done."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        return (*self.budgets, *self.loops, *self.policies)
