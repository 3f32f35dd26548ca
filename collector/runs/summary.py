"""From an assembled run to the `Run` that is stored: totals, labels, cost and data quality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from collector.runs import clients
from collector.runs.bucket import Bucket, Tally
from collector.runs.events import EventFacts, read_events
from collector.runs.identity import Assembly, descend
from collector.runs.quality import data_quality
from collector.runs.run import Finding, Run
from collector.runs.status import conclude, own_roots
from collector.runs.trace import Pricing
from otel_agentrun import semconv
from otel_agentrun.dialects.handoffs import is_handoff
from otel_agentrun.dialects.kinds import RUN, SDK
from otel_agentrun.dialects.labels import stated
from otel_agentrun.step import Event, Step

LABELS: Final = (
    "session_id", "session_name", "session_path", "conversation_id", "request_id", "agent_role",
    "agent_type", "agent_version", "workflow_name", "task_type", "service_name", "environment",
    "workspace", "department", "virtual_key", "user_id", "trigger", "execution", "output_type",
    "result_ref", "policy_version", "tool_contract_version", "route_config_version",
    "index_version", "app_version", "summary",
)  # fmt: skip
"""Labels of steps that are run fields of the same name."""

UNLABELED: Final = dict.fromkeys(LABELS, "")
PREFIXES: Final = ("prompt_versions.", "feature_flags.", "tags.")


def summarize(
    assembly: Assembly,
    group_id: str,
    events: Mapping[str, Sequence[Event]],
    pricing: Pricing,
    revision: int,
) -> dict[str, Run]:
    """The root run `assembly` and its descendants, by run id; parents first.

    `events` are those of the group by run id, `revision` is the group's.
    """
    found: dict[str, Run] = {}
    totals: dict[str, Tally] = {}
    depths: dict[str, int] = {}
    firsts: dict[str, Step | None] = {}
    lasts: dict[str, Step | None] = {}
    everyone = descend(assembly)
    for run in reversed(everyone):  # children before their parents: a total includes theirs
        facts = read_events(events.get(run.run_id, ()))
        own = own_tally(run, facts)
        aggregated = _use_aggregate(run, own, pricing, totals)
        total = sum((totals[child.run_id] for child in run.children), own)
        totals[run.run_id] = total
        depths[run.run_id] = 1 + max((depths[child.run_id] for child in run.children), default=0)
        # A run that only hands on to others asked what its first child asked.
        below = [child.run_id for child in run.children]
        firsts[run.run_id] = _first_model(run.buckets) or _earliest(firsts[b] for b in below)
        last = _last(run.buckets)
        if below and (last is None or _hands_over(last)):
            last = _latest([last, *(lasts[b] for b in below)])
        lasts[run.run_id] = last
        found[run.run_id] = _run(
            run,
            group_id,
            facts,
            own,
            total,
            asked=firsts[run.run_id],
            answered=lasts[run.run_id],
            aggregated=aggregated,
            depth=depths[run.run_id],
            price_version=pricing.version,
            revision=revision,
        )
    return {run.run_id: found[run.run_id] for run in everyone}


def own_tally(run: Assembly, facts: EventFacts) -> Tally:
    first, *others = [bucket.tally for bucket in run.buckets] or [Tally()]
    tally = sum(others, first.copy())
    tally.duplicate_spans += len(run.echoes)
    tally.payment_cost_nano_usd += facts.payment_cost_nano_usd
    tally.revenue_nano_usd += facts.revenue_nano_usd
    return tally


def _use_aggregate(
    run: Assembly, own: Tally, pricing: Pricing, totals: Mapping[str, Tally]
) -> bool:
    """Usage on agent and chain spans counts only where there is no model span at all."""
    below = [totals[child.run_id] for child in run.children]
    if any(t.model_calls > t.calls_told or t.calls_with_usage for t in (own, *below)):
        return False
    aggregates = [b.aggregate for b in run.buckets if b.aggregate is not None]
    if not aggregates:
        return False
    step = min(aggregates, key=lambda s: s.key)
    usage = step.usage
    assert usage is not None
    own.calls_with_usage += 1
    own.calls_without_cached += usage.cache_read_tokens is None
    own.calls_without_reasoning += usage.reasoning_tokens is None
    own.input_tokens += usage.input_tokens or 0
    own.output_tokens += usage.output_tokens or 0
    own.cache_read_tokens += usage.cache_read_tokens or 0
    own.cache_write_tokens += usage.cache_write_tokens or 0
    own.reasoning_tokens += usage.reasoning_tokens or 0
    # Calls that are only told of: the total is theirs.
    own.calls_unpriced -= own.calls_without_usage
    own.calls_without_usage = 0
    cost = step.cost_nano_usd
    if cost is None:
        cost, _ = pricing.model(usage, step.provider, step.model, step.start_ns)
    if cost is None:
        own.calls_unpriced += 1
    else:
        own.model_cost_nano_usd += cost
        own.calls_estimated += 1
    return True


def _run(
    run: Assembly,
    group_id: str,
    facts: EventFacts,
    own: Tally,
    total: Tally,
    *,
    asked: Step | None,
    answered: Step | None,
    aggregated: bool,
    depth: int,
    price_version: str,
    revision: int,
) -> Run:
    buckets = [bucket for bucket in run.buckets if bucket.nodes]
    announced = _announced(run, facts)
    labels = _labels(run, announced, buckets)
    said: dict[str, Any] = UNLABELED | {n: labels[n] for n in labels.keys() & UNLABELED.keys()}
    conclusion = conclude(run, buckets, facts)
    open_ = conclusion.status in ("initiated", "running", "paused")
    root = run.root
    begun = facts.started.at_ns if facts.started else run.announced_ns
    opening = run.opening or root
    start = opening.start_ns if opening else min((b.start_ns for b in buckets), default=begun)
    end = 0
    if not open_:
        end = root.end_ns if root else max((b.end_ns for b in buckets), default=start)
        if root is None and facts.ended is not None:
            end = max(end, facts.ended.at_ns)
    grouped: dict[str, dict[str, str]] = {prefix: {} for prefix in PREFIXES}
    for name, value in labels.items():
        first, dot, rest = name.partition(".")
        if dot and first + dot in grouped:
            grouped[first + dot][rest] = value
    counts = own.counts()
    return Run(
        run_id=run.run_id,
        group_id=group_id,
        parent_run_id=run.parent.run_id if run.parent else "",
        root_run_id=run.top.run_id,
        child_run_ids=tuple(sorted(child.run_id for child in run.children)),
        trace_ids=_trace_ids([*buckets, *(bucket for bucket, _ in run.echoes)]),
        tie_ids=tuple(sorted({one for _, one in clients.ties(run.buckets)})),
        root_span_id=root.span_id if root and not run.opening else "",
        **said,
        agent_name=_agent_name(run, announced, buckets),
        agent_id=announced.get(semconv.AGENT_ID, "")
        or _first(step.agent_id for step in own_roots(run))
        or labels.get("agent_id", ""),
        status=conclusion.status,
        stop_reason=conclusion.stop_reason,
        outcome=conclusion.outcome,
        failure_mode=conclusion.failure_mode,
        error_type=conclusion.error_type,
        error_message=conclusion.error_message,
        error_span_id=conclusion.error.span_id if conclusion.error else "",
        started_at_ns=start,
        ended_at_ns=end,
        busy_ns=_busy_ns(buckets),
        paused_ns=facts.paused_ns,
        input_span=_place(asked),
        output_span=_place(answered),
        input_structure=_first(step.input_structure for step in own_roots(run)),
        own=counts,
        total=total.counts() if run.children else counts,
        max_depth=depth,
        max_fan_out=max(_fan_out(run), *(bucket.fan_out for bucket in buckets), 0),
        cost_confidence=_confidence(own),
        cost_confidence_total=_confidence(total),
        cost_source=_source(own),
        price_version=price_version if own.calls_from_prices or aggregated else "",
        models=_names(bucket.models for bucket in buckets),
        providers=_names(bucket.providers for bucket in buckets),
        tools=_names(bucket.tools for bucket in buckets),
        prompt_versions=grouped["prompt_versions."],
        feature_flags=grouped["feature_flags."],
        out_of_scope=labels.get("out_of_scope", "").lower() in ("true", "1"),
        findings=tuple(_finding(event) for event in facts.findings or ()),
        quality=facts.quality or {},
        tags=grouped["tags."],
        dialects=_names(bucket.dialects for bucket in buckets),
        data_quality=data_quality(
            own,
            buckets,
            agent=root is not None and root.kind is RUN and root.role is not SDK,
            aggregated=aggregated,
            root_missing=conclusion.root_missing,
            delegated=bool(run.children),
        ),
        revision=revision,
    )


def _announced(run: Assembly, facts: EventFacts) -> Mapping[str, str]:
    """What the run said of itself when it began.  It stands in for a root that has not ended, or
    never will, and says nothing once there is one."""
    return facts.started.attributes if run.root is None and facts.started else {}


def _labels(
    run: Assembly, announced: Mapping[str, str], buckets: Iterable[Bucket]
) -> dict[str, str]:
    """What the run's root says goes first, then the earliest step that says anything."""
    labels = stated(announced)
    for step in own_roots(run):
        for name, value in step.labels.items():
            labels.setdefault(name, value)
    entries = sorted(
        (entry for bucket in buckets for entry in bucket.labels.values()),
        key=lambda entry: entry[:2],
    )
    for _, _, said in entries:
        for name, value in said.items():
            labels.setdefault(name, value)
    return labels


