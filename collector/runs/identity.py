"""Which run does a span belong to: from the buckets of a trace group to runs, parents and children.

Ids are functions of the group alone, so that a run keeps its id when its root arrives last:
1. an explicit `agentrun.run.id` names the enclosing run;
2. otherwise the top-level run's id is the trace id (of joined traces: of the earliest);
3. an agent invocation inside a run opens a child run `<trace id>-<span id>`, unless the run adopts
   it; a second top-level invocation, or one that starts after its parent ended (a leaked context),
   opens another root run with such an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from collector.runs import clients
from collector.runs.bucket import Bucket
from collector.runs.trace import Trace
from otel_agentrun.dialects.kinds import MODEL, TOOL
from otel_agentrun.step import Kind, Role, Step

ADOPTING = frozenset({Role.SDK, Role.WORKFLOW})


@dataclass(slots=True, eq=False)
class Assembly:
    """One run: the buckets it is made of, and its place among the runs of the group."""

    run_id: str
    root: Step | None = None
    """The span that is the run; `None` while it has not arrived."""
    parent: Assembly | None = None
    children: list[Assembly] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    echoes: list[tuple[Bucket, str]] = field(default_factory=list)
    """What describes a call that is in `buckets`, and that call's span id: shown, not counted."""
    adopted: list[Step] = field(default_factory=list)
    """Agent invocations that are this run, not child runs of it."""
    opening: Step | None = None
    """Where several calls of a client are the run, the first of them; the root is the last."""
    announced_ns: int = 0
    """When it was first heard of, while it has no span."""

    @property
    def top(self) -> Assembly:
        run = self
        while run.parent is not None:
            run = run.parent
        return run


@dataclass(slots=True)
class Enclosure:
    """What shares one explicit run id, or has none."""

    tops: list[tuple[Trace, Bucket]] = field(default_factory=list)
    loose: list[tuple[Trace, Bucket]] = field(default_factory=list)


def group_id(traces: Iterable[Trace]) -> str:
    """The earliest trace's id, by (start time, id)."""
    return min((min(b.start_ns for b in t.tops.values()), t.trace_id) for t in traces)[1]


def assemble(traces: Sequence[Trace]) -> list[Assembly]:
    """All runs of a trace group, parents before children, roots by start time."""
    runs = _Assembler(traces).runs()
    if any(bucket.told for trace in traces for bucket in trace.tops.values()):
        admit_told(runs)
    return runs


def admit_told(runs: Sequence[Assembly]) -> None:
    """Give each run the calls that its spans tell of, where no span of its own shows such a call.

    Tools that the runs below show all of are theirs: an agent may be made for one call of a tool.
    """
    for run in runs:
        if not any(bucket.tally.model_calls for bucket in run.buckets):
            run.buckets += _told(run, MODEL)
    below: dict[str, set[str]] = {}
    for run in reversed(runs):  # children first
        names = set().union(*(below[child.run_id] for child in run.children))
        if not any(bucket.tally.tool_calls for bucket in run.buckets):
            told = _told(run, TOOL)
            if not names.issuperset(name for bucket in told for name in bucket.tools):
                run.buckets += told
        below[run.run_id] = names.union(*(bucket.tools for bucket in run.buckets))


def _told(run: Assembly, kind: Kind) -> list[Bucket]:
    """What each bucket of a run tells of, in their order; a call that was told of before, in an
    earlier trace (a request was tried again), is not another one."""
    found: list[Bucket] = []
    known: set[str] = set()
    for bucket in run.buckets:
        told = bucket.told.get(kind)
        if told is None:
            continue
        ids = {node.step.tool_call_id or node.step.span_id for node in told.nodes}
        if not known.issuperset(ids):
            known |= ids
            found.append(told)
    return found


