"""The span tree of one trace, kept as steps arrive in any order.

Every step belongs to a bucket (see bucket.py): that of its parent, or its own when it is an agent
invocation or has no parent.  A parent that has not arrived has a bucket already, under its span id;
when it comes, that bucket becomes its own or joins that of its parent.  No step is ever looked at
again because of an order of arrival, except the model calls that wait for a span above them, and
pieces of streamed calls (see streams.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Final

from collector.runs.bucket import REWRITE, Bucket, Node, Price, ToolPrice
from collector.runs.calls import Call, CallCost, join, merge, same_call, sibling_key
from collector.runs.clients import is_alone
from collector.runs.functions import as_asked
from collector.runs.reports import REPORTED
from collector.runs.streams import Streams
from otel_agentrun.dialects.kinds import FUNCTION, MODEL, OPENING, RUN, TOLD, TOOL
from otel_agentrun.step import Step, Usage

DEPTH_MAX = 256
"""How far up the tree a walk goes: a cycle of hostile parents ends there."""


class Added(Enum):
    """What became of a step that was added."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The very same version of the span was there."""
    OLDER = "older"
    """A later version of the span was there."""
    NEWER = "newer"
    """It replaced an earlier version: the trace is stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What steps cost: pure functions, so that folding stays a function of its arguments."""

    model: Price
    tool: ToolPrice
    version: str = ""

    def call(self, call: Call) -> CallCost:
        merged = merge(call.steps)
        if merged.cost_nano_usd is not None:
            return CallCost(merged, merged.cost_nano_usd, "exact")
        usage = merged.usage
        if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
            # A call that failed without usage was not answered, so there is nothing to pay.
            return CallCost(merged, None, "" if merged.failed else "unknown")
        at_ns = merged.counting.start_ns
        cost, confidence = self.model(usage, merged.provider, merged.model, at_ns)
        return CallCost(merged, cost, confidence)


def _no_price(_: Usage, __: str, ___: str, ____: int) -> tuple[int | None, str]:
    return None, "unknown"


NO_PRICING = Pricing(model=_no_price, tool=lambda _: None)


_counts: Final = attrgetter(
    "kind", "role", "parent_span_id", "scope", "name", "start_ns", "end_ns", "status", "error_type",
    "run_id", "agent_name", "provider", "model", "usage", "response_id", "tool_name",
    "arguments_digest", "result_digest", "attempt", "handoff_to", "cost_nano_usd",
    "payment_nano_usd", "revenue_nano_usd", "endpoint", "links",
)  # fmt: skip
"""What a trace and its buckets have added up or sorted a step by."""


def _differs(told: Step, known: Step) -> bool:
    """Whether two spans that begin at once tell of one call in different words, and the first is to
    be believed whichever comes first."""
    return told.role is TOLD and told != known and repr(told) > repr(known)


def _exchange(call: Call, before: Step, step: Step) -> None:
    steps = call.find().steps
    steps[next(at for at, each in enumerate(steps) if each is before)] = step


