"""Senders are held to what the store takes, so that what they are told is stored can soon be seen.

Decoding is ahead of folding and storing: a burst that is acknowledged at once waits behind itself,
and its runs are seen seconds later.  A request that is taken a little later instead makes a sender
that waits for its answer (all exporters do) send no faster than the store can follow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

BEHIND_SPANS: Final = 16_000
"""Acknowledged and not stored: a bit more than half a second's work on two cores."""
HELD_SECS_MAX: Final = 0.25
"""Nobody waits longer: past it the journal takes up the difference."""
POLL_SECS: Final = 0.01


class Pace:
    """One per collector; used in its event loop."""

    def __init__(self, behind: Callable[[], int], held: Callable[[float], None]) -> None:
        """`behind` tells how many spans a working store has yet to take: 0 while it does not work,
        since waiting would not help.  `held` hears of seconds that a request waited."""
        self._behind = behind
        self._held = held

    async def wait(self) -> None:
        """Until the store has nearly caught up, but not for long."""
        if self._behind() <= BEHIND_SPANS:
            return
        began = time.monotonic()
        for _ in range(round(HELD_SECS_MAX / POLL_SECS)):
            await asyncio.sleep(POLL_SECS)
            if self._behind() <= BEHIND_SPANS:
                break
        self._held(time.monotonic() - began)
