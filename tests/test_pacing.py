"""Requests wait for a store that falls behind, and only for a moment."""

from __future__ import annotations

import asyncio

from collector.pacing import BEHIND_SPANS, HELD_SECS_MAX, Pace


def test_nobody_waits_while_the_store_follows() -> None:
    held: list[float] = []

    asyncio.run(Pace(lambda: BEHIND_SPANS, held.append).wait())

    assert held == []


def test_a_request_waits_until_the_store_has_caught_up() -> None:
    """Senders wait for their answers: what they send is seen soon after it was acknowledged."""
    backlog = iter([BEHIND_SPANS + 2, BEHIND_SPANS + 2, BEHIND_SPANS + 1])
    held: list[float] = []

    asyncio.run(Pace(lambda: next(backlog, BEHIND_SPANS), held.append).wait())

    assert len(held) == 1
    assert 0 < held[0] < HELD_SECS_MAX


def test_a_store_that_stays_behind_holds_nobody_for_long() -> None:
    """The journal is there to take up a difference: an exporter must not run into its timeout."""
    held: list[float] = []

    asyncio.run(Pace(lambda: BEHIND_SPANS + 1, held.append).wait())

    assert HELD_SECS_MAX <= held[0] < 4 * HELD_SECS_MAX
