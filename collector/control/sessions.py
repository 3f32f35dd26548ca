"""Connected applications: which runs each has open, and who is to get a directive."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from collector.control.directives import Directive
from collector.control.messages import directive_message
from collector.control.state import RunFacts
from collector.control.stats import ControlStats

__all__ = ["Session", "Sessions"]

RUNS_MAX: Final = 100_000
"""Open runs known of one application; a directive for one past it goes to every application."""


@dataclass(eq=False, slots=True, kw_only=True)
class Session:
    """One connection of one application.  `outbox` belongs to the event loop `loop`."""

    application_id: str
    service_name: str = ""
    sdk_version: str = ""
    key_name: str = ""
    workspace: str = ""
    """That its API key is bound to; "" for none."""
    can_stop: bool = True
    can_pause: bool = True
    loop: asyncio.AbstractEventLoop
    outbox: asyncio.Queue[bytes | None]
    """Serialized `Down`; `None` ends the stream."""
    runs: dict[str, RunFacts] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    """Ids of directives that went into the outbox."""
    overflowed: bool = False
    """It takes too slowly: its stream ends, and what it missed comes with the next one."""

    def put(self, message: bytes | None) -> None:
        """On the event loop only."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.overflowed = True
            self.outbox.get_nowait()  # room for the end
            self.outbox.put_nowait(None)


class Sessions:
    """All connected applications.  Safe to use from any thread."""

    def __init__(self, stats: ControlStats) -> None:
        self._stats = stats
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], Session] = {}
        """(key name, application id) -> session."""
        self._holders: dict[str, set[Session]] = {}
        """Run id -> who has it open."""

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, session: Session, runs: Iterable[RunFacts]) -> Session | None:
        """Register; gives the session of the same application that this one takes the place of:
        a connection that died without a word."""
        key = (session.key_name, session.application_id)
        with self._lock:
            before = self._sessions.get(key)
            if before is not None:
                self._leave(before)
            self._sessions[key] = session
            self._started(session, runs)
        return before

    def close(self, session: Session) -> None:
        key = (session.key_name, session.application_id)
        with self._lock:
            if self._sessions.get(key) is session:
                del self._sessions[key]
            self._leave(session)

    def report(
        self, session: Session, started: Iterable[RunFacts], ended: Iterable[str]
    ) -> list[str]:
        """Runs began and ended; ids of those that are new here."""
        with self._lock:
            new = self._started(session, started)
            for run_id in ended:
                if session.runs.pop(run_id, None) is not None:
                    self._released(run_id, session)
        return new

    def holds(self, run_id: str) -> RunFacts | None:
        """What a connected application says of an open run."""
        with self._lock:
            for session in self._holders.get(run_id, ()):
                return session.runs[run_id]
        return None

    def holders(self, directive: Directive) -> int:
        """How many applications say that they have a run open that it concerns."""
        with self._lock:
            if directive.scope == "run":
                return len(self._holders.get(directive.target, ()))
            return sum(_has(session, directive) for session in self._sessions.values())

    def told(self, directive: Directive) -> int:
        """How many connected applications it was sent to."""
        with self._lock:
            sessions = self._sessions.values()
            return sum(directive.directive_id in session.sent for session in sessions)

    def route(self, directive: Directive) -> None:
        """Send to whom it may concern: the applications that hold the run; where none says so, and
        for a wider scope, all."""
        with self._lock:
            holders = self._holders.get(directive.target, ()) if directive.run_id else ()
            for session in tuple(holders) or tuple(self._sessions.values()):
                self._send(session, directive)

    def send(self, session: Session, directives: Iterable[Directive]) -> None:
        """Send what this application has not had on this connection."""
        with self._lock:
            for directive in directives:
                self._send(session, directive)

    def end(self) -> None:
        """Every stream ends."""
        with self._lock:
            for session in self._sessions.values():
                _put(session, None)

    # ------------------------------------------------------------------ under the lock

    def _started(self, session: Session, runs: Iterable[RunFacts]) -> list[str]:
        new = []
        for run in runs:
            if not run.run_id or run.run_id in session.runs:
                continue
            if len(session.runs) >= RUNS_MAX:
                self._stats.drop("open_runs")
                continue
            session.runs[run.run_id] = run
            self._holders.setdefault(run.run_id, set()).add(session)
            new.append(run.run_id)
        return new

    def _leave(self, session: Session) -> None:
        for run_id in session.runs:
            self._released(run_id, session)
        session.runs.clear()

    def _released(self, run_id: str, session: Session) -> None:
        held = self._holders.get(run_id)
        if held is not None:
            held.discard(session)
            if not held:
                del self._holders[run_id]

    def _send(self, session: Session, directive: Directive) -> None:
        limits = {directive.workspace_limit, session.workspace} - {""}
        if directive.scope == "workspace":
            limits |= {directive.target}
        if len(limits) > 1 or directive.directive_id in session.sent:
            return
        session.sent.add(directive.directive_id)
        _put(session, directive_message(directive))


def _put(session: Session, message: bytes | None) -> None:
    with contextlib.suppress(RuntimeError):  # its loop is closed: the collector is shutting down
        session.loop.call_soon_threadsafe(session.put, message)


def _has(session: Session, directive: Directive) -> bool:
    limit = directive.workspace_limit
    for run in session.runs.values():
        if limit and run.workspace != limit:
            continue
        match directive.scope:
            case "agent" if run.agent != directive.target:
                continue
            case "workspace" if run.workspace != directive.target:
                continue
        return True
    return False
