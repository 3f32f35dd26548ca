"""Rules over one run, as its steps come: the same findings in whatever order they do.

    selected = ruleset.select(names)
    watch = Watch(selected)
    watch.add([Seen(step, cost_nano_usd)])
    for finding in watch.findings(drawn(selected.budgets, spent)): ...

Steps are judged by (start time, span id).  A step that comes late is put in its place, and what
follows it is judged again from the nearest checkpoint, once per `add`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final

from otel_agentrun.rules.budgets import (
    CALL_MEASURES,
    NO_UNKNOWN,
    Drawn,
    Price,
    Spent,
    Unknown,
    amount_of,
    crossing,
    estimated,
    limit_for,
)
from otel_agentrun.rules.conduct import Conduct, Ending, Violation
from otel_agentrun.rules.finding import PROCESS, Finding
from otel_agentrun.rules.ruleset import LoopRule, Selected
from otel_agentrun.rules.schema import Policy
from otel_agentrun.rules.seen import Seen
from otel_agentrun.rules.trail import MODEL, Sighting, Trail
from otel_agentrun.rules.wording import amount, budget_text, loop_text

__all__ = ["Watch"]

CHECKPOINT_STEPS: Final = 32
CHECKPOINTS_MAX: Final = 8
"""Steps that are out of order by more than 256 are judged from the run's beginning."""

OF_CALLS: Final = frozenset(
    {"repeated_call", "cycle", "near_duplicate", "reworded", "no_progress", "unrecorded"}
)
"""Loops of tool calls, which polling tools are exempt from."""

_key = attrgetter("key")


