"""What a stopped run raises: `RunStopped` inside of it, `RunStoppedError` where it has ended.

    try:
        with agentrun.run("support") as run:
            agent(question)                 # its next model or tool call raises RunStopped
    except agentrun.RunStoppedError as stopped:
        log.warning("%s: %s", stopped.stop_reason, stopped.reason)

Inside a run it is no `Exception`: agent frameworks catch those, tell the model and go on.  Outside
it is one, so that servers and workers survive it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NotApprovedError", "RunStopped", "RunStoppedError", "stopped_by"]

DEPTH_MAX = 64
"""Exceptions of one chain that are looked at."""


class Stopped(BaseException):
    """What both say of the stop."""

    def __init__(
        self,
        run_id: str = "",
        stop_reason: str = "",
        reason: str = "",
        *,
        rule: str = "",
        span_ids: tuple[str, ...] = (),
        actor: str = "",
    ) -> None:
        """`stop_reason` is one of `semconv.STOP_REASON_VALUES`, `reason` says it in words."""
        super().__init__(run_id, stop_reason, reason)
        self.run_id = run_id
        self.stop_reason = stop_reason
        self.reason = reason
        self.rule = rule
        """Rule that decided it; "" where a person did."""
        self.span_ids = span_ids
        """Evidence: spans that show why, in order."""
        self.actor = actor
        """Who decided it."""

    def __str__(self) -> str:
        by = f" by rule `{self.rule}`" if self.rule else f" by {self.actor}" if self.actor else ""
        why = f": {self.reason}" if self.reason else ""
        return f"run {self.run_id} was stopped{by} ({self.stop_reason}){why}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Exceptions cross processes (Celery results, process pools)."""
        return type(self), (self.run_id, self.stop_reason, self.reason), self.__dict__


class RunStopped(Stopped):
    """The run that encloses this code was stopped.  Let it pass: `finally` blocks run, and the
    run's boundary (`run()`, a server's or worker's integration) makes a `RunStoppedError` of it."""


class RunStoppedError(Stopped, Exception):
    """A run was stopped; what called it may go on without it."""


class NotApprovedError(Exception):
    """An approval was refused, or nobody answered in time; the run goes on."""

    def __init__(self, question: str, stop_reason: str, reason: str, *, actor: str = "") -> None:
        """`stop_reason`: `rejected` or `approval_expired`; `reason` and `actor`: of the answer."""
        super().__init__(question, stop_reason, reason)
        self.question = question
        self.stop_reason = stop_reason
        self.reason = reason
        self.actor = actor

    def __str__(self) -> str:
        return f"not approved ({self.stop_reason}): {self.question}: {self.reason}"


def stopped_by(error: BaseException | None) -> RunStopped | RunStoppedError | None:
    """The stop behind an exception: itself, in an exception group, or among its causes.

    `None`: it has another reason.
    """
    waiting = [error]
    seen: set[int] = set()
    while waiting and len(seen) < DEPTH_MAX:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        if isinstance(each, RunStopped | RunStoppedError):
            return each
        seen.add(id(each))
        waiting += [each.__context__, each.__cause__]
        if isinstance(each, BaseExceptionGroup):
            waiting += reversed(each.exceptions)
    return None
