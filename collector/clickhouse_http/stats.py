"""Counters of the read endpoint: written from the event loop's thread, read by a metrics page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from collector.accounting import Histogram

SECS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
NAMES_MAX: Final = 64
"""Distinct error names kept; further ones count as `other`."""


@dataclass(slots=True)
class ReadStats:
    """Since the process started."""

    queries: Counter[str] = field(default_factory=Counter)
    """{query} by outcome: `ok`, `error` (the engine refused or failed it), `refused` (never run),
    `gone` (the client left)."""
    refused: Counter[str] = field(default_factory=Counter)
    """{query} that were not answered, by the error's name in lower case."""
    secs: Histogram = field(default_factory=lambda: Histogram(bounds_secs=SECS))
    """Time of statements that were run."""
    running: int = 0
    waiting: int = 0

    def failed(self, outcome: str, name: str) -> None:
        name = name.lower()
        if name not in self.refused and len(self.refused) >= NAMES_MAX:
            name = "other"
        self.queries[outcome] += 1
        self.refused[name] += 1
