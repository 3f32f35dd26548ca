"""Control: what decides about running agents, in one collector.

Whatever decides something makes an event and journals it first; then it is acted on.  So a decision
outlives `kill -9` of this process, is on its run, and reaches other collectors through the store.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from collector.control.directives import STOPPED, Directive, event_of
from collector.control.findings import directive_from
from collector.control.polling import StorePoll
from collector.control.sessions import Session, Sessions
from collector.control.state import ControlState, Known, RunFacts
from collector.control.stats import ControlStats
from collector.errors import RetryableError, StoreError
from collector.runs.document import rfc3339
from collector.runs.events import FINDING
from otel_agentrun.step import Event

__all__ = ["Control", "ControlSettings"]

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000_000
SEEN_MAX: Final = 200_000
FINDINGS_MAX: Final = 10_000
"""Findings that wait to be acted on; those past it are counted and stay findings."""
RETRY_SECS: Final = 0.5
RECENT_MAX: Final = 1000
"""Directives in one answer."""

Document = dict[str, Any]
Hear = Callable[[Sequence[Event]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    remember_secs: float = 86_400.0
    """How long a directive is in force that nobody answers."""
    poll_secs: float = 1.0
    """How often a store that other collectors write to is read; 0: only at the start."""


class Control:
    """Directives, and whom they go to.  Safe to use from any thread.

    `record` redacts and journals an event and gives it back once it is durable; it raises
    RetryableError.  Without `start` it answers and records, and does nothing of its own accord: as
    on a store that no collector holds.
    """

    def __init__(
        self,
        record: Callable[[Event], Event],
        poll: StorePoll | None = None,
        settings: ControlSettings | None = None,
        *,
        collector_id: str = "",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings or ControlSettings()
        self.stats = ControlStats()
        self.sessions = Sessions(self.stats)
        self.collector_id = collector_id or uuid.uuid4().hex
        self._record = record
        self._poll = poll
        self._now_ns = now_ns
        self._remember_ns = int(self.settings.remember_secs * SECOND)
        self._lock = threading.Lock()
        self._state = ControlState(self._remember_ns)
        self._seen: dict[str, None] = {}
        self._listeners: list[Hear] = []
        self._work: queue.Queue[Directive | None] = queue.Queue(FINDINGS_MAX)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Act: read the store, turn findings into directives."""
        assert self._thread is None, "started twice"
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """What is not journaled by now is found again when the journal is read again."""
        self._stopping.set()
        self.sessions.end()
        if self._thread is not None:
            with contextlib.suppress(queue.Full):  # it looks at `_stopping` after each anyway
                self._work.put_nowait(None)
            self._thread.join(5.0)
            self._thread = None

    def load(self) -> None:
        """Read what the store knows.  Raises StoreError."""
        if self._poll is not None:
            self.heard(self._poll.events(self._now_ns()))

    def listen(self, hear: Hear) -> None:
        """`hear` gets each control event once, in the thread that it came in: be quick."""
        self._listeners.append(hear)

    # ------------------------------------------------------------------ events

    def heard(self, events: Sequence[Event]) -> None:
        """Control events that are durable: from the journal, of this process or of the store."""
        with self._lock:
            new = [event for event in events if event.event_id not in self._seen]
            for event in new:
                self._seen[event.event_id] = None
            while len(self._seen) > SEEN_MAX:
                del self._seen[next(iter(self._seen))]
            directives, answers = self._state.add(new)
            answered = [self._state.get(answer.directive_id) for answer in answers]
            now_ns = self._now_ns()
            open_now = [d for d in directives if self._is_open(d.directive_id, now_ns)]
        for directive in directives:
            self.stats.directive(directive.action, "requested")
        for answer, known in zip(answers, answered, strict=True):
            assert known is not None, "an answer that counts has its directive"
            self.stats.directive(known.directive.action, answer.status)
        for directive in open_now:
            self.sessions.route(directive)
        if self._thread is not None:
            self._find(new)
        for hear in self._listeners:
            try:
                hear(new)
            except Exception:  # whoever listens must not stop the fold
                log.exception("control_listener_failed")

    def direct(self, directive: Directive, *, actor: str) -> Document:
        """Journal a directive, then send it; its document, status `requested`.

        Idempotent by `directive_id`: one that is known is not given again.  Raises RetryableError
        while nothing can be journaled: nobody was told then.
        """
        directive = self._completed(directive, actor)
        with self._lock:
            known = self._state.get(directive.directive_id)
        if known is None:
            self.heard([self._record(event_of(directive))])
        found = self.directive(directive.directive_id)
        assert found is not None, "what was recorded is known"
        return found

    def called_for(self, findings: Sequence[Event]) -> list[Event]:
        """The directives that findings call for, as events: journaled with the findings, in one
        record before them, they are durable at once."""
        if self._thread is None:
            return []
        wanted = [directive for event in findings if (directive := directive_from(event))]
        return [
            event_of(self._completed(directive, directive.actor))
            for directive in wanted
            if self._is_due(directive)
        ]

    def standing(self, run: RunFacts) -> Directive | None:
        """The kill or pause that a run is under."""
        with self._lock:
            return self._state.standing(run, self._now_ns())

    def forget_runs(self, run_ids: frozenset[str]) -> None:
        """These runs are erased."""
        with self._lock:
            self._state.erase(run_ids)

    # ------------------------------------------------------------------ documents

    def directive(self, directive_id: str, workspace: str = "") -> Document | None:
        """`workspace`: only one that was given for it or reaches nothing else; "" for all."""
        with self._lock:
            known = self._state.get(directive_id)
        if known is None or not _visible(known.directive, workspace):
            return None
        return self._document(known)

    def directives(self, *, workspace: str = "", open_only: bool = False) -> list[Document]:
        """Newest first, `RECENT_MAX` at most."""
        with self._lock:
            now_ns = self._now_ns()
            found = [
                known
                for known in self._state.all()
                if _visible(known.directive, workspace)
                and (not open_only or self._state.is_open(known, now_ns))
            ][:RECENT_MAX]
        return [self._document(known) for known in found]

    def _document(self, known: Known) -> Document:
        directive = known.directive
        with self._lock:
            expires_ns = self._state.expires_ns(directive)
            is_open = self._state.is_open(known, self._now_ns())
            answers = [answer.document() for answer in known.answers.values()]
            status = known.status
        return {
            "directive_id": directive.directive_id,
            "action": directive.action,
            "scope": directive.scope,
            "run_id": directive.run_id or None,
            "agent": directive.target if directive.scope == "agent" else None,
            "workspace": (
                directive.target if directive.scope == "workspace" else directive.workspace_limit
            )
            or None,
            "status": status,
            "open": is_open,
            "reason": directive.reason or None,
            "stop_reason": directive.stop_reason or None,
            "rule": directive.rule or None,
            "rules_version": directive.rules_version or None,
            "span_ids": list(directive.span_ids),
            "actor": directive.actor or None,
            "approval_id": directive.approval_id or None,
            "tool_name": directive.tool_name or None,
            "tool_call_id": directive.tool_call_id or None,
            "at": rfc3339(directive.at_ns),
            "expires_at": rfc3339(expires_ns),
            "sent_to": self.sessions.told(directive),
            "held_by": self.sessions.holders(directive),
            "answers": answers,
        }

    # ------------------------------------------------------------------ applications

    def connected(self, session: Session, runs: Sequence[RunFacts]) -> Session | None:
        """An application is there: it gets what is open and concerns it.  Gives the connection
        that this one takes the place of."""
        before = self.sessions.open(session, runs)
        held = {run.run_id for run in runs}
        with self._lock:
            waiting = [
                known.directive
                for known in self._state.open(self._now_ns())
                if known.directive.scope != "run" or known.directive.target in held
            ]
        self.sessions.send(session, waiting)
        return before

    def reported(self, session: Session, started: Sequence[RunFacts], ended: Sequence[str]) -> None:
        """Runs of a connected application began and ended."""
        new = self.sessions.report(session, started, ended)
        if not new:
            return
        with self._lock:
            now_ns = self._now_ns()
            waiting = [d for run_id in new for d in self._state.open_for(run_id, now_ns)]
        self.sessions.send(session, waiting)

    # ------------------------------------------------------------------ inside

    def _completed(self, directive: Directive, actor: str) -> Directive:
        at_ns = directive.at_ns or self._now_ns()
        return replace(
            directive,
            directive_id=directive.directive_id or f"d-{uuid.uuid4().hex}",
            actor=actor,
            at_ns=at_ns,
            expires_ns=directive.expires_ns or at_ns + self._remember_ns,
            stop_reason=directive.stop_reason or (STOPPED if directive.action == "kill" else ""),
        )

    def _is_open(self, directive_id: str, now_ns: int) -> bool:
        known = self._state.get(directive_id)
        return known is not None and self._state.is_open(known, now_ns)

    def _find(self, events: Sequence[Event]) -> None:
        for event in events:
            directive = directive_from(event) if event.name == FINDING else None
            if directive is None:
                continue
            try:
                self._work.put_nowait(directive)
            except queue.Full:
                self.stats.drop("findings")

    def _run(self) -> None:
        """The control thread."""
        # What was done about a finding before a restart is in the store.
        self._refresh()
        due = time.monotonic() + self._pause_secs()
        while not self._stopping.is_set():
            try:
                directive = self._work.get(timeout=max(due - time.monotonic(), 0.001))
            except queue.Empty:
                self._refresh()
                due = time.monotonic() + self._pause_secs()
                continue
            if directive is not None:
                self._act(directive)

    def _pause_secs(self) -> float:
        never_read = self._poll is not None and not self._poll.has_read
        return self.settings.poll_secs or (1.0 if never_read else 60.0)

    def _refresh(self) -> None:
        with self._lock:
            self._state.forget(self._now_ns())
        if self._poll is None or (self._poll.has_read and not self.settings.poll_secs):
            return
        try:
            self.load()
        except StoreError as error:  # /readyz says so; what is decided here acts all the same
            log.debug("control_not_read", extra={"reason": str(error)})

    def _is_due(self, directive: Directive) -> bool:
        """Unless it is known, its run is over, or it was found in old spans."""
        with self._lock:
            is_late = directive.at_ns < self._now_ns() - self._remember_ns
            is_known = self._state.get(directive.directive_id) is not None
            return not (is_late or is_known or self._state.has_ended(directive.target))

    def _act(self, directive: Directive) -> None:
        """A finding calls for it."""
        if not self._is_due(directive):
            return
        while not self._stopping.is_set():
            try:
                self.direct(directive, actor=directive.actor)
            except RetryableError as error:
                log.warning("directive_not_recorded", extra={"reason": str(error)})
                self._stopping.wait(RETRY_SECS)
            else:
                return


def _visible(directive: Directive, workspace: str) -> bool:
    if not workspace or directive.workspace_limit == workspace:
        return True
    return (directive.scope == "workspace" and directive.target == workspace) or (
        directive.scope == "run" and directive.workspace == workspace
    )