class Watch:
    """One run under its rules.  `len` is the number of its steps."""

    __slots__ = (
        "_approved", "_base", "_by_id", "_checkpoints", "_conduct", "_crossed", "_judged", "_price",
        "_requests", "_steps", "_trail", "_unknown", "selected",
    )  # fmt: skip

    def __init__(
        self,
        selected: Selected,
        *,
        price: Price | None = None,
        approved: Collection[str] = (),
    ) -> None:
        """`price` is for calls without usage; `approved` as of `Conduct`."""
        self.selected = selected
        self._price = price
        self._approved = approved
        self._steps: list[Seen] = []
        self._by_id: dict[str, Seen] = {}
        self._judged = 0
        """How many of the steps the trail and the conduct have taken."""
        self._checkpoints: list[tuple[int, Trail, Conduct | None]] = []
        self._base: tuple[Trail, Conduct | None] | None = None
        """What was judged of the steps that are forgotten."""
        self._trail = Trail(selected.floors, selected.rounds, selected.similarity)
        self._conduct = Conduct(selected.policies, approved) if selected.policies else None
        self._unknown: Unknown = NO_UNKNOWN
        self._requests: dict[tuple[str, str], Finding] = {}
        """Budgets of single calls: (rule, span id) -> finding."""
        self._crossed: dict[tuple[str, float], Seen] = {}
        """(budget, amount) -> the step that went past it; until a step comes late."""

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def steps(self) -> Sequence[Seen]:
        """In order."""
        return self._steps

    @property
    def unknown(self) -> Unknown:
        """Model calls without usage, estimated."""
        return self._unknown

    def add(self, batch: Iterable[Seen]) -> None:
        """Take steps in; one that was here is replaced."""
        steps, by_id = self._steps, self._by_id
        earliest = self._judged
        last = steps[-1].key if steps else (0, "")
        for seen in batch:
            span_id = seen.step.span_id
            known = by_id.get(span_id)
            if known is not None:
                if known.step is seen.step and known.cost_nano_usd == seen.cost_nano_usd:
                    continue
                at = self._forget(known)
                earliest = min(earliest, at)
                last = steps[-1].key if steps else (0, "")
            by_id[span_id] = seen
            if seen.key >= last:
                steps.append(seen)
                last = seen.key
            else:
                at = bisect_left(steps, seen.key, key=_key)
                steps.insert(at, seen)
                earliest = min(earliest, at)
            if seen.step.kind is MODEL:
                self._call(seen)
        if earliest < self._judged:
            self._back_to(earliest)
        self._judge()

    def remove(self, span_ids: Iterable[str]) -> None:
        """Take steps out: they turned out to be another run's, or to be told of twice."""
        earliest = self._judged
        for span_id in span_ids:
            seen = self._by_id.pop(span_id, None)
            if seen is not None:
                earliest = min(earliest, self._forget(seen))
        if earliest < self._judged:
            self._back_to(earliest)
            self._judge()

    def forget(self) -> None:
        """Keep only the newest steps (about 256), and what was judged of the others: of a run
        without end in memory that has one.  A step that comes later than that is judged last."""
        if not self._checkpoints:
            return
        dropped, trail, conduct = self._checkpoints[0]
        self._base = (trail, conduct)
        for seen in self._steps[:dropped]:
            self._by_id.pop(seen.step.span_id, None)
        del self._steps[:dropped]
        self._judged -= dropped
        self._checkpoints = [(at - dropped, t, c) for at, t, c in self._checkpoints[1:]]

    def findings(
        self,
        drawn: Sequence[Drawn] = (),
        *,
        started_ns: int = 0,
        below: Callable[[], Sequence[Seen]] = tuple,
        ending: Ending | None = None,
    ) -> list[Finding]:
        """What the rules say of the run as it stands, by time.

        `drawn` is from its budgets, by it and its descendants; `below` gives the steps of those, of
        which one may have been the one too many; `ending` is given once the run has ended.
        """
        conduct = self._conduct
        due = [each for each in drawn if each.used > each.threshold]
        if not (due or ending or self._requests or self._trail.sightings) and (
            conduct is None or not conduct.violations
        ):
            return []
        found = list(self._requests.values())
        sightings = list(self._trail.sightings.values())
        if ending is not None and not ending.completed and (stuck := self._trail.stuck()):
            sightings.append(stuck)
        for sighting in sightings:
            found += [
                _loop(sighting, rule)
                for rule in self.selected.loops.get(sighting.pattern, ())
                if _concerns(rule, sighting)
            ]
        if conduct is not None:
            violations = [*conduct.violations.values()]
            violations += conduct.at_end(ending) if ending is not None else ()
            by_name = self.selected.by_name
            found += [_violation(each, by_name[each.rule]) for each in violations]  # type: ignore[arg-type]  # rules of violations are policies
        found += [self._budget(each, below, started_ns, ending) for each in due]
        return sorted(
            (each for each in found if _is_due(each, self.selected)),
            key=lambda each: (each.at_ns, each.rule, each.subject),
        )

    # ------------------------------------------------------------------ in order

    def _judge(self) -> None:
        steps, trail, conduct = self._steps, self._trail, self._conduct
        for at in range(self._judged, len(steps)):
            seen = steps[at]
            trail.take(seen)
            if conduct is not None and (conduct.judges_models or seen.step.kind is not MODEL):
                conduct.take(seen)
            if (at + 1) % CHECKPOINT_STEPS == 0:
                copied = conduct.copy() if conduct is not None else None
                self._checkpoints.append((at + 1, trail.copy(), copied))
                if len(self._checkpoints) > CHECKPOINTS_MAX:
                    del self._checkpoints[0]
        self._judged = len(steps)

    def _back_to(self, position: int) -> None:
        """Forget what was judged from this position on."""
        self._crossed.clear()
        while self._checkpoints and self._checkpoints[-1][0] > position:
            self._checkpoints.pop()
        if self._checkpoints:
            at, trail, conduct = self._checkpoints[-1]
            self._judged, self._trail = at, trail.copy()
            self._conduct = conduct.copy() if conduct is not None else None
            return
        selected = self.selected
        self._judged = 0
        if self._base is not None:
            trail, conduct = self._base
            self._trail = trail.copy()
            self._conduct = conduct.copy() if conduct is not None else None
            return
        self._trail = Trail(selected.floors, selected.rounds, selected.similarity)
        if self._conduct is not None:
            self._conduct = Conduct(selected.policies, self._approved)

    def _forget(self, seen: Seen) -> int:
        """The position that a step had."""
        at = bisect_left(self._steps, seen.key, key=_key)
        del self._steps[at]
        if seen.step.kind is MODEL:
            if self._requests:
                for key in [key for key in self._requests if key[1] == seen.step.span_id]:
                    del self._requests[key]
            unknown = estimated(seen.step, self._price)
            if unknown is not NO_UNKNOWN:
                self._unknown += Unknown(
                    calls=-unknown.calls,
                    input_tokens=-unknown.input_tokens,
                    output_tokens=-unknown.output_tokens,
                    cost_nano_usd=-unknown.cost_nano_usd,
                )
        return at

    # ------------------------------------------------------------------ budgets

    def _call(self, seen: Seen) -> None:
        """One model call: its own limits, and what is not known of it."""
        step = seen.step
        unknown = NO_UNKNOWN
        if step.usage is None or not (step.usage.input_tokens or step.usage.output_tokens):
            unknown = estimated(step, self._price)
            if unknown is not NO_UNKNOWN:
                self._unknown += unknown
        for budget in self.selected.budgets:
            if budget.per != "request" or budget.measure not in CALL_MEASURES:
                continue
            usage = step.usage
            spent = Spent(
                cost_nano_usd=seen.cost_nano_usd or 0,
                input_tokens=(usage and usage.input_tokens) or 0,
                output_tokens=(usage and usage.output_tokens) or 0,
                unknown=unknown,
            )
            used, guessed = amount_of(budget, spent)
            limit = limit_for(budget, step.labels.get("environment", ""))
            if used > limit * min(budget.escalate.values()):
                self._requests[(budget.name, step.span_id)] = Finding(
                    rule=budget.name,
                    kind="budget",
                    what=budget.measure,
                    subject=step.span_id,
                    amount=used,
                    limit=limit,
                    explanation=f"one call of `{step.model or 'the model'}` "
                    + budget_text(budget, used, limit, estimated=guessed),
                    span_ids=(step.span_id,),
                    at_ns=step.end_ns,
                    estimated=guessed,
                )

    def _budget(
        self,
        drawn: Drawn,
        below: Callable[[], Sequence[Seen]],
        started_ns: int,
        ending: Ending | None,
    ) -> Finding:
        budget, limit, used, guessed = drawn
        threshold = drawn.reached
        at = self._crossed.get((budget.name, threshold)) if ending is None else None
        if at is None and budget.window == "none":
            every = self._steps
            if others := below():
                every = sorted((*every, *others), key=_key)
            at = crossing(budget, threshold, every, started_ns, self._price)
            if at is not None:
                self._crossed[budget.name, threshold] = at
        whose = "the run" if budget.window == "none" else f"this {budget.window} the {budget.per}"
        text = f"{whose} " + budget_text(budget, used, limit, estimated=guessed)
        past = at
        if at is not None:
            name = at.step.tool_name or at.step.model or at.step.name
            text += f"; `{name}` went past {amount(budget.measure, threshold)}"
        elif self._steps:
            past = self._steps[-1]
        return Finding(
            rule=budget.name,
            kind="budget",
            what=budget.measure,
            amount=used,
            limit=limit,
            explanation=text,
            span_ids=(past.step.span_id,) if past is not None else (),
            at_ns=past.step.end_ns if past is not None else started_ns,
            estimated=guessed,
        )


