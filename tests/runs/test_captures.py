"""One contract over all dialects: every capture gives the runs that were scripted, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from collector.runs.assembler import Assembler, Stored
from collector.runs.run import Changes, Run
from otel_agentrun.step import Event
from tests.support import captures
from tests.support.truth import (
    NOW_NS,
    Capture,
    assembled,
    differences,
    expected_gaps,
    judging,
    load,
)

SOURCES = captures.sources()


@cache
def folded(source: str) -> tuple[Capture, Changes, list[Event]]:
    capture = load(source)
    return (capture, *assembled(capture))


@pytest.mark.parametrize("source", SOURCES)
def test_runs_are_what_was_scripted(source: str) -> None:
    """Runs, calls, errors, tokens, tools in order and outcome equal the truth; what an emitter
    does not send is declared in `gaps.yaml` beside its capture, no more and no less."""
    capture, changes, _ = folded(source)
    gaps, faults = differences(capture, changes)
    expected = expected_gaps(source)

    undeclared = {key: pair for key, pair in gaps.items() if key not in expected}
    closed = {key: why for key, why in expected.items() if key not in gaps}
    assert not faults
    assert not undeclared, "less than the truth; if the emitter does not send it: gaps.yaml"
    assert not closed, "these gaps are closed: take them out of gaps.yaml"


@pytest.mark.parametrize("source", SOURCES)
def test_a_field_that_is_not_sent_is_noted_on_the_run(source: str) -> None:
    """A person sees from the run itself which zero may be something that nobody told us."""
    capture, changes, _ = folded(source)
    gaps, _ = differences(capture, changes)
    truths = {t["run"]: t for t in captures.truth(captures.folder(source))["runs"]}
    noted = {
        "input_tokens": {"tokens_missing"},
        "output_tokens": {"tokens_missing"},
        "cached_input_tokens": {"cached_tokens_missing", "tokens_missing"},
        "reasoning_tokens": {"reasoning_tokens_missing", "tokens_missing"},
        "tool_calls": {"tool_spans_missing"},
        "model_calls": {"model_spans_missing"},
    }
    for (name, field), (got, _) in gaps.items():
        unseen = field != "model_calls" and (name, "model_calls") in gaps
        if got or field not in noted or unseen:
            continue  # a call that left no span at all leaves no note either
        traces = set(truths[name]["trace_ids"]) | set(truths[name].get("trace_ids_any_of") or ())
        of_run = [run for run in changes.runs if traces & set(run.trace_ids)]
        if field == "tool_calls" and len(of_run) > 1:
            continue  # calls that nothing ties together: none follows another
        said = {note for run in of_run for note in run.data_quality}
        assert said & noted[field], (name, field, said)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", [1, 2])
def test_arrival_does_not_matter(source: str, seed: int) -> None:
    """Promise 3: permuted, in requests of 1 to 9 spans, a third of it twice, a restart between."""
    capture, _, closing = folded(source)
    whole, _ = assembled(capture, Assembler)

    assert _arrived(capture, closing, seed, Assembler) == {run.run_id: run for run in whole.runs}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", [3, 4])
def test_arrival_does_not_matter_to_the_rules(source: str, seed: int) -> None:
    """S5.43, promise 3: the same loops, budgets and outcomes; a revision counts what was told of
    them on the way."""
    capture, whole, closing = folded(source)
    runs = _arrived(capture, closing, seed, judging)

    assert {run_id: replace(run, revision=0) for run_id, run in runs.items()} == {
        run.run_id: replace(run, revision=0) for run in whole.runs
    }


def _arrived(
    capture: Capture, closing: list[Event], seed: int, start: Callable[[], Assembler]
) -> dict[str, Run]:
    rng = random.Random(seed)
    steps = capture.steps
    steps += rng.sample(steps, len(steps) // 3)
    events = [*capture.events, *closing]
    rng.shuffle(steps)
    rng.shuffle(events)
    middle = rng.randrange(len(steps))
    assembler, runs = start(), dict[str, Run]()
    for part, restart in ((steps[:middle], True), (steps[middle:], False)):
        at = 0
        while at < len(part):
            size = rng.randrange(1, 10)
            assembler.add(part[at : at + size], NOW_NS)
            if events and rng.random() < 0.5:
                assembler.add_event(events.pop(), NOW_NS)
            if rng.random() < 0.2 or restart:
                _write(runs, assembler.changes())
            at += size
        if restart:
            _write(runs, assembler.changes())
            assembler = _restarted(assembler, runs, start())
    for event in events:
        assembler.add_event(event, NOW_NS)
    _write(runs, assembler.changes())
    assert not assembler.failures
    return runs


def _write(runs: dict[str, Run], changes: Changes) -> None:
    """As the store keeps it."""
    for removed in changes.removed:
        runs.pop(removed.run_id, None)
    runs |= {run.run_id: run for run in changes.runs}


def _restarted(before: Assembler, runs: dict[str, Run], after: Assembler) -> Assembler:
    """A new process that reads back what the store has."""
    for held in {id(held): held for held in before._by_key.values()}.values():
        group = held.group
        after.restore(
            Stored(
                steps=tuple(
                    n.step for trace in group.traces.values() for n in trace.nodes.values()
                ),
                events=tuple(group.events.values()),
                runs=tuple(runs[run.run_id] for run in group.runs()),
            ),
            NOW_NS,
        )
    return after
