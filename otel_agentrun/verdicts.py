"""What was decided about runs that are open in this process: to stop, to wait, to go on.

Rules, operators and approvals decide; a verdict stays with its run, and what the run does next
finds it (`enforcement.check`).  Verdicts arrive in any thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from otel_agentrun import semconv
from otel_agentrun.current import RunScope

__all__ = ["Answer", "OpenRun", "Verdict", "Verdicts"]

REMEMBERED_MAX: Final = 4096
"""Runs of other processes whose verdict is remembered: each of their requests is a new scope."""

Answer = Literal["lifted", "killed", "refused", "expired"]
"""How a wait ended: it may go on, the run was stopped, the approval was refused, nobody answered in
time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided about a run, by whom and why."""

    action: Literal["kill", "pause"]
    stop_reason: str = ""
    """Of a kill: one of `semconv.STOP_REASON_VALUES`."""
    reason: str = ""
    """In words."""
    rule: str = ""
    rules_version: str = ""
    span_ids: tuple[str, ...] = ()
    """Evidence, in order."""
    actor: str = ""
    directive_id: str = ""
    """None where it was decided in this process."""
    approval_id: str = ""
    """The approval it answers."""
    at_ns: int = 0
    expires_ns: int = 0
    """Of a pause: when waiting for `lift` ends; 0 never."""
    fallback: Literal["kill", "continue"] = "continue"
    """Of a pause: what happens where waiting would block an event loop."""


class OpenRun(NamedTuple):
    """A run that is open in this process."""

    run_id: str
    agent: str
    workspace: str
    started_ns: int


class Spans(Protocol):
    """Who knows the open spans of runs: `open_spans.OpenSpans`."""

    def scope_of(self, span_id: int) -> RunScope | None: ...
    def stop(self, scope: RunScope, verdict: Verdict) -> None: ...
    def tell(self, span_id: int, name: str, attributes: Mapping[str, Any]) -> None: ...


class Wait:
    """Somebody waits for an answer, in a thread or in an event loop."""

    __slots__ = ("_futures", "answer", "approval_id", "done", "scope", "verdict")

    def __init__(self, scope: RunScope, approval_id: str = "") -> None:
        self.scope = scope
        self.approval_id = approval_id
        """None where it waits for the run to be resumed."""
        self.answer: Answer | None = None
        self.verdict: Verdict | None = None
        """What killed or refused it."""
        self.done = threading.Event()
        self._futures: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def give(self, answer: Answer, verdict: Verdict | None = None) -> None:
        """The first answer counts.  Called under the lock of the verdicts."""
        if self.answer is not None:
            return
        self.answer, self.verdict = answer, verdict
        self.done.set()
        for loop, future in self._futures:
            try:
                loop.call_soon_threadsafe(_wake, future)
            except RuntimeError:  # the loop is closed, and with it whoever waited
                continue

    def future(self) -> asyncio.Future[None]:
        """Done when answered; of the running loop.  Called under the lock of the verdicts."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if self.answer is not None:
            future.set_result(None)
        else:
            self._futures.append((loop, future))
        return future


