"""Steps that stay together whatever run they turn out to belong to, and what adds up over them.

A bucket holds the steps below one *top*: an agent invocation, a span without a parent, or a span
that has not arrived.  Everything in it is associative and commutative (sums, minima, sorted
attempts), so that steps may arrive in any order, and two buckets can be merged when the span
between them arrives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import add, attrgetter

from collector.runs.calls import Call, CallCost
from collector.runs.run import COUNT_NAMES, Counts
from otel_agentrun.dialects.kinds import HANDOFF, MODEL, RESPONSE, RETRIEVE, TOLD, TOOL, VALIDATE
from otel_agentrun.step import COUNTED, Kind, Step, Usage

Price = Callable[[Usage, str, str, int], tuple[int | None, str]]
"""(usage, provider, model, at_ns) -> (nano-USD or `None`, exact | estimated | unknown)."""
ToolPrice = Callable[[Step], int | None]
"""What one tool call costs, or one call of a paid endpoint; `None` where no list says."""

FAR_NS = 1 << 63
ATTEMPTS_MAX = 100
"""Repetitions are numbered up to here."""
REWRITE = ("", "", "", "")
"""`placed_as` of a bucket whose steps were written under different runs."""
HIDDEN = ("-", "", "", "")
"""`placed_as` of told steps that are in no run: spans of their own have come."""


class Node:
    """A step in its trace, and what was last written of it."""

    __slots__ = ("bucket", "call", "dirty", "duplicate_of", "step")

    def __init__(self, step: Step, bucket: Bucket) -> None:
        self.step = step
        self.bucket = bucket
        self.call: Call | None = None
        self.duplicate_of = ""
        self.dirty = True

    def touch(self) -> None:
        """What is to be written of this step has changed."""
        if not self.dirty:
            self.dirty = True
            self.bucket.find().fresh.append(self)


@dataclass(slots=True)
class Tally:
    """`Counts` that can be added to, and how many calls were priced in which way."""

    steps: int = 0
    plan_steps: int = 0
    model_calls: int = 0
    model_errors: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    retrievals: int = 0
    validations: int = 0
    retries: int = 0
    handoffs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    model_cost_nano_usd: int = 0
    tool_cost_nano_usd: int = 0
    payment_cost_nano_usd: int = 0
    revenue_nano_usd: int = 0
    calls_estimated: int = 0
    calls_from_emitter: int = 0
    calls_from_prices: int = 0
    calls_unpriced: int = 0
    calls_without_usage: int = 0
    """Answered and without tokens."""
    calls_with_usage: int = 0
    calls_without_cached: int = 0
    """Of those with usage; likewise the next."""
    calls_without_reasoning: int = 0
    tools_without_arguments: int = 0
    tools_without_results: int = 0
    """Of those that worked."""
    duplicate_spans: int = 0
    calls_told: int = 0
    """Model calls without a span of their own."""
    tools_told: int = 0
    """Tool calls without one."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*map(add, _tallied(self), _tallied(other)))

    def copy(self) -> Tally:
        return Tally(*_tallied(self))

    def counts(self) -> Counts:
        return Counts(**dict(zip(COUNT_NAMES, _counted(self), strict=True)))


_tallied = attrgetter(*(field.name for field in fields(Tally)))
_counted = attrgetter(*COUNT_NAMES)


@dataclass(slots=True)
class Attempts:
    """Repetitions of one call (kind, name, arguments), by (start time, span id)."""

    entries: list[tuple[int, str, bool, Node]] = field(default_factory=list)
    """(start_ns, span id, failed, node); the first two are unique, so nodes are never compared."""
    failures: int = 0

    @property
    def retries(self) -> int:
        """Calls that directly follow a failed one."""
        return self.failures - (1 if self.entries and self.entries[-1][2] else 0)

    def insert(self, node: Node, failed: bool) -> None:
        step, entries = node.step, self.entries
        entry = (step.start_ns, step.span_id, failed, node)
        self.failures += failed
        if not entries or entries[-1][0] < step.start_ns:
            entries.append(entry)
            return
        at = bisect_left(entries, entry[:2])
        entries.insert(at, entry)
        self._touch(at + 1)

    def remove(self, node: Node, failed: bool) -> None:
        at = bisect_left(self.entries, (node.step.start_ns, node.step.span_id))
        del self.entries[at]
        self.failures -= failed
        self._touch(at)

    def _touch(self, at: int) -> None:
        """What follows an attempt that came or went is numbered anew."""
        while at < len(self.entries):
            _, _, failed, node = self.entries[at]
            node.touch()
            if not failed:
                return
            at += 1

    def previous(self, step: Step) -> tuple[str, int]:
        """(span id of the failed attempt before this one, how many failed in a row) or ("", 0)."""
        at = bisect_left(self.entries, (step.start_ns, step.span_id))
        count = 0
        while at - count > 0 and self.entries[at - count - 1][2] and count < ATTEMPTS_MAX:
            count += 1
        return (self.entries[at - 1][1], count) if count else ("", 0)