class _Assembler:
    def __init__(self, traces: Sequence[Trace]) -> None:
        self._joined = len(traces) > 1
        self._group_id = group_id(traces)
        self._enclosures: dict[str, Enclosure] = {}
        self._below: dict[int, list[tuple[Trace, Bucket]]] = {}
        """id of an invocation's bucket -> the invocations directly inside it."""
        self._runs: list[Assembly] = []
        self._unplaced: dict[int, tuple[Trace, Bucket]] = {}
        self._taken: set[str] = set()
        """Ids that are some run's: a client may state one twice."""
        self._todo: list[tuple[Assembly, Bucket]] = []
        """Invocations whose inside is still to be looked at: a list, as nesting may be deep."""
        for trace in traces:
            for bucket in trace.tops.values():
                self._sort_in(trace, bucket)

    def _sort_in(self, trace: Trace, bucket: Bucket) -> None:
        top = bucket.top
        if top is None or top.kind is not Kind.RUN:
            explicit = bucket.run_id[2] if bucket.run_id else ""
            self._enclosures.setdefault(explicit, Enclosure()).loose.append((trace, bucket))
            return
        self._unplaced[id(bucket)] = (trace, bucket)
        above = trace.bucket_above(top)
        if above is None or above.top is None or above.top.kind is not Kind.RUN or above is bucket:
            self._enclosures.setdefault(top.run_id, Enclosure()).tops.append((trace, bucket))
        elif leaked(trace, top):
            self._enclosures.setdefault("", Enclosure()).tops.append((trace, bucket))
        else:
            self._below.setdefault(id(above), []).append((trace, bucket))

    def runs(self) -> list[Assembly]:
        bare = self._enclosures.pop("", None)
        self._taken = {*self._enclosures, self._group_id}
        for run_id in sorted(self._enclosures):
            self._explicit(run_id, self._enclosures[run_id])
            self._look_inside()
        if bare is not None:
            self._default(bare)
            self._look_inside()
        # Invocations that are each other's parents: hostile, but they too belong to some run.
        while self._unplaced:
            _, bucket = min(self._unplaced.values(), key=_by_start)
            self._open(self._own_id(bucket), bucket, None)
            self._look_inside()
        self._runs.sort(key=_run_order)
        return [run for root in self._runs for run in descend(root)]

    def _explicit(self, run_id: str, found: Enclosure) -> None:
        tops = sorted(found.tops, key=_by_start)
        own = [t for t in tops if t[1].top is not None and t[1].top.role is Role.SDK]
        inside = [t for t in tops if t not in own[:1]]
        if own:
            run = self._open(run_id, own[0][1], None)
            self._descend(run, inside, run.root, adopts=True)
        else:
            run = Assembly(run_id)
            self._runs.append(run)
            self._descend(run, inside, None, adopts=True)
            if len(inside) == 1 and run.adopted and not run.adopted[0].parent_span_id:
                run.root = run.adopted[0]
        run.buckets += [bucket for _, bucket in found.loose]

    def _default(self, found: Enclosure) -> None:
        tops = sorted(found.tops, key=_by_start)
        loose = [bucket for _, bucket in sorted(found.loose, key=_by_start)]
        if not tops and not any(counted(bucket) for bucket in loose):
            # Only plumbing: it makes no run, but it is shown with a run that is there.
            if self._runs:
                min(self._runs, key=_run_order).buckets += loose
            return
        taken = {run.run_id: run for run in self._runs}
        dead = [] if self._joined or taken else dead_runs(tops, loose)
        if dead:
            run = self._bury(dead)
            loose = [bucket for bucket in loose if bucket not in dead]
            others = tops
        elif self._group_id in taken:
            run = taken[self._group_id]
            others = tops
        elif self._joined:
            run = Assembly(self._group_id)
            self._runs.append(run)
            self._descend(run, tops, None, adopts=True)
            if not tops and clients.calls(loose):
                run.echoes = clients.echoes(loose)
                again = {id(bucket) for bucket, _ in run.echoes}
                loose = [bucket for bucket in loose if id(bucket) not in again]
                calls = clients.calls(loose)
                run.root = calls[-1]
                run.opening = calls[0] if len(calls) > 1 else None
            others = []
        elif tops:
            run = self._open(self._group_id, tops[0][1], None)
            others = tops[1:]
        else:
            run = Assembly(self._group_id)
            self._runs.append(run)
            run.root = min(
                (b.top for b in loose if b.top is not None and not b.top.parent_span_id),
                key=lambda step: step.key,
                default=None,
            )
            others = []
        opened = {} if dead or not tops else {id(tops[0][1]): run}
        for _, bucket in others:
            opened[id(bucket)] = self._open(self._own_id(bucket), bucket, None)
        if self._joined or len(tops) < 2:
            run.buckets += loose
            return
        for bucket in loose:
            opened.get(id(around(bucket, tops)), run).buckets.append(bucket)

    def _bury(self, dead: Sequence[Bucket]) -> Assembly:
        """A run for each of `dead`; the first one of them."""
        first = dead[0]
        trace_id = first.nodes[0].step.trace_id
        for bucket in dead:
            run_id = self._group_id if bucket is first else f"{trace_id}-{bucket.top_span_id}"
            self._runs.append(Assembly(run_id, buckets=[bucket]))
        return self._runs[-len(dead)]

    def _open(self, run_id: str, bucket: Bucket, parent: Assembly | None) -> Assembly:
        """A run whose root is the top of `bucket`, with everything inside it."""
        self._unplaced.pop(id(bucket), None)
        run = Assembly(run_id, bucket.top, parent, buckets=[bucket])
        (self._runs if parent is None else parent.children).append(run)
        self._todo.append((run, bucket))
        return run

    def _own_id(self, bucket: Bucket) -> str:
        """`<trace id>-<span id>`; our SDK stamps the id of a run on its own root."""
        top = bucket.top
        assert top is not None
        if top.role is Role.SDK and top.run_id and top.run_id not in self._taken:
            self._taken.add(top.run_id)
            return top.run_id
        return f"{top.trace_id}-{top.span_id}"

    def _look_inside(self) -> None:
        while self._todo:
            run, bucket = self._todo.pop()
            assert bucket.top is not None
            below = sorted(self._below.pop(id(bucket), ()), key=_by_start)
            self._descend(run, below, bucket.top, adopts=bucket.top.role in ADOPTING)

    def _descend(
        self,
        run: Assembly,
        inside: Sequence[tuple[Trace, Bucket]],
        wrapper: Step | None,
        *,
        adopts: bool,
    ) -> None:
        """Adopt the invocations directly inside, or open a child run for each."""
        # Whoever calls `agentrun.run()` inside a run wants a run of its own.
        direct = [
            bucket.top
            for trace, bucket in inside
            if adopts
            and bucket.top is not None
            and bucket.top.role is not Role.SDK
            and not behind_tool(trace, bucket)
        ]
        direct_ids = {id(top) for top in direct}
        name = wrapper.agent_name if wrapper else next((t.agent_name for t in direct if t), "")
        for _, bucket in inside:
            top = bucket.top
            assert top is not None
            if id(top) in direct_ids and (len(direct) == 1 or (name and top.agent_name == name)):
                self._unplaced.pop(id(bucket), None)
                run.adopted.append(top)
                run.buckets.append(bucket)
                self._todo.append((run, bucket))
            else:
                self._open(self._own_id(bucket), bucket, run)