def _agent_name(run: Assembly, announced: Mapping[str, str], buckets: Iterable[Bucket]) -> str:
    named = announced.get(semconv.GEN_AI_AGENT_NAME, "") or _first(
        step.agent_name for step in own_roots(run)
    )
    if named:
        return named
    first = min((b.agent_name for b in buckets if b.agent_name), default=None)
    return first[2] if first else ""


def _trace_ids(buckets: Iterable[Bucket]) -> tuple[str, ...]:
    starts: dict[str, int] = {}
    for bucket in buckets:
        trace_id = bucket.nodes[0].step.trace_id
        starts[trace_id] = min(bucket.start_ns, starts.get(trace_id, bucket.start_ns))
    return tuple(sorted(starts, key=lambda trace_id: (starts[trace_id], trace_id)))


def _first_model(buckets: Iterable[Bucket]) -> Step | None:
    """What the first model call was asked is the run's input where its root does not say."""
    return _earliest(bucket.first_model for bucket in buckets)


def _last(buckets: Sequence[Bucket]) -> Step | None:
    """The final-response step: an explicit one, else the last model call."""
    explicit = [bucket.responses[2] for bucket in buckets if bucket.responses]
    return _latest(explicit or [bucket.last_model for bucket in buckets])


def _hands_over(step: Step) -> bool:
    """Whether a run's answer is that of the agent which its last call hands the task to, below it
    (Google ADK, schema 1)."""
    return any(is_handoff(one.name) for one in step.tool_requests)


