"""`wrap`: a function that runs in the context it was wrapped in, in whatever thread or process.

    pool.submit(agentrun.wrap(search), query)

asyncio tasks and `asyncio.to_thread` take the context along; `ThreadPoolExecutor`, `Thread` and
process pools do not.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import multiprocessing.util
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast

from opentelemetry import _logs as logs_api
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from otel_agentrun.carriers import extract, inject
from otel_agentrun.current import attached

__all__ = ["wrap"]

P = ParamSpec("P")
R = TypeVar("R")

FLUSH_MILLIS = 5_000


class Wrapped(Generic[P, R]):
    """A function and its context; pickled, the function and headers that stand for the context."""

    def __init__(self, function: Callable[P, R], context: Context) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._context = context

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with attached(self._context):
            return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._function, inject(context=self._context))


def wrap(function: Callable[P, R]) -> Callable[P, R]:
    """`function` (plain or `async`), whose calls belong to what is current now: run, span, baggage.

    For a process pool it is pickled, so that `function` has to be one that can be: a plain one of a
    module.
    The process needs `install()` of its own, such as `initializer=agentrun.install`; what it sent
    is flushed when it ends.
    """
    context = otel_context.get_current()
    if not inspect.iscoroutinefunction(function):
        return Wrapped(function, context)

    @functools.wraps(function)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> Any:
        with attached(context):
            return await function(*args, **kwargs)

    return cast("Callable[P, R]", wrapped)


def _unpickled(function: Callable[P, R], carrier: Mapping[str, Any]) -> Wrapped[P, R]:
    _flush_at_end()
    return Wrapped(function, extract(carrier, Context()))


@functools.cache
def _flush_at_end() -> None:
    """Workers of a pool that were forked end without `atexit`."""
    if multiprocessing.parent_process() is not None:
        multiprocessing.util.Finalize(None, _flush, exitpriority=1)


def _flush() -> None:
    for provider in (trace.get_tracer_provider(), logs_api.get_logger_provider()):
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            flush(FLUSH_MILLIS)
