"""Steps that a decoder process made of a request, until the fold reads the request's record.

Only a shortcut: what is not here (a record read back from disk, or one of an earlier process) is
normalized from its batch, with the same result.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

BYTES_MAX: Final = 64 << 20
"""About what the journal keeps in memory; the oldest give way."""


class Normalized:
    """Columns of steps by the journal record they belong to.  Safe to use from any thread."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._held: OrderedDict[int, tuple[object, bytes]] = OrderedDict()
        """id of a payload -> (the payload, so that the id stays its own; its steps)."""
        self._bytes = 0

    def put(self, payload: object, steps: bytes) -> None:
        with self._lock:
            self._held[id(payload)] = (payload, steps)
            self._bytes += len(steps)
            while self._bytes > self._bytes_max:
                _, (_, oldest) = self._held.popitem(last=False)
                self._bytes -= len(oldest)

    def take(self, payload: object) -> bytes:
        """The steps of a payload, once; b"" when they are not here."""
        with self._lock:
            held = self._held.pop(id(payload), None)
            if held is None:
                return b""
            self._bytes -= len(held[1])
            return held[1]
