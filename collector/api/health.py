"""Is the collector ready: checks that look at the real thing, each with what to do when it fails.

A check blocks on a disk or a server, so each runs in its own thread with a deadline; one that hangs
is reported as hanging and never started twice.  Answers are kept for a moment, so that probes from
many sides cost one canary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shutil import disk_usage

from collector.api.values import Document
from collector.errors import RetryableError, StoreError


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Works, and will not for long or not well."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    status: Status
    message: str
    hint: str = ""
    """What to do about it; empty when all is well."""

    def document(self) -> Document:
        return {
            "check": self.check,
            "status": self.status.value,
            "message": self.message,
            "hint": self.hint or None,
        }


Check = Callable[[], Finding]


class Health:
    """Runs the checks behind `/readyz`."""

    def __init__(
        self, checks: Mapping[str, Check], *, timeout_secs: float = 5.0, keep_secs: float = 2.0
    ) -> None:
        self._checks = dict(checks)
        self._timeout_secs = timeout_secs
        self._keep_secs = keep_secs
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Future[Finding], float]] = {}
        self._kept: tuple[float, list[Finding]] | None = None
        self._stopping = False

    def stop(self) -> None:
        """From now on not ready: the collector is shutting down."""
        self._stopping = True

    def findings(self) -> list[Finding]:
        """One finding per check, in the order given.  Blocks for `timeout_secs` at most."""
        if self._stopping:
            return [
                Finding(
                    check="collector",
                    status=Status.FAIL,
                    message="the collector is shutting down",
                    hint="Send to another collector, or start this one again.",
                )
            ]
        with self._lock:
            if self._kept and time.monotonic() < self._kept[0] + self._keep_secs:
                return self._kept[1]
            deadline = time.monotonic() + self._timeout_secs
            for name in self._checks:
                self._start(name)
            findings = [self._finish(name, deadline) for name in self._checks]
            self._kept = (time.monotonic(), findings)
            return findings

    def _start(self, name: str) -> None:
        if name in self._running:  # hung last time; its thread is still at it
            return
        future: Future[Finding] = Future()
        check = self._checks[name]

        def run() -> None:
            try:
                future.set_result(check())
            except Exception as error:  # a check must not end with the thread
                future.set_result(failure(name, error))

        self._running[name] = (future, time.monotonic())
        threading.Thread(target=run, name=f"check-{name}", daemon=True).start()

    def _finish(self, name: str, deadline: float) -> Finding:
        future, began = self._running[name]
        try:
            finding = future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return Finding(
                check=name,
                status=Status.FAIL,
                message=f"no answer for {time.monotonic() - began:.0f} s",
                hint="Look for a hanging disk or an unreachable server.",
            )
        del self._running[name]
        return finding


def failure(name: str, error: Exception) -> Finding:
    """An exception as a finding, with the hint that its class carries."""
    hint = f"Look at the collector's log for {name!r}."
    if isinstance(error, StoreError) and error.hint:
        hint = error.hint
    elif isinstance(error, RetryableError):
        hint = "Nothing acknowledged is lost; senders retry. It clears when the store catches up."
    elif isinstance(error, OSError):
        hint = "Check that the path exists, that the disk has space, and its permissions."
    said = str(error) or type(error).__name__
    return Finding(check=name, status=Status.FAIL, message=said, hint=hint)


def probe(name: str, act: Callable[[], object], well: str) -> Check:
    """A check that is well when `act` returns: `probe("store", store.canary, "read back")`."""

    def check() -> Finding:
        try:
            act()
        except Exception as error:
            return failure(name, error)
        return Finding(check=name, status=Status.OK, message=well)

    return check


def disk_check(path: Path, *, free_min_bytes: int) -> Check:
    """Warns below twice `free_min_bytes` of free space and fails below it."""

    def check() -> Finding:
        free = disk_usage(path).free
        status, hint = Status.OK, ""
        if free < 2 * free_min_bytes:
            status = Status.FAIL if free < free_min_bytes else Status.WARN
            hint = f"Free space on the disk of {path}, or move it with --data-dir."
        message = f"{free / 1e9:.1f} GB free at {path}"
        return Finding(check="disk", status=status, message=message, hint=hint)

    return check