class Verdicts:
    """Of one process.  Threads share it."""

    def __init__(self) -> None:
        self.active = False
        """Whether any run at all has a verdict: while not, nothing else is looked at."""
        self._lock = threading.Lock()
        self._open: weakref.WeakKeyDictionary[RunScope, int] = weakref.WeakKeyDictionary()
        """Run -> its start (Unix ns)."""
        self._remembered: dict[str, Verdict] = {}
        """Kills of runs of other processes, by run id."""
        self._waits: list[Wait] = []
        self._spans: tuple[weakref.ref[Spans], ...] = ()
        if hasattr(os, "register_at_fork"):
            renew = weakref.WeakMethod(self._renew)
            os.register_at_fork(after_in_child=lambda: (call := renew()) and call())

    # ------------------------------------------------------------------ runs

    def opened(self, scope: RunScope, started_ns: int) -> None:
        """A run began here, or one of another process goes on here."""
        with self._lock:
            self._open[scope] = started_ns
            if scope.remote and (known := self._remembered.get(scope.run_id)) is not None:
                scope.verdict = known
                self.active = True

    def ended(self, scope: RunScope) -> None:
        """A run ended, and its verdict with it."""
        with self._lock:
            self._open.pop(scope, None)
            for wait in [wait for wait in self._waits if wait.scope is scope]:
                wait.give("killed", scope.verdict)
            if self.active:
                self._settle()

    def join(self, spans: Spans) -> None:
        """The open spans of one processor, kept weakly."""
        alive = tuple(each for each in self._spans if each() is not None)
        self._spans = (*alive, weakref.ref(spans))

    def spans(self) -> list[Spans]:
        return [found for each in self._spans if (found := each()) is not None]

    def around(self, span_id: int) -> RunScope | None:
        """The run that an open span belongs to, and that has not ended."""
        for each in self._spans:
            spans = each()
            scope = spans.scope_of(span_id) if spans is not None else None
            if scope is not None and not scope.ended:
                return scope
        return None

    def open_runs(self) -> list[OpenRun]:
        with self._lock:
            return [
                OpenRun(scope.run_id, scope.agent_name, _workspace(scope), started_ns)
                for scope, started_ns in self._open.items()
                if not scope.ended
            ]

    # ------------------------------------------------------------------ deciding

    def give(
        self,
        verdict: Verdict,
        *,
        run_id: str = "",
        agent: str = "",
        workspace: str = "",
        everything: bool = False,
        before_ns: int = 0,
    ) -> tuple[str, ...]:
        """Decide about one run, or all of an agent, a workspace, this process, that began before
        `before_ns` (0: at any time).  Returns the ids of the runs it concerns here; () none.

        A kill with an `approval_id` refuses that approval, and nothing else.  A kill is final.
        """
        with self._lock:
            if verdict.approval_id and verdict.action == "kill":
                refused = [w for w in self._waits if w.approval_id == verdict.approval_id]
                for wait in refused:
                    wait.give("refused", verdict)
                if refused:
                    return tuple({wait.scope.run_id: None for wait in refused})
                paused = [s for s in list(self._open) if _asks(s.verdict, verdict.approval_id)]
                for scope in paused:
                    self._set(scope, verdict)
                return tuple(dict.fromkeys(scope.run_id for scope in paused))
            concerned = [
                scope
                for scope, started_ns in list(self._open.items())
                if not scope.ended
                and (run_id or not before_ns or started_ns < before_ns)
                and (
                    everything
                    or (run_id and scope.run_id == run_id)
                    or (agent and scope.agent_name == agent)
                    or (workspace and _workspace(scope) == workspace)
                )
            ]
            if run_id and not concerned and (above := self._enclosing(run_id)) is not None:
                concerned = [above]
            for scope in concerned:
                self._set(scope, verdict)
            return tuple(dict.fromkeys(scope.run_id for scope in concerned))

    def decide(self, scope: RunScope, verdict: Verdict) -> None:
        """Decide about the very run of a scope."""
        with self._lock:
            self._open.setdefault(scope, 0)
            self._set(scope, verdict)

    def lift(self, run_id: str, *, approval_id: str = "") -> bool:
        """Let a paused run go on, or with `approval_id` what waits for that approval.  `False`:
        nothing here was waiting for it."""
        with self._lock:
            if approval_id:
                answered = [w for w in self._waits if w.approval_id == approval_id]
                for wait in answered:
                    wait.give("lifted")
                if answered:
                    return True
            found = False
            for scope in list(self._open):
                if (
                    scope.run_id == run_id
                    and _is(scope.verdict, "pause")
                    and (not approval_id or _asks(scope.verdict, approval_id))
                ):
                    scope.verdict = None
                    found = True
                    for wait in self._waits:
                        if wait.scope is scope and not wait.approval_id:
                            wait.give("lifted")
            self._settle()
            return found

    # ------------------------------------------------------------------ asking

    def of(self, scope: RunScope | None) -> Verdict | None:
        """The verdict in force for what happens in `scope`: a kill of it or of a run around it,
        else the nearest pause."""
        if not self.active:
            return None
        pause: Verdict | None = None
        while scope is not None:
            verdict = scope.verdict
            if verdict is not None and not scope.ended:
                if verdict.action == "kill":
                    return verdict
                pause = pause or verdict
            scope = scope.parent
        return pause

    def holder(self, scope: RunScope | None, verdict: Verdict) -> RunScope | None:
        """The run, `scope` or one around it, that a verdict is about."""
        while scope is not None and (scope.verdict is not verdict or scope.ended):
            scope = scope.parent
        return scope

    # ------------------------------------------------------------------ waiting

    def is_waited_for(self, scope: RunScope) -> bool:
        """Whether something of the run waits for an answer."""
        with self._lock:
            return any(wait.scope is scope and wait.answer is None for wait in self._waits)

    def expect(self, scope: RunScope, approval_id: str) -> Wait:
        """Be ready for the answer to an approval, before anybody is asked for it."""
        wait = Wait(scope, approval_id)
        with self._lock:
            self._waits.append(wait)
            if (kill := _kill(scope)) is not None:
                wait.give("killed", kill)
        return wait

    def wait(
        self, scope: RunScope, verdict: Verdict | Wait, timeout_secs: float | None = None
    ) -> Answer:
        """Wait, in this thread, until a pause is lifted or an approval (see `expect`) answered."""
        wait = self._begin(scope, verdict)
        try:
            wait.done.wait(_left(verdict, timeout_secs))
            return wait.answer or "expired"
        finally:
            self._over(wait)

    async def wait_async(
        self, scope: RunScope, verdict: Verdict | Wait, timeout_secs: float | None = None
    ) -> Answer:
        """The same without blocking the event loop."""
        wait = self._begin(scope, verdict)
        try:
            with self._lock:
                future = wait.future()
            await asyncio.wait([future], timeout=_left(verdict, timeout_secs))
            return wait.answer or "expired"
        finally:
            self._over(wait)

    def _begin(self, scope: RunScope, verdict: Verdict | Wait) -> Wait:
        if isinstance(verdict, Wait):
            return verdict
        holder = self.holder(scope, verdict)
        wait = Wait(holder or scope)
        with self._lock:
            self._waits.append(wait)
            if holder is None or holder.verdict is not verdict:  # decided anew in the meantime
                now = _kill(scope)
                wait.give("killed" if now is not None else "lifted", now)
        return wait

    def _over(self, wait: Wait) -> None:
        with self._lock:
            if wait in self._waits:
                self._waits.remove(wait)

    # ------------------------------------------------------------------ under the lock

    def _set(self, scope: RunScope, verdict: Verdict) -> None:
        known = scope.verdict
        if known is not None and known.action == "kill":
            return
        scope.verdict = verdict
        self.active = True
        if verdict.action != "kill":
            return
        if scope.remote:
            while len(self._remembered) >= REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[scope.run_id] = verdict
        for wait in self._waits:
            if _is_within(wait.scope, scope):
                wait.give("killed", verdict)

    def _settle(self) -> None:
        self.active = any(
            scope.verdict is not None and not scope.ended for scope in list(self._open)
        )

    def _enclosing(self, run_id: str) -> RunScope | None:
        """The run here around one that a framework opened inside of it (`<trace id>-<span id>`)."""
        trace_id, _, span_id = run_id.partition("-")
        if len(trace_id) != 32 or len(span_id) != 16:
            return None
        try:
            number = int(span_id, 16)
        except ValueError:
            return None
        return self.around(number)

    def _renew(self) -> None:
        """In a forked child: a lock that the parent held is nobody's."""
        self._lock = threading.Lock()
        self._waits = []


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _is(verdict: Verdict | None, action: str) -> bool:
    return verdict is not None and verdict.action == action


def _asks(verdict: Verdict | None, approval_id: str) -> bool:
    return verdict is not None and verdict.action == "pause" and verdict.approval_id == approval_id


def _kill(scope: RunScope | None) -> Verdict | None:
    while scope is not None:
        if _is(scope.verdict, "kill") and not scope.ended:
            return scope.verdict
        scope = scope.parent
    return None


def _is_within(scope: RunScope | None, outer: RunScope) -> bool:
    while scope is not None and scope is not outer:
        scope = scope.parent
    return scope is not None


def _left(verdict: Verdict | Wait, timeout_secs: float | None) -> float | None:
    """Seconds to wait at most; `None` for ever."""
    if isinstance(verdict, Verdict) and verdict.expires_ns:
        left = max((verdict.expires_ns - time.time_ns()) / 1e9, 0.0)
        return left if timeout_secs is None else min(left, timeout_secs)
    return timeout_secs


def _workspace(scope: RunScope) -> str:
    return str(scope.stamps.get(semconv.WORKSPACE, ""))
