"""Reports that went up the control stream and that no collector has confirmed yet.

They are kept until they are confirmed: sent again over the next stream, or given back to be sent as
log events.  A collector that gets some of them twice takes them once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from otel_agentrun.log_wire import Event
from otel_agentrun.verdicts import OpenRun

__all__ = ["Batch", "Unconfirmed"]

BYTES_MAX: Final = 8 << 20
BATCHES_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one Reports message says."""

    events: tuple[Event, ...] = ()
    logs: bytes = b""
    """The same, encoded."""
    started: tuple[OpenRun, ...] = ()
    ended: tuple[str, ...] = ()


class Unconfirmed:
    """Bounded, in the order of sending.  Only to be used under one lock."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sent: OrderedDict[int, tuple[Batch, float]] = OrderedDict()
        self._bytes = 0
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._sent)

    def is_full(self) -> bool:
        return self._bytes >= BYTES_MAX or len(self._sent) >= BATCHES_MAX

    def add(self, batch: Batch, now: float) -> int:
        """The sequence number under which it is to be sent; `now` is monotonic seconds."""
        self._sequence += 1
        self._sent[self._sequence] = (batch, now)
        self._bytes += len(batch.logs)
        return self._sequence

    def confirm(self, sequence: int) -> None:
        found = self._sent.pop(sequence, None)
        if found is not None:
            self._bytes -= len(found[0].logs)

    def waits_since(self) -> float | None:
        """When the oldest one was sent; `None` where there is none."""
        return next((since for _, since in self._sent.values()), None)

    def renumber(self, now: float) -> list[tuple[int, Batch]]:
        """For a new stream: what is left, under sequence numbers that begin with 1."""
        left = [batch for batch, _ in self._sent.values()]
        self._clear()
        return [(self.add(batch, now), batch) for batch in left]

    def take(self) -> list[Event]:
        """Everything that is left; nothing is afterwards."""
        left = [event for batch, _ in self._sent.values() for event in batch.events]
        self._clear()
        return left
