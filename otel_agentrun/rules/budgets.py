"""How far budgets are used up: amounts of a run against limits, and the step that went past one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from otel_agentrun.rules.finding import BudgetUse
from otel_agentrun.rules.schema import Budget
from otel_agentrun.rules.seen import Seen
from otel_agentrun.step import COUNTED, Kind, Step, Usage

__all__ = [
    "NO_UNKNOWN", "Drawn", "Price", "Running", "Spent", "Unknown", "WindowKey", "amount_of",
    "crossing", "drawn", "estimated", "field_of", "limit_for", "shared", "window_key",
    "window_start_ns",
]  # fmt: skip

NANO: Final = 1_000_000_000
BYTES_PER_TOKEN: Final = 4
"""What an English token takes on average; the estimate is marked as one."""

Price = Callable[[Usage, str, str, int], tuple[int | None, str]]
"""(usage, provider, model, at_ns) -> (nano-USD or `None`, how sure that is)."""
WindowKey = tuple[str, str, str, int]
"""(rule, workspace, whose budget it is, start of the window in Unix ns)."""

COUNTERS: Final[Mapping[Kind, str]] = {
    Kind.MODEL: "model_calls",
    Kind.TOOL: "tool_calls",
    Kind.RETRIEVE: "retrievals",
    Kind.PLAN: "plan_steps",
}
CALL_MEASURES: Final = frozenset({"cost_usd", "tokens", "input_tokens", "output_tokens"})
"""What a single model call has, too (`per: request`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Model calls of a run whose usage nobody sent, and what text length makes of them."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0
    """Of those whose price is known."""

    def __add__(self, other: Unknown) -> Unknown:
        return Unknown(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
        )


NO_UNKNOWN: Final = Unknown()


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a run with its descendants has used so far; the part that nobody sent is `unknown`."""

    cost_nano_usd: int = 0
    """Of what has a known price."""
    input_tokens: int = 0
    output_tokens: int = 0
    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    retrievals: int = 0
    retries: int = 0
    plan_steps: int = 0
    wall_ns: int = 0
    depth: int = 0
    """Levels of runs: 1 for a run without children."""
    fan_out: int = 0
    """Most calls that were asked for, or children that ran, at once."""
    unknown: Unknown = NO_UNKNOWN


def estimated(step: Step, price: Price | None) -> Unknown:
    """What text length says of an answered model call without usage; nothing of any other step."""
    usage = step.usage
    known = usage is not None and (
        usage.input_tokens is not None or usage.output_tokens is not None
    )
    if step.kind is not Kind.MODEL or known or step.failed:
        return NO_UNKNOWN
    given = -(-step.input_bytes // BYTES_PER_TOKEN)
    answered = -(-step.output_bytes // BYTES_PER_TOKEN)
    cost = None
    if price is not None and step.cost_nano_usd is None:
        guess = Usage(input_tokens=given, output_tokens=answered)
        cost, _ = price(guess, step.provider, step.model, step.start_ns)
    return Unknown(calls=1, input_tokens=given, output_tokens=answered, cost_nano_usd=cost or 0)


def amount_of(budget: Budget, spent: Spent) -> tuple[float, bool]:
    """(amount in the limit's unit, whether it includes an estimate)."""
    measure, unknown = budget.measure, spent.unknown
    if measure == "cost_usd":
        known, guessed = spent.cost_nano_usd / NANO, unknown.cost_nano_usd / NANO
    elif measure == "tokens":
        known = float(spent.input_tokens + spent.output_tokens)
        guessed = float(unknown.input_tokens + unknown.output_tokens)
    elif measure == "input_tokens":
        known, guessed = float(spent.input_tokens), float(unknown.input_tokens)
    elif measure == "output_tokens":
        known, guessed = float(spent.output_tokens), float(unknown.output_tokens)
    elif measure == "wall_secs":
        return spent.wall_ns / NANO, False
    else:
        return float(getattr(spent, measure)), False
    if not unknown.calls or budget.unknown_usage == "ignore":
        return known, False
    if budget.unknown_usage == "count_steps":
        guessed = unknown.calls * budget.unknown_call
    return known + guessed, guessed > 0


def limit_for(budget: Budget, environment: str) -> float:
    others = budget.limit_by_environment
    return others.get(environment, budget.limit) if others else budget.limit


class Drawn(NamedTuple):
    """One budget of one run, and what was drawn from it."""

    budget: Budget
    limit: float
    used: float
    is_estimated: bool

    @property
    def threshold(self) -> float:
        """The amount past which the mildest action is due."""
        return self.limit * min(self.budget.escalate.values())

    @property
    def reached(self) -> float:
        """The greatest amount past which an action is due and that was used."""
        amounts = [self.limit * share for share in self.budget.escalate.values()]
        return max((each for each in amounts if self.used > each), default=self.threshold)

    def use(self, parent: BudgetUse | None = None) -> BudgetUse:
        """`parent` is the same budget's use by the run above: no more than that is left."""
        remaining = max(self.limit - self.used, 0.0)
        if parent is not None:
            remaining = min(remaining, parent.remaining)
        return BudgetUse(
            rule=self.budget.name,
            kind=self.budget.measure,
            limit=self.limit,
            used=self.used,
            remaining=remaining,
        )


def drawn(budgets: Iterable[Budget], spent: Spent, environment: str = "") -> list[Drawn]:
    """What a run has drawn from those of `budgets` that are each run's own."""
    return [
        Drawn(budget, limit_for(budget, environment), *amount_of(budget, spent))
        for budget in budgets
        if budget.per == "run"
    ]


def shared(
    budgets: Iterable[Budget],
    spent: Spent,
    names: Mapping[str, object],
    started_ns: int,
    sums: Callable[[WindowKey, float], float],
) -> list[Drawn]:
    """What a root run and others have drawn from the budgets that they share.

    `sums` is told what the run has drawn from one, and gives what the *other* runs have, in its
    unit: rules have no store.
    """
    found = []
    for budget in budgets:
        key = window_key(budget, names, started_ns)
        if key is not None:
            own, is_estimated = amount_of(budget, spent)
            limit = limit_for(budget, str(names.get("environment", "")))
            found.append(Drawn(budget, limit, own + sums(key, own), is_estimated))
    return found


class Running:
    """What a run has used after each of its steps, taken in order."""

    __slots__ = ("_failed", "_price", "_start_ns", "spent")

    def __init__(self, start_ns: int, price: Price | None = None) -> None:
        self.spent = Spent(depth=1)
        self._start_ns = start_ns
        self._price = price
        self._failed: set[tuple[str, str, str]] = set()

    def take(self, seen: Seen) -> None:
        step, spent = seen.step, self.spent
        if step.kind not in COUNTED:
            return
        spent.steps += 1
        spent.cost_nano_usd += seen.cost_nano_usd or 0
        spent.wall_ns = max(spent.wall_ns, step.end_ns - self._start_ns)
        spent.fan_out = max(spent.fan_out, len(step.tool_requests))
        if step.usage is not None:
            spent.input_tokens += step.usage.input_tokens or 0
            spent.output_tokens += step.usage.output_tokens or 0
        unknown = estimated(step, self._price)
        if unknown is not NO_UNKNOWN:
            spent.unknown += unknown
        counter = COUNTERS.get(step.kind)
        if counter is not None:
            setattr(spent, counter, getattr(spent, counter) + 1)
        call = (step.kind.value, step.tool_name or step.name, step.arguments_digest)
        if step.kind is Kind.MODEL:
            call = (step.kind.value, "", "")
        spent.retries += call in self._failed
        (self._failed.add if step.failed else self._failed.discard)(call)


def crossing(
    budget: Budget, threshold: float, steps: Iterable[Seen], start_ns: int, price: Price | None
) -> Seen | None:
    """The first of the steps, in order, with which the amount is past `threshold`.

    `None` where no step alone shows it: depth, usage that only an agent span states.
    """
    running = Running(start_ns, price)
    if budget.measure == "depth":
        return None
    for seen in steps:
        running.take(seen)
        if amount_of(budget, running.spent)[0] > threshold:
            return seen
    return None


# Windows ------------------------------------------------------------------------------------------


def window_start_ns(window: str, at_ns: int) -> int:
    """Start of the calendar hour, day or month (UTC) that holds a time, in Unix ns."""
    moment = datetime.fromtimestamp(at_ns // NANO, UTC).replace(minute=0, second=0, microsecond=0)
    if window in ("day", "month"):
        moment = moment.replace(hour=0)
    if window == "month":
        moment = moment.replace(day=1)
    return int(moment.timestamp()) * NANO


def window_key(budget: Budget, names: Mapping[str, object], at_ns: int) -> WindowKey | None:
    """Whose budget a run that began at `at_ns` draws from; `None` where the run does not say."""
    whose = names.get(field_of(budget))
    if budget.window == "none" or not whose:
        return None
    workspace = str(names.get("workspace", ""))
    return (budget.name, workspace, str(whose), window_start_ns(budget.window, at_ns))


def field_of(budget: Budget) -> str:
    """The run's field that says whose budget it is."""
    fields = {"agent": "agent_name", "user": "user_id", "session": "session_id"}
    return fields.get(budget.per, budget.per)
