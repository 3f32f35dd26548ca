"""The collector's side of forwarding: spools what is folded, minds the process that sends.

`take` is called before a flush counts as written, so that a spool has what the journal lets go: at
least once, also across `kill -9`.  It costs the disk once for all backends, never waits for one,
and never raises.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from collector.forward import payload, spool
from collector.forward.settings import Backend
from collector.forward.spool import Name
from collector.model import Signal
from collector.runs.run import PlacedStep, Run

log = logging.getLogger(__name__)

BEHIND_SECS: Final = 60.0
"""A backend whose oldest item waits longer is behind."""
RECENT_SECS: Final = 900.0
"""How long a loss is worth a warning."""
RESTART_SECS: Final = (0.2, 1.0, 5.0, 30.0)
POLL_SECS: Final = 0.02
END_SECS: Final = 2.0
LOG_SECS: Final = 60.0
"""One line per backend and kind of trouble within this time."""


@dataclass(slots=True)
class Tally:
    """What became of the items of one backend since the start."""

    forwarded: Counter[str] = field(default_factory=Counter)
    """By signal."""
    skipped: Counter[str] = field(default_factory=Counter)
    """By signal: its match expression did not want them."""
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    failures: Counter[str] = field(default_factory=Counter)
    """Requests that are tried again, by reason."""
    pending_bytes: int = 0
    pending_items: int = 0
    lag_secs: float = 0.0
    """Age of the oldest item that waits."""


class _Lane:
    """A spool as the collector keeps account of it."""

    def __init__(self, backend: Backend) -> None:
        """Raises OSError."""
        self.backend = backend
        self.directory = Path(backend.directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for draft in self.directory.glob(f"*{spool.DRAFT}"):
            draft.unlink()
        self.files: dict[Name, int] = {}
        self.bytes = 0
        self.tally = Tally()
        self.trouble = ""
        """Why the backend does not take what it should; "" while it does."""
        self.lost_at = 0.0
        self.said: dict[str, float] = {}
        self.look()

    def look(self) -> None:
        self.files = spool.listed(self.directory)
        self.bytes = sum(self.files.values())

    def add(self, name: Name, size: int) -> None:
        self.files[name] = size
        self.bytes += size

    def remove(self, name: Name) -> None:
        self.bytes -= self.files.pop(name, 0)

    def make_room(self, size: int) -> None:
        """Drop the oldest files until `size` more bytes fit."""
        for name in list(self.files):
            if self.bytes + size <= self.backend.buffer_bytes_max:
                return
            if spool.drop(self.directory, name):
                self.remove(name)
                self.lost("buffer_full", name.items, self.trouble or "it is slower than what comes")
            elif not (self.directory / name.claimed).exists():
                self.remove(name)

    def lost(self, reason: str, items: int, why: str) -> None:
        self.tally.dropped[reason] += items
        self.lost_at = time.monotonic()
        if self._first(reason):
            log.error(
                "forward_dropped",
                extra={"backend": self.backend.name, "reason": reason, "items": items, "why": why},
            )

    def failed(self, reason: str, message: str) -> None:
        self.tally.failures[reason] += 1
        self.trouble = message or reason
        if self._first(reason):
            log.warning(
                "forward_failed",
                extra={"backend": self.backend.name, "reason": reason, "why": message},
            )

    def _first(self, kind: str) -> bool:
        now = time.monotonic()
        if now - self.said.get(kind, -LOG_SECS) < LOG_SECS:
            return False
        self.said[kind] = now
        return True


class Forwarding:
    """All backends of a collector.  Start with `start`, end with `close`."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        """Raises OSError for a spool's folder that cannot be made."""
        self._lock = threading.Lock()
        self._lanes = {backend.name: _Lane(backend) for backend in backends}
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe_lock = threading.Lock()
        """Nobody writes to a descriptor that is closed meanwhile, and then somebody else's."""
        self._closing = threading.Event()
        self._last = max((n.number for lane in self._lanes.values() for n in lane.files), default=0)
        self._minder = threading.Thread(target=self._mind, name="forward", daemon=True)

    def start(self) -> None:
        if self._lanes:
            self._minder.start()

    @property
    def pid(self) -> int:
        """Of the process that sends; 0 while there is none."""
        process = self._process
        return process.pid if process is not None else 0

    def close(self, drain_secs: float = 0.0) -> None:
        """Let the process send for `drain_secs` at most, as long as nothing fails; the spools keep
        the rest."""
        if not self._lanes:
            return
        deadline = time.monotonic() + drain_secs
        while time.monotonic() < deadline and self._busy():
            time.sleep(POLL_SECS)
        self._closing.set()
        process = self._process
        if process is not None:
            self._hang_up(process)
            try:
                process.wait(END_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._minder.join(END_SECS)

    def _busy(self) -> bool:
        with self._lock:
            return any(lane.files and not lane.trouble for lane in self._lanes.values())

    # ------------------------------------------------------------------ what comes in

    def take(
        self,
        *,
        spans: Sequence[pa.RecordBatch],
        logs: Sequence[pa.RecordBatch],
        steps: Sequence[PlacedStep],
        runs: Sequence[Run],
    ) -> None:
        """Spool what was folded together: `model.SPANS` and `model.LOGS`, where the spans were
        placed, and runs of these places.  Never raises: what it cannot keep is counted."""
        everyone = list(self._lanes.values())
        wanting = [lane for lane in everyone if lane.backend.logs]
        if spans and everyone:
            items = sum(batch.num_rows for batch in spans)
            encode = partial(payload.encode_spans, spans, steps, runs)
            self._take(Signal.TRACES, items, everyone, encode)
        if logs and wanting:
            items = sum(batch.num_rows for batch in logs)
            self._take(Signal.LOGS, items, wanting, partial(payload.encode_logs, logs))
        self._wake()

    def _take(
        self,
        signal: Signal,
        items: int,
        lanes: Sequence[_Lane],
        encode: Callable[[], pa.Buffer],
    ) -> None:
        self._last = max(time.time_ns(), self._last + 1)
        name = Name(self._last, signal, items)
        draft = lanes[0].directory / f"{name}{spool.DRAFT}"
        try:
            content = encode()
            spool.write(draft, content)
            size = spool.charged(draft.stat().st_size)
        except Exception as error:
            reason = "disk" if isinstance(error, OSError) else "internal"
            if reason == "internal":
                log.exception("forward_not_encoded")
            with self._lock:
                for lane in lanes:
                    lane.lost(reason, items, str(error))
            return
        for lane in lanes:
            with self._lock:
                lane.make_room(size)
                if lane.bytes + size > lane.backend.buffer_bytes_max:
                    lane.lost("buffer_full", items, "one flush is larger than the buffer")
                    continue
                try:
                    os.link(draft, lane.directory / name.waiting)
                    spool.sync(lane.directory)
                except OSError as error:
                    lane.lost("disk", items, str(error))
                else:
                    lane.add(name, size)
        with contextlib.suppress(OSError):
            draft.unlink()

    def erase(self, trace_ids: Collection[str]) -> int:
        """Take these traces out of what still waits; how many items went.

        What a backend has is the backend's.  Raises OSError.
        """
        removed = 0
        for lane in self._lanes.values():
            for path in spool.paths(lane.directory):
                removed += _erase_from(path, trace_ids)
            with self._lock:
                lane.look()
        return removed

    # ------------------------------------------------------------------ what is asked

    def tallies(self) -> dict[str, Tally]:
        """A copy, by backend."""
        now_ns = time.time_ns()
        found = {}
        with self._lock:
            for name, lane in self._lanes.items():
                tally = lane.tally
                first = next(iter(lane.files), None)
                found[name] = Tally(
                    forwarded=tally.forwarded.copy(),
                    skipped=tally.skipped.copy(),
                    dropped=tally.dropped.copy(),
                    failures=tally.failures.copy(),
                    pending_bytes=lane.bytes,
                    pending_items=sum(file.items for file in lane.files),
                    lag_secs=max(0.0, (now_ns - first.number) / 1e9) if first else 0.0,
                )
        return found

    def troubles(self) -> list[tuple[str, str]]:
        """(what is wrong with a backend, what to do about it), for `/readyz` and `doctor`."""
        now = time.monotonic()
        found = []
        for name, tally in self.tallies().items():
            lane = self._lanes[name]
            if lane.trouble or tally.lag_secs > BEHIND_SECS:
                why = f": {lane.trouble}" if lane.trouble else ""
                waiting = f"{tally.pending_items:,} items wait"
                found.append(
                    (
                        f"{name} is {tally.lag_secs:.0f} s behind, {waiting}{why}",
                        f"Check {lane.backend.endpoint}, its headers and its load.",
                    )
                )
            if lane.lost_at and now - lane.lost_at < RECENT_SECS:
                reasons = ", ".join(f"{count:,} {why}" for why, count in tally.dropped.items())
                found.append(
                    (
                        f"{name} lost items since the start: {reasons}",
                        "docs/forwarding.md says what each reason means.",
                    )
                )
        return found

    # ------------------------------------------------------------------ the process

    def _mind(self) -> None:
        deaths = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._process = self._spawn()
            except OSError as error:
                log.error("forward_process_not_started", extra={"reason": str(error)})
            else:
                if self._closing.is_set():  # meanwhile
                    self._hang_up(self._process)
                self._listen(self._process)
                self._process.wait()
                self._hang_up(self._process)
            if self._closing.is_set():
                return
            code = self._process.returncode if self._process is not None else None
            log.error("forward_process_ended", extra={"code": code, "fix": "it is started again"})
            with self._lock:
                for lane in self._lanes.values():
                    lane.look()
            deaths = 0 if time.monotonic() - began > BEHIND_SECS else deaths + 1
            self._closing.wait(RESTART_SECS[min(deaths, len(RESTART_SECS) - 1)])

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "collector.forward.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        lines = [lane.backend.to_json() for lane in self._lanes.values()]
        process.stdin.write("\n".join([*lines, "", ""]).encode())
        process.stdin.flush()
        # A process that hangs must not make `take` wait for room in the pipe.
        os.set_blocking(process.stdin.fileno(), False)
        return process

    def _wake(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with self._pipe_lock, contextlib.suppress(OSError, ValueError):
                os.write(process.stdin.fileno(), b"\n")

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with self._pipe_lock, contextlib.suppress(OSError):
            process.stdin.close()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                try:
                    self._hear(json.loads(line))
                except (ValueError, KeyError):
                    log.error("forward_report_not_read", extra={"line": line[:200].decode()})

    def _hear(self, report: dict[str, Any]) -> None:
        lane = self._lanes[report["backend"]]
        with self._lock:
            match report["event"]:
                case "sent":
                    lane.tally.forwarded[report["signal"]] += report["items"]
                    if lane.trouble:
                        log.info("forward_works_again", extra={"backend": lane.backend.name})
                    lane.trouble = ""
                    lane.said.clear()
                case "skipped":
                    lane.tally.skipped[report["signal"]] += report["items"]
                case "dropped":
                    lane.trouble = ""
                    lane.lost(report["reason"], report["items"], report["message"])
                case "failed":
                    lane.failed(report["reason"], report["message"])
                case "done":
                    name = spool.parse(report["file"] + spool.WAITING)
                    if name is not None:
                        lane.remove(name)


def _erase_from(path: Path, trace_ids: Collection[str]) -> int:
    name = spool.parse(path.name)
    assert name is not None
    try:
        kept, removed = payload.without(path.read_bytes(), name.signal, trace_ids)
    except FileNotFoundError:  # sent or dropped meanwhile
        return 0
    except pa.ArrowException:  # nobody can read it: it holds what is to be erased, for all we know
        path.unlink(missing_ok=True)
        return name.items
    if not removed:
        return 0
    if kept is None:
        path.unlink(missing_ok=True)
    else:
        draft = path.with_suffix(spool.DRAFT)
        spool.write(draft, kept)
        draft.replace(path)
        spool.sync(path.parent)
    return removed
