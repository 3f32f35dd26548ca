"""A stop that gets lost in a task of a framework still ends its run.

Frameworks run tools and agents in tasks and read what they give from queues.  Some end such a queue
for an `Exception` only: after RunStopped, whoever reads it waits for ever.  So where the exception
was raised in another task than the one that opened the run, it is looked after: if it has ended its
task, somebody still holds it, and it has not come to the run's own task for a while, that one is
cancelled, as a timeout does it.  The run's boundary makes RunStoppedError of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from otel_agentrun.stopping import RunStopped

if TYPE_CHECKING:
    from otel_agentrun.current import RunScope

__all__ = ["Home", "home"]

GRACE_SECS: Final = 5.0
"""For the exception to come home; also between looks at a task that still cleans up."""
RAISED_MAX: Final = 16
"""Exceptions of one run that are looked after."""

Task = asyncio.Task[Any]


def home() -> Home | None:
    """Of a run that begins here; `None` outside of tasks."""
    task = _this_task()
    return Home(task) if task is not None else None


class Home:
    """The task that opened a run, and the exceptions that are to arrive there.

    Exceptions are told in any thread; everything else happens in the task's event loop.
    """

    def __init__(self, task: Task) -> None:
        self._task = weakref.ref(task)
        self._raised: list[tuple[weakref.ref[RunStopped], weakref.ref[Task] | None]] = []
        """With the task where it was raised, which would keep it alive; `None`: in a thread."""
        self._woken_by: RunStopped | None = None

    def raised(self, scope: RunScope, error: RunStopped) -> None:
        """An exception was made for the run `scope`, which is about to be raised here."""
        task, here = self._task(), _this_task()
        if task is None or task is here or len(self._raised) >= RAISED_MAX:
            return
        where = weakref.ref(here) if here is not None else None
        self._raised.append((weakref.ref(error), where))
        if len(self._raised) > 1:
            return
        loop = task.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(loop.call_later, GRACE_SECS, self._look, scope)

    def woken(self) -> RunStopped | None:
        """The stop behind the cancellation that leaves the run's block; `None`: it is somebody
        else's."""
        task = _this_task()
        error = self._woken_by
        if error is None or task is None or task is not self._task():
            return None
        self._woken_by = None
        task.uncancel()
        return error

    def _look(self, scope: RunScope) -> None:
        task = self._task()
        if scope.ended or task is None or task.done():
            return
        alive = [(error, where) for ref, where in self._raised if (error := ref()) is not None]
        lost = [error for error, where in alive if not _is_at_work(where)]
        known = set(map(id, _frames(task)))
        for error in lost:
            if not known.intersection(_passed(error)):
                self._woken_by = error
                task.cancel(str(error))
                return
        if alive:
            task.get_loop().call_later(GRACE_SECS, self._look, scope)
        else:
            self._raised.clear()


def _this_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_at_work(where: weakref.ref[Task] | None) -> bool:
    task = where() if where is not None else None
    return task is not None and not task.done()


def _frames(task: Task) -> Iterator[FrameType]:
    """What a task is in, as far as can be seen: the coroutines that it awaits."""
    waiting: Any = task.get_coro()
    while waiting is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(waiting, f"{kind}_frame", None)
            if frame is not None:
                yield frame
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)


def _passed(error: BaseException) -> Iterator[int]:
    """Ids of the frames that an exception has come through."""
    at = error.__traceback__
    while at is not None:
        yield id(at.tb_frame)
        at = at.tb_next
