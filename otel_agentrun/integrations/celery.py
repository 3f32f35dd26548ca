"""Celery: tasks in the run of whoever sent them.

    app = Celery(...)
    instrument(app)                  # a task's steps belong to the run that sent it
    instrument(app, run=a_choice)    # and tasks that the choice names are runs, children of it

Senders and workers both call it.  The headers of `inject` travel as the header `agentrun` of the
message.  It can be used beside opentelemetry-instrumentation-celery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from celery import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
    Celery,
    current_task,
    signals,
)
from opentelemetry import context as otel_context

from otel_agentrun.carriers import extract, inject
from otel_agentrun.integrations.boundary import Choice, Served

__all__ = ["instrument"]

HEADER: Final = "agentrun"
CHOICE: Final = "__agentrun_choice__"


def instrument(app: Celery, run: Choice = "") -> Celery:
    """Instrument the sending of all tasks, and the tasks of `app`; returns `app`.

    `run`: see `Choice`; a name alone makes every task a run of that name.
    """
    signals.before_task_publish.connect(_send, weak=False, dispatch_uid="agentrun-send")

    def wrap_tasks(*_: object, **__: object) -> None:
        for task in app.tasks.values():
            _wrap(task, run)

    if app.finalized:
        wrap_tasks()
    # Tasks may be made before and after, until the worker prepares them.
    app.on_after_finalize.connect(wrap_tasks, weak=False)
    signals.worker_init.connect(wrap_tasks, weak=False)
    signals.worker_process_init.connect(wrap_tasks, weak=False)
    return app


def _send(headers: dict[str, Any] | None = None, **_: object) -> None:
    if headers is None:
        return
    request = current_task.request if current_task else None
    if request is not None and headers.get("retries") and headers.get("id") == request.id:
        said = getattr(request, HEADER, None)  # a retry is sent by who sent the task
    else:
        said = inject()
    if said:
        headers[HEADER] = said


def _wrap(task: Any, run: Choice) -> None:
    if getattr(type(task), CHOICE, None) is not None:
        return
    setattr(type(task), CHOICE, True)
    task.add_around("__call__", lambda call: _call(call, run))


def _call(call: Callable[..., Any], run: Choice) -> Callable[..., Any]:
    # Celery calls a task by `__call__` only where that is not its own function, which it tells by
    # the module: hence no functools.wraps.  Its own would hide the message from the task.
    is_celerys = str(call.__module__).startswith("celery.")

    def called(task: Any, *args: Any, **kwargs: Any) -> Any:
        request = task.request
        if request.called_directly:
            return call(task, *args, **kwargs)
        said = getattr(request, HEADER, None)
        context = extract(said) if isinstance(said, Mapping) else otel_context.get_current()
        served = Served(run, request.__dict__, context, execution="async")
        with served.turn():
            result = task.run(*args, **kwargs) if is_celerys else call(task, *args, **kwargs)
            if served.run is not None:
                served.run.returned(result)
        served.end()
        return result

    return called
