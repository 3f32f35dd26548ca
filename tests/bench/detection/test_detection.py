"""The default rules find loops, and leave alone what only looks busy."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from collector.runs.assembler import Assembler
from collector.runs.judge import RulesInForce
from otel_agentrun import semconv
from otel_agentrun.rules import DEFAULTS, Ruleset, RulesFile
from otel_agentrun.step import Event, Kind
from tests.bench.detection.measure import Report, measure
from tests.bench.detection.trajectories import path
from tests.support import captures
from tests.support.truth import NOW_NS, assembled, load

needs_trajectories = pytest.mark.skipif(path() is None, reason="the trajectories are not here")
SEARCH = "search_docs"
CALLS = 6
EQUAL_CALLS = 4
NOT_SHOWN = {
    "adk": "no arguments are recorded",
    "logfire": "no results are recorded, and four different questions are gone through twice only",
}
"""Sources whose spans do not show that the run is stuck."""


@cache
def report() -> Report:
    return measure()


@needs_trajectories
def test_real_trajectories_are_not_taken_for_loops() -> None:
    """200 recorded conversations: at most 2 % are flagged, and those really repeat: the evidence
    holds every round."""
    found = report()

    assert found.trajectories == 200
    assert len({number for number, _ in found.flagged}) <= 0.02 * found.trajectories
    for _, finding in found.flagged:
        assert len(finding.span_ids) >= finding.amount


@needs_trajectories
def test_injected_loops_are_found_within_two_periods_of_being_provable() -> None:
    """S1.24, S1.25, S5.43: every kind, every period up to 16, at random points."""
    for pattern, score in report().scores.items():
        assert score.recall >= 0.98, (pattern, score)
        assert score.precision >= 0.98, (pattern, score)


def judged(source: str) -> list[Event]:
    """Findings of the default rules in a capture, closed as an ingest closes."""
    capture = load(source)
    assembler = Assembler(rules=RulesInForce(Ruleset(RulesFile(), DEFAULTS)))
    assembler.add(capture.steps, NOW_NS)
    for event in capture.events:
        assembler.add_event(event, NOW_NS)
    found = list(assembler.changes().findings)
    for event in assembler.quiet(NOW_NS, everything=True):
        assembler.add_event(event, NOW_NS)
    found += assembler.changes().findings
    assert not assembler.failures
    return [event for event, _ in found if semconv.FINDING_WITHDRAWN not in event.attributes]


def looping(source: str) -> set[str]:
    """Trace ids of the scripted run that does not get on: `search_docs` again and again, with
    slightly different questions, and the same answer each time, for long enough to be sure."""
    calls: dict[str, dict[str, str]] = {}
    for entry in assembled(load(source))[0].steps:
        step = entry.step
        if entry.counted and SEARCH in (step.tool_name or step.name) and step.kind is Kind.TOOL:
            calls.setdefault(step.trace_id, {})[step.span_id] = step.arguments_digest
    return {
        trace_id
        for trace_id, digests in calls.items()
        if len(digests) >= CALLS or max(Counter(digests.values()).values()) >= EQUAL_CALLS
    }


@pytest.mark.parametrize("source", captures.sources())
def test_captures_have_the_loops_that_they_show_and_no_others(source: str) -> None:
    """S5.43, precision and recall over every capture: the stuck run is flagged as a loop, and no
    other."""
    flagged = {
        event.trace_id
        for event in judged(source)
        if event.attributes[semconv.FINDING_KIND] == "loop"
    }
    assert flagged == (set() if source in NOT_SHOWN else looping(source))