def _is_due(finding: Finding, selected: Selected) -> bool:
    rule = selected.by_name[finding.rule]
    least = min(rule.escalate.values())
    return finding.share >= least


def _concerns(rule: LoopRule, sighting: Sighting) -> bool:
    """Whether a pattern is one that the rule looks for."""
    names = sighting.names
    if sighting.pattern in OF_CALLS:
        if all(rule.exempt.match(name) for name in names):
            return False
        if not any(rule.tools.match(name) for name in names):
            return False
    elif rule.loop.tools and not any(rule.tools.match(name) for name in names):
        return False
    return sighting.pattern != "cycle" or sighting.period in rule.loop.periods


def _loop(sighting: Sighting, rule: LoopRule) -> Finding:
    return Finding(
        rule=rule.loop.name,
        kind="loop",
        what=sighting.pattern,
        subject=sighting.first.step.span_id,
        amount=sighting.times,
        limit=rule.loop.limit,
        explanation=loop_text(sighting),
        span_ids=sighting.spans,
        at_ns=sighting.last.step.end_ns,
        cost_nano_usd=sighting.cost_nano_usd,
    )


def _violation(violation: Violation, policy: Policy) -> Finding:
    return Finding(
        rule=violation.rule,
        kind="policy",
        what=policy.policy,
        subject=violation.subject,
        amount=violation.amount,
        limit=policy.limit,
        explanation=violation.explanation,
        span_ids=violation.spans,
        at_ns=violation.at_ns,
        process_failure=policy.policy in PROCESS,
    )
