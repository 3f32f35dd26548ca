"""What control counts; `/metrics` shows it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from collector.accounting import Histogram

AUTHORIZE_BUCKETS_SECS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)


@dataclass(slots=True, kw_only=True)
class ControlStats:
    """Counted from several threads, each under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    streams: int = 0
    """Open now."""
    refused: Counter[str] = field(default_factory=Counter)
    """Streams that were not taken, by reason."""
    dropped: Counter[str] = field(default_factory=Counter)
    """What was let go for want of room or sense: messages, findings, open runs; by reason."""
    directives: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(action, status)."""
    authorized: Counter[str] = field(default_factory=Counter)
    """By decision."""
    authorize_secs: Histogram = field(
        default_factory=lambda: Histogram(bounds_secs=AUTHORIZE_BUCKETS_SECS)
    )

    def opened(self, change: int) -> None:
        with self.lock:
            self.streams += change

    def refuse(self, reason: str) -> None:
        with self.lock:
            self.refused[reason] += 1

    def drop(self, reason: str, number: int = 1) -> None:
        with self.lock:
            self.dropped[reason] += number

    def directive(self, action: str, status: str) -> None:
        with self.lock:
            self.directives[action, status] += 1

    def authorize(self, decision: str, secs: float) -> None:
        with self.lock:
            self.authorized[decision] += 1
            self.authorize_secs.observe(secs)
