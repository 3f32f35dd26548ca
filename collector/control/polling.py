"""Reading control events from the store, again and again, without reading much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from otel_agentrun.step import Event

__all__ = ["Read", "StorePoll"]

SECOND: Final = 1_000_000_000
RECENT_NS: Final = 900 * SECOND
"""What is decided now is a few seconds old when the store has it."""
WHOLE_SECS: Final = 60.0
"""How often everything that is remembered is read, for what a collector could not store earlier."""
OVERLAP_SECS: Final = 30
"""How far the clocks of collectors and servers may differ, and how long an insert may take."""


class Read(Protocol):
    def __call__(self, since_ns: int, received_secs: int) -> list[Event]:
        """See `collector.store.control_events`.  Raises StoreError."""


class StorePoll:
    """Decides what to read next: everything first, then what is new."""

    def __init__(self, read: Read, remember_secs: float, monotonic: Callable[[], float]) -> None:
        self._read = read
        self._remember_ns = int(remember_secs * SECOND)
        self._monotonic = monotonic
        self._whole_at: float | None = None
        self._whole_ns = 0

    @property
    def has_read(self) -> bool:
        return self._whole_at is not None

    def events(self, now_ns: int) -> list[Event]:
        """Raises StoreError; nothing is skipped then."""
        now = self._monotonic()
        if self._whole_at is not None and now - self._whole_at < WHOLE_SECS:
            received = now_ns // SECOND - OVERLAP_SECS
            return self._read(now_ns - min(RECENT_NS, self._remember_ns), received)
        received = self._whole_ns // SECOND - OVERLAP_SECS if self._whole_ns else 0
        found = self._read(now_ns - self._remember_ns, received)
        self._whole_at, self._whole_ns = now, now_ns
        return found
