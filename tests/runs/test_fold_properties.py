"""Promise 3: order, batching, duplication and restarts of spans and events change nothing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.runs.assembler import Assembler, Stored
from collector.runs.group import TraceGroup, fold
from collector.runs.run import PlacedStep, Run
from collector.runs.trace import Pricing
from otel_agentrun.step import Event, Step
from tests.runs.builders import trace_groups

PRICING = Pricing(
    model=lambda usage, _, model, __: (
        ((usage.input_tokens or 0) * 150, "exact") if model == "gpt-4o-mini" else (None, "unknown")
    ),
    tool=lambda step: 5_000 if step.tool_name == "search" else None,
    version="test",
)

Group = tuple[list[Step], list[Event]]


def by_id(runs: list[Run]) -> dict[str, Run]:
    return {run.run_id: run for run in runs}


@settings(max_examples=400, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_fold_does_not_depend_on_order_or_duplicates(group: Group, rng: random.Random) -> None:
    """Exporters retry and reorder: duplicates and any order give the same runs."""
    steps, events = group
    arrived = steps + rng.sample(steps, k=len(steps) // 3)
    rng.shuffle(arrived)
    heard = events + events[:1]
    rng.shuffle(heard)

    assert by_id(fold(arrived, heard, PRICING)) == by_id(fold(steps, events, PRICING))


@settings(max_examples=300, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_folding_batch_by_batch_equals_folding_everything_at_once(
    group: Group, rng: random.Random
) -> None:
    """What is kept incrementally, and the rows written on the way, add up to the full fold."""
    steps, events = group
    arrived: list[Step | Event] = [*steps, *events]
    rng.shuffle(arrived)
    assembler = Assembler(pricing=PRICING)
    runs: dict[str, Run] = {}
    placed: dict[str, PlacedStep] = {}
    while arrived:
        batch, arrived = arrived[: (size := rng.randrange(1, 6))], arrived[size:]
        for item in batch:
            if isinstance(item, Step):
                assembler.add([item], 1)
            else:
                assembler.add_event(item, 1)
        changes = assembler.changes()
        for removed in changes.removed:
            runs.pop(removed.run_id, None)
        runs |= {run.run_id: run for run in changes.runs}
        placed |= {each.step.span_id: each for each in changes.steps}

    whole = TraceGroup(PRICING)
    for step in steps:
        whole.add(step)
    for event in events:
        whole.add_event(event)
    expected = whole.changes()
    assert not assembler.failures
    assert runs == by_id(list(expected.runs))
    strip = lambda each: (  # noqa: E731  # a revision is that of the fold that wrote the row
        each.step, each.run_id, each.agent_name, each.counted, each.duplicate_of,
        each.cost_nano_usd, each.attempt, each.retry_of, each.child_run_id,
    )  # fmt: skip
    # A row in no run is of a call that somebody told of: spans show such calls, or nobody does.
    assert {k: strip(v) for k, v in placed.items() if v.run_id} == {
        each.step.span_id: strip(each) for each in expected.steps if each.run_id
    }


@settings(max_examples=200, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_a_restart_at_any_point_gives_the_same_runs(group: Group, rng: random.Random) -> None:
    """A new process knows only what the store has; the last fold is still of everything."""
    steps, events = group
    at = rng.randrange(0, len(steps) + 1)
    first = Assembler(pricing=PRICING)
    for step in steps[:at]:
        first.add([step], 1)
    for event in events:
        first.add_event(event, 1)
    before = first.changes()
    second = Assembler(pricing=PRICING)
    for step in steps[at:]:
        second.add([step], 2)
    second.restore(Stored(steps=tuple(steps[:at]), events=tuple(events), runs=before.runs), 2)
    after = second.changes()

    runs = by_id(list(before.runs))
    for removed in after.removed:
        runs.pop(removed.run_id, None)
    runs |= by_id(list(after.runs))
    assert runs == by_id(fold(steps, events, PRICING))


@settings(max_examples=200, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_the_richest_version_of_a_span_wins_in_any_order(group: Group, rng: random.Random) -> None:
    """A span that is sent again with more in it replaces the poorer one, and never the reverse."""
    from dataclasses import replace

    steps, events = group
    richer = [replace(step, version=2, agent_name="late") for step in steps[::2]]
    arrived = steps + richer
    rng.shuffle(arrived)
    winners = {step.span_id: step for step in [*steps, *richer]}

    assert by_id(fold(arrived, events, PRICING)) == by_id(fold(winners.values(), events, PRICING))