AttemptKey = tuple[str, str, str]
MODEL_ATTEMPTS: AttemptKey = ("model", "", "")


def attempt_key(step: Step) -> AttemptKey:
    """Model calls of one agent repeat each other; tools repeat with equal arguments."""
    if step.kind is MODEL:
        return MODEL_ATTEMPTS
    return (step.kind, step.tool_name or step.name, step.arguments_digest)


class Bucket:
    """See the module's text.  `top` is `None` while the span on top has not arrived."""

    __slots__ = (
        "agent_name",
        "aggregate",
        "attempts",
        "busy",
        "busy_ns",
        "dialects",
        "end_ns",
        "failures",
        "fan_out",
        "first_model",
        "fresh",
        "labels",
        "last_model",
        "merged_into",
        "models",
        "nodes",
        "placed_as",
        "providers",
        "responses",
        "run_id",
        "start_ns",
        "tally",
        "told",
        "tools",
        "top",
        "top_span_id",
    )  # fmt: skip

    def __init__(self, top_span_id: str) -> None:
        self.top_span_id = top_span_id
        self.top: Step | None = None
        self.merged_into: Bucket | None = None
        self.nodes: list[Node] = []
        self.fresh: list[Node] = []
        """Nodes that are new or changed since the last flush."""
        self.tally = Tally()
        self.start_ns = FAR_NS
        self.end_ns = 0
        self.labels: dict[int, tuple[int, str, Mapping[str, str]]] = {}
        """id of an interned mapping -> (start_ns, span id, mapping) of the first step with it."""
        self.agent_name: tuple[int, str, str] | None = None
        self.run_id: tuple[int, str, str] | None = None
        """The first explicit run id, with the (start_ns, span id) that stated it."""
        self.aggregate: Step | None = None
        """The outermost agent or chain span that states usage: read where no model span does."""
        self.first_model: Step | None = None
        self.last_model: Step | None = None
        self.busy: list[tuple[int, int]] = []
        """Disjoint intervals covered by counted steps, in order."""
        self.busy_ns = 0
        """Their sum."""
        self.responses: tuple[int, str, Step] | None = None
        """The last explicit final-response step."""
        self.attempts: dict[AttemptKey, Attempts] = {}
        self.failures = 0
        """Failed ones among them."""
        self.models: dict[str, int] = {}
        self.providers: dict[str, int] = {}
        self.tools: dict[str, int] = {}
        self.dialects: dict[str, int] = {}
        self.fan_out = 0
        self.told: dict[Kind, Bucket] = {}
        """Calls that spans in here tell of, apart: a run without any span of that kind has them
        (identity.py)."""
        self.placed_as: tuple[str, str, str, str] | None = None
        """(run id, agent name, parent run id, group id) that the steps were last written with."""

    def told_of(self, kind: Kind) -> Bucket:
        found = self.told.get(kind)
        if found is None:
            found = self.told[kind] = Bucket(self.top_span_id)
        return found

    def find(self) -> Bucket:
        bucket = self
        while bucket.merged_into is not None:
            if bucket.merged_into.merged_into is not None:
                bucket.merged_into = bucket.merged_into.merged_into
            bucket = bucket.merged_into
        return bucket

    def add(self, node: Node, tool_price: ToolPrice) -> None:
        """Count one step; a model call's usage follows with `add_call`."""
        step = node.step
        # Compared with longer tuples that begin alike: (start, span id) < (start, span id, ...).
        key = (step.start_ns, step.span_id)
        self.nodes.append(node)
        self.fresh.append(node)
        if step.start_ns < self.start_ns:
            self.start_ns = step.start_ns
        if step.end_ns > self.end_ns:
            self.end_ns = step.end_ns
        labels = step.labels
        if labels:
            entry = self.labels.get(id(labels))
            if entry is None or key < entry:
                self.labels[id(labels)] = (*key, labels)
        if step.run_id and (self.run_id is None or key < self.run_id):
            self.run_id = (*key, step.run_id)
        if step.agent_name and (self.agent_name is None or key < self.agent_name):
            self.agent_name = (*key, step.agent_name)
        if step.dialect:
            self.dialects[step.dialect] = self.dialects.get(step.dialect, 0) + 1
        if step.revenue_nano_usd or step.payment_nano_usd:
            self.tally.revenue_nano_usd += step.revenue_nano_usd
            self.tally.payment_cost_nano_usd += step.payment_nano_usd
        kind = step.kind
        if kind is MODEL:
            self.busy_ns += cover(self.busy, step.start_ns, step.end_ns)
            if self.last_model is None or key > self.last_model.key:
                self.last_model = step
            if self.first_model is None or key < self.first_model.key:
                self.first_model = step
            if len(step.tool_requests) > self.fan_out:
                self.fan_out = len(step.tool_requests)
        elif kind in COUNTED:
            self.busy_ns += cover(self.busy, step.start_ns, step.end_ns)
            self._count(node, kind, tool_price)
        elif step.endpoint:
            self.tally.payment_cost_nano_usd += tool_price(step) or 0
        elif step.usage is not None and (self.aggregate is None or key < self.aggregate.key):
            self.aggregate = step
        if step.role is RESPONSE and (self.responses is None or key > self.responses[:2]):
            self.responses = (*key, step)

    def supersede(self, before: Step, step: Step) -> None:
        """A step is now another one that counts alike: what its span says besides is added."""
        key, labels = step.key, step.labels
        if labels:
            entry = self.labels.get(id(labels))
            if entry is None or key < entry[:2]:
                self.labels[id(labels)] = (*key, labels)
        if step.dialect:
            self.dialects[step.dialect] = self.dialects.get(step.dialect, 0) + 1
        self.amend(before, step)

    def amend(self, before: Step, step: Step) -> None:
        """A step is now another one, at the same place."""
        if self.last_model is before:
            self.last_model = step
        if self.first_model is before:
            self.first_model = step
        if self.responses is not None and self.responses[2] is before:
            self.responses = (*step.key, step)
        self.fan_out = max(self.fan_out, len(step.tool_requests))

    def _count(self, node: Node, kind: Kind, tool_price: ToolPrice) -> None:
        step, tally = node.step, self.tally
        failed = step.failed
        tally.steps += 1
        if kind is TOOL:
            tally.tool_calls += 1
            tally.tool_errors += failed
            tally.tools_told += step.role is TOLD
            if not step.arguments_digest:
                tally.tools_without_arguments += 1
            if not step.result_digest and not failed:
                tally.tools_without_results += 1
            name = step.tool_name or step.name
            self.tools[name] = self.tools.get(name, 0) + 1
            if step.role is HANDOFF:
                tally.handoffs += 1
        elif kind is RETRIEVE:
            tally.retrievals += 1
        elif kind is VALIDATE:
            tally.validations += 1
        else:
            tally.plan_steps += 1
        price = step.cost_nano_usd if step.cost_nano_usd is not None else tool_price(step)
        if price:
            tally.tool_cost_nano_usd += price
        self.attempt(node, failed)

    def add_call(self, cost: CallCost, node: Node, sign: int = 1) -> None:
        """Count one logical model call, or take it back (`sign` -1) before it changes."""
        tally, merged = self.tally, cost.merged
        tally.steps += sign
        tally.model_calls += sign
        tally.model_errors += sign * merged.failed
        usage = merged.usage
        if usage is not None and (
            usage.input_tokens is not None or usage.output_tokens is not None
        ):
            tally.calls_with_usage += sign
            if usage.cache_read_tokens is None:
                tally.calls_without_cached += sign
            if usage.reasoning_tokens is None:
                tally.calls_without_reasoning += sign
            tally.input_tokens += sign * (usage.input_tokens or 0)
            tally.output_tokens += sign * (usage.output_tokens or 0)
            tally.cache_read_tokens += sign * (usage.cache_read_tokens or 0)
            tally.cache_write_tokens += sign * (usage.cache_write_tokens or 0)
            tally.reasoning_tokens += sign * (usage.reasoning_tokens or 0)
        elif not merged.failed:
            tally.calls_without_usage += sign
        tally.duplicate_spans += sign * (merged.spans - 1)
        if merged.counting.role is TOLD:
            tally.calls_told += sign
        tally.model_cost_nano_usd += sign * (cost.cost_nano_usd or 0)
        if cost.confidence == "unknown":
            tally.calls_unpriced += sign
        elif cost.confidence == "estimated":
            tally.calls_estimated += sign
        if merged.cost_nano_usd is not None:
            tally.calls_from_emitter += sign
        elif cost.cost_nano_usd is not None:
            tally.calls_from_prices += sign
        for names, name in ((self.models, merged.model), (self.providers, merged.provider)):
            if name:
                names[name] = names.get(name, 0) + sign
        self.attempt(node, merged.failed, sign)

    def attempt(self, node: Node, failed: bool, sign: int = 1) -> None:
        """Note a call that may repeat another or be repeated."""
        key = attempt_key(node.step)
        attempts = self.attempts.get(key)
        if attempts is None:
            attempts = self.attempts[key] = Attempts()
        if failed:
            self.failures += sign
        elif not attempts.failures and sign > 0:  # nothing to repeat
            attempts.insert(node, failed)
            return
        before = attempts.retries
        if sign > 0:
            attempts.insert(node, failed)
        else:
            attempts.remove(node, failed)
        self.tally.retries += attempts.retries - before

    def attempts_of(self, step: Step) -> Attempts | None:
        return self.attempts.get(attempt_key(step))

    def absorb(self, other: Bucket) -> None:
        """Take everything of `other`; which top they are under is the caller's concern."""
        other.merged_into = self
        self.nodes += other.nodes
        self.fresh += other.fresh
        retries = self.tally.retries + other.tally.retries
        self.tally += other.tally
        self.start_ns = min(self.start_ns, other.start_ns)
        self.end_ns = max(self.end_ns, other.end_ns)
        for key, stated in other.labels.items():
            mine = self.labels.get(key)
            if mine is None or stated[:2] < mine[:2]:
                self.labels[key] = stated
        self.agent_name = earliest(self.agent_name, other.agent_name)
        self.run_id = earliest(self.run_id, other.run_id)
        if other.aggregate is not None and (
            self.aggregate is None or other.aggregate.key < self.aggregate.key
        ):
            self.aggregate = other.aggregate
        if other.last_model is not None and (
            self.last_model is None or other.last_model.key > self.last_model.key
        ):
            self.last_model = other.last_model
        if other.first_model is not None and (
            self.first_model is None or other.first_model.key < self.first_model.key
        ):
            self.first_model = other.first_model
        for start_ns, end_ns in other.busy:
            self.busy_ns += cover(self.busy, start_ns, end_ns)
        if other.responses is not None and (
            self.responses is None or other.responses[:2] > self.responses[:2]
        ):
            self.responses = other.responses
        for attempt, theirs in other.attempts.items():
            ours = self.attempts.get(attempt)
            if ours is None:
                self.attempts[attempt] = theirs
                continue
            retries -= ours.retries + theirs.retries
            ours.entries = sorted(ours.entries + theirs.entries)
            ours.failures += theirs.failures
            if ours.failures:
                for entry in ours.entries:
                    entry[3].touch()
            retries += ours.retries
        self.tally.retries = retries
        self.failures += other.failures
        for mine_uses, their_uses in (
            (self.models, other.models),
            (self.providers, other.providers),
            (self.tools, other.tools),
            (self.dialects, other.dialects),
        ):
            for name, uses in their_uses.items():
                mine_uses[name] = mine_uses.get(name, 0) + uses
        self.fan_out = max(self.fan_out, other.fan_out)
        for kind, told in other.told.items():
            if kind in self.told:
                self.told[kind].absorb(told)
            else:
                self.told[kind] = told
        if self.placed_as is None:
            self.placed_as = other.placed_as
        elif other.placed_as not in (None, self.placed_as):
            self.placed_as = REWRITE


def cover(intervals: list[tuple[int, int]], start: int, end: int) -> int:
    """Add [start, end] to disjoint ordered intervals, joining those that it touches.

    Returns by how much the covered time grew.
    """
    if not intervals:
        intervals.append((start, end))
        return end - start
    low, high = intervals[-1]
    if start > high:
        intervals.append((start, end))
        return end - start
    if start >= low:  # nearly always: steps come in the order in which they end
        if end <= high:
            return 0
        intervals[-1] = (low, end)
        return end - high
    first = bisect_left(intervals, (start, start))
    if first and intervals[first - 1][1] >= start:
        first -= 1
    last = first
    before = 0
    while last < len(intervals) and intervals[last][0] <= end:
        low, high = intervals[last]
        before += high - low
        start, end = min(start, low), max(end, high)
        last += 1
    intervals[first:last] = [(start, end)]
    return end - start - before


def earliest(
    one: tuple[int, str, str] | None, other: tuple[int, str, str] | None
) -> tuple[int, str, str] | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
