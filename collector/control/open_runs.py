"""The open runs as they were last folded, for answers that cannot wait for the store."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from collector.runs.run import Run

__all__ = ["OpenRuns"]

OPEN: Final = frozenset({"initiated", "running", "paused"})
RUNS_MAX: Final = 20_000
"""Past it the ones that were folded longest ago are let go."""
DEPTH_MAX: Final = 64


class OpenRuns:
    """Fed with every run that was folded.  Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._by_trace: dict[str, str] = {}
        """Trace id -> its run that has no parent."""

    def __len__(self) -> int:
        return len(self._runs)

    def put(self, runs: Iterable[Run]) -> None:
        with self._lock:
            for run in runs:
                self._drop(run.run_id)
                if run.status in OPEN:
                    self._runs[run.run_id] = run
                    if not run.parent_run_id:
                        for trace_id in run.trace_ids:
                            self._by_trace[trace_id] = run.run_id
            while len(self._runs) > RUNS_MAX:
                self._drop(next(iter(self._runs)))

    def get(self, run_id: str, trace_id: str = "") -> Run | None:
        """By id, else the run of this trace that is in no other."""
        with self._lock:
            return self._runs.get(run_id or self._by_trace.get(trace_id, ""))

    def above(self, run: Run) -> list[Run]:
        """The open runs it is part of, nearest first."""
        found: list[Run] = []
        with self._lock:
            parent = self._runs.get(run.parent_run_id)
            while parent is not None and len(found) < DEPTH_MAX:
                found.append(parent)
                parent = self._runs.get(parent.parent_run_id)
        return found

    def _drop(self, run_id: str) -> None:
        run = self._runs.pop(run_id, None)
        for trace_id in run.trace_ids if run is not None else ():
            if self._by_trace.get(trace_id) == run_id:
                del self._by_trace[trace_id]