def _earliest(steps: Iterable[Step | None]) -> Step | None:
    return min((step for step in steps if step), key=lambda step: step.key, default=None)


def _latest(steps: Iterable[Step | None]) -> Step | None:
    return max((step for step in steps if step), key=lambda step: step.key, default=None)


def _place(step: Step | None) -> tuple[str, str]:
    return (step.trace_id, step.span_id) if step else ("", "")


def _busy_ns(buckets: Iterable[Bucket]) -> int:
    """Time covered by at least one counted step."""
    busy = [bucket for bucket in buckets if bucket.busy]
    if len(busy) == 1:
        return busy[0].busy_ns
    return sum_of_union(interval for bucket in busy for interval in bucket.busy)


def sum_of_union(intervals: Iterable[tuple[int, int]]) -> int:
    total = 0
    until = 0
    for start, end in sorted(intervals):
        if end > until:
            total += end - max(start, until)
            until = end
    return total


def _fan_out(run: Assembly) -> int:
    """Child runs under one span: agents started from one place."""
    below: dict[tuple[str, str], int] = {}
    for child in run.children:
        if child.root is not None:
            parent = (child.root.trace_id, child.root.parent_span_id)
            below[parent] = below.get(parent, 0) + 1
    return max(below.values(), default=0)


def _confidence(tally: Tally) -> str:
    if tally.calls_unpriced:
        return "unknown"
    return "estimated" if tally.calls_estimated else "exact"


def _source(tally: Tally) -> str:
    if tally.calls_from_emitter and tally.calls_from_prices:
        return "mixed"
    if tally.calls_from_emitter:
        return "emitter"
    return "prices" if tally.calls_from_prices else ""


def _names(uses: Iterable[Mapping[str, int]]) -> tuple[str, ...]:
    return tuple(sorted({name for each in uses for name, count in each.items() if count}))


def _finding(event: Event) -> Finding:
    get = event.attributes.get
    spans = get(semconv.FINDING_SPAN_IDS, "")
    return Finding(
        rule=get(semconv.FINDING_RULE, ""),
        kind=get(semconv.FINDING_KIND, ""),
        severity=get(semconv.FINDING_SEVERITY, ""),
        explanation=get(semconv.FINDING_EXPLANATION, ""),
        span_ids=tuple(spans.split(",")) if spans else (),
        at_ns=event.at_ns,
    )


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")