def dead_runs(tops: Sequence[tuple[Trace, Bucket]], loose: Iterable[Bucket]) -> list[Bucket]:
    """Buckets that were runs of their own, by start: the span on top never came, and what was
    invoked below it began when all else there had ended (smolagents, OpenLLMetry before 0.40: the
    context of a dead run stays on).  Where that happened, other buckets without a top are dead runs
    as well, unless an invocation was under way all the while."""
    orphans = [bucket for bucket in loose if bucket.top is None and bucket.tally.steps]
    below: dict[int, list[Step]] = {}
    for trace, top in tops:
        above = trace.bucket_above(top.top) if top.top else None
        if above is not None and top.top is not None:
            below.setdefault(id(above), []).append(top.top)

    def is_dead(bucket: Bucket) -> bool:
        invoked = below.get(id(bucket), ())
        return bool(invoked) and all(step.start_ns >= bucket.end_ns for step in invoked)

    if not any(is_dead(bucket) for bucket in orphans):
        return []
    return [
        bucket
        for bucket in orphans
        if is_dead(bucket) or (id(bucket) not in below and around(bucket, tops) is None)
    ]


def around(bucket: Bucket, tops: Iterable[tuple[Trace, Bucket]]) -> Bucket | None:
    """The latest invocation that was under way as long as anything in `bucket`."""
    found = [
        top
        for _, top in tops
        if top.top and top.top.start_ns <= bucket.start_ns and bucket.end_ns <= top.top.end_ns
    ]
    return found[-1] if found else None


def leaked(trace: Trace, top: Step) -> bool:
    """Whether an invocation starts after its parent ended: the context of a dead run stayed on.

    A message or request may be worked on after the span that sent it has ended, and so may a
    background job: our SDK then names the run that it is part of.
    """
    if top.role is Role.SDK and top.labels.get("parent_run_id"):
        return False
    parent = trace.nodes[top.parent_span_id].step
    return parent.role is not Role.TRANSPORT and top.start_ns > parent.end_ns


def behind_tool(trace: Trace, bucket: Bucket) -> bool:
    """Whether a tool call lies between an invocation and the one above it."""
    assert bucket.top is not None
    for step in trace.ancestors(bucket.top):
        if step.kind is Kind.RUN:
            return False
        if step.kind is Kind.TOOL:
            return True
    return False


def counted(bucket: Bucket) -> bool:
    return bucket.tally.steps > 0 or bool(bucket.told)


def descend(run: Assembly) -> list[Assembly]:
    """A run and its descendants, parents first."""
    found = [run]
    for each in found:
        found += each.children
    return found


def _by_start(found: tuple[Trace, Bucket]) -> tuple[int, str, str]:
    trace, bucket = found
    top = bucket.top
    start_ns, span_id = (bucket.start_ns, bucket.top_span_id) if top is None else top.key
    return (start_ns, span_id, trace.trace_id)


def _run_order(run: Assembly) -> tuple[int, str]:
    return (min((bucket.start_ns for bucket in run.buckets), default=0), run.run_id)
