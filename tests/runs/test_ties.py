"""Promise 3 for traces that links and run ids tie: they are one group whatever came when."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.runs.assembler import Assembler, AssemblerSettings, Stored
from collector.runs.run import Changes, Run
from otel_agentrun.step import Role, Step
from tests.runs.builders import OTHER_TRACE, TRACE, a_step, agent, any_step

TRACES = [f"{number:032x}" for number in range(1, 5)]
SPANS_MAX = 14


def span(number: int) -> str:
    return f"{number:016x}"


@pytest.mark.parametrize("settings", [None, AssemblerSettings(boundary=lambda _: "trace")])
def test_a_link_outlives_a_restart(settings: AssemblerSettings | None) -> None:
    """AutoGen: a message is sent on in a trace of its own, which may be written first."""
    forwarded = a_step(
        2, role=Role.TRANSPORT, dialect="autogen", trace_id=OTHER_TRACE, links=((TRACE, span(1)),)
    )
    before, after = Assembler(settings), Assembler(settings)
    before.add([forwarded], 1)
    assert before.changes().runs == ()

    after.restore(Stored(steps=(forwarded,), events=(), runs=()), 2)
    after.add([agent(1)], 3)
    [run] = after.changes().runs

    assert run.trace_ids == (TRACE, OTHER_TRACE)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_tied_traces_are_the_same_runs_whatever_came_when(rng: random.Random) -> None:
    """Any order, batches and repetitions, and restarts in between: the runs of one request."""
    steps = _tied(rng)
    whole = Assembler()
    whole.add(steps, 1)
    expected = _written({}, whole.changes())

    arrived = steps + rng.sample(steps, len(steps) // 3)
    rng.shuffle(arrived)
    assembler, runs = Assembler(), dict[str, Run]()
    while arrived:
        batch, arrived = arrived[: (size := rng.randrange(1, 5))], arrived[size:]
        assembler.add(batch, 1)
        if rng.random() < 0.5:
            _written(runs, assembler.changes())
            assembler = _restarted(assembler, runs) if rng.random() < 0.4 else assembler
    _written(runs, assembler.changes())

    assert not assembler.failures
    assert runs == expected


def _tied(rng: random.Random) -> list[Step]:
    """Spans in up to four traces, some of which link to others, whether these come or not."""
    traces = TRACES[: rng.randrange(2, 5)]
    steps: list[Step] = []
    for number in range(1, rng.randrange(4, SPANS_MAX)):
        trace_id = rng.choice(traces)
        above = [int(each.span_id, 16) for each in steps if each.trace_id == trace_id]
        start = rng.randrange(0, 200)
        step = any_step(rng, number, rng.choice([0, *above, 99]), start, start + 50)
        linked = (rng.choice(TRACES), span(rng.randrange(1, SPANS_MAX)))
        steps.append(
            replace(
                step,
                trace_id=trace_id,
                links=(linked,) if rng.random() < 0.4 else (),
                run_id=rng.choice(["", "", step.run_id, "another"]) if step.run_id else "",
                dialect=rng.choice(["", "autogen"]),
            )
        )
    return steps


def _written(runs: dict[str, Run], changes: Changes) -> dict[str, Run]:
    """As the store keeps it."""
    for removed in changes.removed:
        runs.pop(removed.run_id, None)
    runs |= {run.run_id: run for run in changes.runs}
    return runs


def _restarted(before: Assembler, runs: dict[str, Run]) -> Assembler:
    """A new process that reads back what the store has."""
    after = Assembler()
    for held in {id(held): held for held in before._by_key.values()}.values():
        steps = [n.step for trace in held.group.traces.values() for n in trace.nodes.values()]
        known = [runs[run.run_id] for run in held.group.runs()]
        after.restore(Stored(steps=tuple(steps), events=(), runs=tuple(known)), 2)
    return after
