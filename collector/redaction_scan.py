"""Which values of a column a redaction rule might match: one Hyperscan pass over all their bytes.

Hyperscan runs every hint at once at some GB/s, keeps the patterns compiled and leaves the GIL to
others; RE2 by way of Arrow took eight times as long and compiled the pattern for each call.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import hyperscan
import numpy as np
import pyarrow as pa

__all__ = ["HintScanner"]


class HintScanner:
    """Finds values in which a hint matches; threads may share one."""

    def __init__(self, hints: Sequence[str]) -> None:
        """`hints` are patterns over UTF-8 bytes in the syntax that RE2, `re` and PCRE share; none
        looks at what is before or after its match or matches the empty string.
        """
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[hint.encode() for hint in hints],
            ids=list(range(len(hints))),
            flags=[0] * len(hints),
        )
        self._local = threading.local()

    def suspects(self, texts: pa.Array) -> list[int]:
        """Places of the values (string or large_string) that may hold a match, in order.

        A superset: values are searched as if written one after the other, so a match across an edge
        names the value it ends in.
        """
        large = pa.types.is_large_string(texts.type)
        _, starts, data = texts.buffers()
        if starts is None or data is None:  # Arrays without rows or text may lack them.
            return []
        offsets = np.frombuffer(starts, np.int64 if large else np.int32)
        offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
        begin, end = int(offsets[0]), int(offsets[-1])
        view = memoryview(data)
        found: list[int] = []
        # One hit is enough to suspect a value, so a value full of hits costs no more than one.
        while begin < end and (size := self._first_end(view[begin:end])) is not None:
            row = int(np.searchsorted(offsets, begin + size - 1, side="right")) - 1
            found.append(row)
            begin = int(offsets[row + 1])
        return found

    def _first_end(self, data: memoryview) -> int | None:
        """How many bytes of `data` there are up to the end of the match that ends first."""
        ends: list[int] = []

        def stop(_id: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            ends.append(end)
            return True

        try:
            self._database.scan(
                data,  # type: ignore[type-var]  # any buffer will do
                match_event_handler=stop,
                scratch=self._scratch(),
            )
        except hyperscan.ScanTerminated:
            return ends[0]
        return None

    def _scratch(self) -> hyperscan.Scratch:
        """Memory that a scan needs, one for each thread."""
        scratch: hyperscan.Scratch | None = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        return scratch
