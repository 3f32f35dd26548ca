"""The default rules find loops, and leave alone what only looks busy (loops of captures:
tests/runs/test_captures.py)."""

from __future__ import annotations

from functools import cache

import pytest

from tests.bench.detection.measure import Report, measure
from tests.bench.detection.trajectories import path

needs_trajectories = pytest.mark.skipif(path() is None, reason="the trajectories are not here")


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
