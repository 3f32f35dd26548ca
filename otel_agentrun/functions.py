"""Steps as decorators of functions: plain, async, generators and async generators.

A generator is inside its step while it runs, never across a `yield`: between two items nothing of
the step is in its caller's context, whoever finishes the generator, or nobody does.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Protocol, TypeVar, cast

from otel_agentrun.current import Turns

__all__ = ["Target", "decorated", "is_function"]

F = TypeVar("F", bound=Callable[..., Any])
Start = Callable[[tuple[Any, ...], dict[str, Any]], "Target"]
"""A new step for one call with these arguments."""

ITEMS_KEPT_MAX: Final = 1000
RECEIVERS: Final = ("self", "cls")


class Target(Protocol):
    """What a decorator needs of a step."""

    def given(self, arguments: Mapping[str, Any]) -> None: ...
    def returned(self, value: Any) -> None: ...
    async def ready(self) -> None: ...
    def begin(self) -> Turns: ...
    def end(self, error: BaseException | None = None) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *details: Any) -> None: ...


def is_function(given: object) -> bool:
    """Whether it can be decorated; a class method cannot be called before it is bound."""
    return callable(given) or isinstance(given, classmethod)


def decorated(function: F, make: Callable[[], Target]) -> F:
    """`function`, each call of it inside a step of its own."""
    if isinstance(function, staticmethod | classmethod):
        return cast(F, type(function)(decorated(function.__func__, make)))
    names = _parameters(function)

    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Target:
        step = make()
        step.given(_arguments(names, args, kwargs))
        return step

    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, start)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, start)
    elif inspect.iscoroutinefunction(function) or _is_async_object(function):
        wrapper = _coroutine(function, start)
    else:
        wrapper = _plain(function, start)
    return cast(F, functools.wraps(function)(wrapper))


def _is_async_object(function: object) -> bool:
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  # what it is, not whether
    )


def _plain(function: Callable[..., Any], start: Start) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        step = start(args, kwargs)
        with step:
            value = function(*args, **kwargs)
            step.returned(value)
            return value

    return wrapper


def _coroutine(function: Callable[..., Awaitable[Any]], start: Start) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        step = start(args, kwargs)
        await step.ready()
        with step:
            value = await function(*args, **kwargs)
            step.returned(value)
            return value

    return wrapper


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], start: Start
) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        step = start(args, kwargs)
        turns = step.begin()
        items: list[Any] = []
        value: Any = None
        try:
            inner = function(*args, **kwargs)
            resume: Callable[[Any], Any] = inner.send
            given: Any = None
            while True:
                try:
                    with turns:
                        item = resume(given)
                except StopIteration as stop:
                    value = stop.value
                    break
                _keep(items, item)
                try:
                    given = yield item
                    resume = inner.send
                except GeneratorExit:
                    with turns:
                        inner.close()
                    raise
                except BaseException as thrown:
                    given, resume = thrown, inner.throw
        except BaseException as error:
            _returned(step, items)
            step.end(error)
            raise
        _returned(step, items if value is None else value)
        step.end()
        return value

    return wrapper


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], start: Start
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step = start(args, kwargs)
        await step.ready()
        turns = step.begin()
        items: list[Any] = []
        try:
            inner = function(*args, **kwargs)
            resume: Callable[[Any], Awaitable[Any]] = inner.asend
            given: Any = None
            while True:
                try:
                    with turns:
                        item = await resume(given)
                except StopAsyncIteration:
                    break
                _keep(items, item)
                try:
                    given = yield item
                    resume = inner.asend
                except GeneratorExit:
                    with turns:
                        await inner.aclose()
                    raise
                except BaseException as thrown:
                    given, resume = thrown, inner.athrow
        except BaseException as error:
            _returned(step, items)
            step.end(error)
            raise
        _returned(step, items)
        step.end()

    return wrapper


def _keep(items: list[Any], item: Any) -> None:
    if len(items) < ITEMS_KEPT_MAX:
        items.append(item)


def _returned(step: Target, value: Any) -> None:
    """What a generator gave: its return value, else its items; a stream of text is one text."""
    if isinstance(value, list):
        if not value:
            return
        if all(type(item) is str for item in value):
            value = "".join(value)
    step.returned(value)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that can be given by position; "" for the object of a method."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [each.name for each in parameters if each.kind in positional]
    if names and names[0] in RECEIVERS:
        names[0] = ""
    return tuple(names)


def _arguments(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    found = dict(zip(names, args, strict=False))
    found.pop("", None)
    if len(args) > len(names):
        found["args"] = args[len(names) :]
    found.update(kwargs)
    return found