class Trace:
    """All steps of one trace id."""

    __slots__ = (
        "_asked", "_by_response", "_functions", "_pricing", "_scope", "_siblings", "_streams",
        "_waiting", "has_clients", "nodes", "stale", "tops", "trace_id",
    )  # fmt: skip

    def __init__(self, trace_id: str, pricing: Pricing) -> None:
        self.trace_id = trace_id
        self.nodes: dict[str, Node] = {}
        """span id -> node."""
        self.tops: dict[str, Bucket] = {}
        """span id of the top -> its bucket, for every bucket that joined no other."""
        self.has_clients = False
        """There are calls without a span around them (clients.py)."""
        self.stale = False
        """A span was replaced by a later version: `rebuilt` gives the trace that counts it."""
        self._asked: set[str] = set()
        """Names of tools that models asked for."""
        self._functions: set[str] = set()
        """Names of steps that become tools when a model asks for one of that name."""
        self._pricing = pricing
        self._waiting: dict[str, list[Call]] = {}
        """span id that has not arrived -> calls that may lie within a model span above it."""
        self._by_response: dict[str, Call] = {}
        self._siblings: dict[tuple[str, str, str, int, int], list[Step]] = {}
        self._streams: Streams | None = None
        """Pieces of streamed calls, once there are several scopes or a call below an opening."""
        self._scope: str | None = None
        """Scope of all model spans so far; "" once there are several: only then can two siblings
        be one call, and are looked for."""

    def add(self, step: Step) -> Added:
        """Take one step in."""
        if step.tool_requests:
            self._ask(step)
        if step.role is FUNCTION:
            step = as_asked(step, self._asked)
            self._functions.add(step.name)
        known = self.nodes.get(step.span_id)
        if known is not None:
            if known.step.version == step.version and not _differs(step, known.step):
                return Added.DUPLICATE
            if known.step.version > step.version:
                return Added.OLDER
            if known.step.version == REPORTED:
                self.supersede(known, step)
                return Added.NEW
            known.step = step
            self.stale = True
            return Added.NEWER
        if self.stale:  # everything is counted anew before anyone looks
            self.nodes[step.span_id] = Node(step, next(iter(self.tops.values())))
            return Added.NEW
        parent = step.parent_span_id if step.parent_span_id != step.span_id else ""
        node = Node(step, self._beside(step) if step.role is TOLD else self._place(step, parent))
        self.nodes[step.span_id] = node
        node.bucket.add(node, self._pricing.tool)
        if step.kind is MODEL:
            self._add_call(node, parent)
            return Added.NEW
        if step.role is OPENING and self._scope == "":
            self._pieces().add(step)
        if step.span_id in self._waiting:
            waiting = self._waiting.pop(step.span_id)
            if step.role is OPENING:
                self._pieces().hold(step, waiting)
            if step.kind not in (RUN, TOOL):
                self._look_above(waiting, parent)
        return Added.NEW

    def supersede(self, node: Node, step: Step) -> None:
        """A step that a report told of has its span now: nearly always it counts alike, anything
        else is counted anew."""
        before, node.step = node.step, step
        self.stale = self.stale or _counts(before) != _counts(step)
        if self.stale:
            return
        if node.call is not None:
            _exchange(node.call, before, step)
        if step.tool_requests:
            self._ask(step)
        if self._streams is not None:
            self._streams.touch(step)
        bucket = node.bucket.find()
        if bucket.top is before:
            bucket.top = step
        bucket.supersede(before, step)
        node.touch()

    def amend(self, step: Step) -> None:
        """Put a step in the place of its span's, from which it differs in what notes can say."""
        node = self.nodes[step.span_id]
        before, node.step = node.step, step
        if step.tool_requests:
            self._ask(step)
        if step.usage != before.usage:
            self.stale = True  # the call is counted, priced and perhaps told from others by it
        if self.stale or node.call is None:
            return
        _exchange(node.call, before, step)
        if self._streams is not None:
            self._streams.touch(step)
        node.bucket.find().amend(before, step)
        node.touch()

    def _ask(self, step: Step) -> None:
        for request in step.tool_requests:
            if request.name not in self._asked:
                self._asked.add(request.name)
                if request.name in self._functions:
                    self.stale = True  # it was taken for something else

    def settled(self) -> Trace:
        """The trace to read: this one, or one built anew if this one is stale."""
        if not self.stale:
            self._join_streams()
        return self.rebuilt() if self.stale else self

    def rebuilt(self) -> Trace:
        """The same trace built anew from the latest version of every span."""
        trace = Trace(self.trace_id, self._pricing)
        for node in self.nodes.values():
            trace._ask(node.step)
        for node in self.nodes.values():
            trace.add(node.step)
        trace._join_streams()
        for bucket in trace.tops.values():
            bucket.placed_as = REWRITE
            for told in bucket.told.values():
                told.placed_as = REWRITE
        return trace

    def untie(self) -> None:
        """Break the cycles between nodes and buckets."""
        for bucket in [each for top in self.tops.values() for each in (top, *top.told.values())]:
            bucket.nodes.clear()
            bucket.fresh.clear()
            bucket.attempts.clear()
        self.tops.clear()
        self.nodes.clear()

    def bucket_above(self, step: Step) -> Bucket | None:
        """The bucket that holds the parent of a top, if it is known of."""
        if not step.parent_span_id or step.parent_span_id == step.span_id:
            return None
        node = self.nodes.get(step.parent_span_id)
        if node is not None:
            return node.bucket.find()
        return self.tops.get(step.parent_span_id)

    def ancestors(self, step: Step) -> Iterator[Step]:
        """The spans above one, nearest first, as far as they have arrived."""
        for _ in range(DEPTH_MAX):
            if not step.parent_span_id:
                return
            node = self.nodes.get(step.parent_span_id)
            if node is None or node.step is step:
                return
            step = node.step
            yield step

    # ------------------------------------------------------------------ placing

    def _place(self, step: Step, parent: str) -> Bucket:
        waited = self.tops.get(step.span_id)
        if step.kind is RUN or not parent:
            bucket = waited or self._new_top(step.span_id)
            bucket.top = step
            self.has_clients = self.has_clients or is_alone(step)
            return bucket
        above = self.nodes.get(parent)
        bucket = above.bucket.find() if above else self.tops.get(parent) or self._new_top(parent)
        if waited is None or waited is bucket:
            # `waited is bucket`: a cycle of parents; the bucket stays under this span's id.
            return bucket
        del self.tops[step.span_id]
        return self._merge(bucket, waited)

    def _beside(self, step: Step) -> Bucket:
        """Where a call is kept that only another span tells of: apart from what has spans."""
        parent = step.parent_span_id
        above = self.nodes.get(parent)
        bucket = above.bucket.find() if above else self.tops.get(parent) or self._new_top(parent)
        return bucket.told_of(step.kind)

    def _new_top(self, span_id: str) -> Bucket:
        bucket = self.tops[span_id] = Bucket(span_id)
        return bucket

    def _merge(self, upper: Bucket, lower: Bucket) -> Bucket:
        """One bucket under the top of `upper`; the larger one absorbs the smaller."""
        if len(upper.nodes) >= len(lower.nodes):
            upper.absorb(lower)
            return upper
        lower.absorb(upper)
        lower.top_span_id, lower.top = upper.top_span_id, upper.top
        self.tops[upper.top_span_id] = lower
        return lower

    # ------------------------------------------------------------------ calls

    def _add_call(self, node: Node, parent: str) -> None:
        step = node.step
        call = node.call = Call(step)
        if step.span_id in self._waiting:
            for other in self._waiting.pop(step.span_id):
                call = self._join(call, other)
        if step.response_id:
            known = self._by_response.setdefault(step.response_id, call)
            if known is not call:
                call = self._join(call, known)
        if step.scope != self._scope:
            if self._scope is None:
                self._scope = step.scope
            elif self._scope:
                self._scope = ""
                for earlier in self.nodes.values():
                    if earlier.call is not None and earlier is not node:
                        self._look_beside(earlier.step)
                    elif earlier.step.role is OPENING and earlier is not node:
                        self._pieces().add(earlier.step)
        if self._scope == "":
            self._look_beside(step)
        self._look_above([call], parent)
        call = call.find()
        if call.counted is None:
            self._apply(call)

    def _look_beside(self, step: Step) -> None:
        """Join the call with siblings that describe it, now or once all have come."""
        if step.role is not TOLD:
            self._pieces().add(step)
        key = sibling_key(step)
        if key is None:
            return
        siblings = self._siblings.setdefault(key, [])
        for sibling in siblings:
            if same_call(step, sibling):
                joined = self._join(self._call_of(step), self._call_of(sibling))
                if joined.counted is None:
                    self._apply(joined)
        siblings.append(step)

    def _pieces(self) -> Streams:
        if self._streams is None:
            self._streams = Streams()
        return self._streams

    def _join_streams(self) -> None:
        """Join the pieces of streamed calls."""
        if self._streams is None:
            return
        pairs = self._streams.settle(self.nodes)
        if pairs is None:
            self.stale = True
            return
        for opening, follower in pairs.items():
            begun, call = self.nodes[opening].call, self._call_of(self.nodes[follower].step)
            for piece in self._streams.below(opening) if begun is None else [begun]:
                call = self._join(call, piece)
            if call.counted is None:
                self._apply(call)

    def _call_of(self, step: Step) -> Call:
        call = self.nodes[step.span_id].call
        assert call is not None
        return call.find()

    def _look_above(self, calls: list[Call], parent: str) -> None:
        """Join the calls with the model span above them, when no agent and no tool lies between."""
        for _ in range(DEPTH_MAX):
            if not parent:
                return
            node = self.nodes.get(parent)
            if node is None:
                self._waiting.setdefault(parent, []).extend(calls)
                return
            if node.step.kind is MODEL:
                assert node.call is not None
                joined = node.call.find()
                for call in calls:
                    joined = self._join(joined, call)
                if joined.counted is None:
                    self._apply(joined)
                return
            if node.step.kind in (RUN, TOOL):
                return
            if node.step.role is OPENING:
                self._pieces().hold(node.step, calls)
            parent = node.step.parent_span_id

    def _join(self, one: Call, other: Call) -> Call:
        one, other = one.find(), other.find()
        if one is other:
            return one
        self._withdraw(one)
        self._withdraw(other)
        return join(one, other)

    def _withdraw(self, call: Call) -> None:
        cost, call.counted = call.counted, None
        if cost is not None:
            node = self.nodes[cost.merged.counting.span_id]
            node.bucket.find().add_call(cost, node, -1)

    def _apply(self, call: Call) -> None:
        """Count a call in the bucket of the span that counts for it."""
        cost = call.counted = self._pricing.call(call)
        counting = cost.merged.counting
        node = self.nodes[counting.span_id]
        node.bucket.find().add_call(cost, node)
        if len(call.steps) > 1:
            for step in call.steps:
                other = self.nodes[step.span_id]
                duplicate_of = "" if step is counting else counting.span_id
                if other.duplicate_of != duplicate_of:
                    other.duplicate_of = duplicate_of
                    other.touch()
            node.touch()
