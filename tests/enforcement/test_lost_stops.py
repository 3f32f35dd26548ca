"""A stop that a framework loses in one of its tasks ends the run all the same."""

# ruff: noqa: PT012 (what a run does before it is stopped is inside its block)

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import otel_agentrun as agentrun
from otel_agentrun import lost_stops, runtime
from tests.enforcement.conftest import KILL, App

GRACE_SECS = 0.05


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_stops, "GRACE_SECS", GRACE_SECS)


def kill() -> None:
    assert runtime.active().verdicts.give(KILL, everything=True)


async def next_step() -> None:
    async with agentrun.tool("next"):
        pass


async def events(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[str]:
    """As agent frameworks stream: a task fills a queue, and ends it for an Exception only."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def fill() -> None:
        await queue.put("first")
        try:
            await work()
        except Exception:
            await queue.put("failed")
        await queue.put(None)

    task = asyncio.create_task(fill())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # not logged
    while (event := await queue.get()) is not None:
        yield event
    await task


async def read(stream: AsyncIterator[str], seen: list[str]) -> None:
    async for event in stream:
        seen.append(event)  # noqa: PERF401  # those before the end are wanted


def play(run: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(run, 10))


@pytest.mark.parametrize("in_thread", [False, True])
def test_whoever_waits_for_a_task_that_died_of_it_is_woken(app: App, in_thread: bool) -> None:
    """The exception is in a task (or thread) that nobody looks at: the run's own is cancelled."""
    seen: list[str] = []

    def blocking() -> None:
        with agentrun.tool("next"):
            pass

    async def main() -> None:
        work = (lambda: asyncio.to_thread(blocking)) if in_thread else next_step
        with pytest.raises(agentrun.RunStoppedError) as caught:
            async with agentrun.run("a") as run:
                kill()
                await read(events(work), seen)
        assert caught.value.run_id == run.run_id
        assert isinstance(caught.value.__cause__, agentrun.RunStopped)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        async with agentrun.run("b") as following:
            await next_step()
        assert following.status == "completed"

    play(main())

    assert seen == ["first"]
    assert app.said("agent.run a")["agentrun.run.status"] == "killed"


def test_what_cleans_up_after_the_stop_is_left_alone(app: App) -> None:
    """The exception has come home, or its task is still at work: nothing is cancelled."""
    done: list[str] = []

    async def slow(name: str) -> None:
        await asyncio.sleep(4 * GRACE_SECS)
        done.append(name)

    async def child() -> None:
        try:
            await next_step()
        finally:
            await slow("child")

    async def main() -> None:
        async with agentrun.run("a"):
            try:
                kill()
                await asyncio.create_task(child())
            finally:
                await slow("parent")

    with pytest.raises(agentrun.RunStoppedError):
        play(main())
    assert done == ["child", "parent"]


def test_an_application_that_dropped_the_exception_goes_on(app: App) -> None:
    """As a graph does that gathers its nodes' exceptions and looks at none."""

    async def main() -> str:
        async with agentrun.run("a") as run:
            kill()
            await asyncio.gather(asyncio.create_task(next_step()), return_exceptions=True)
            await asyncio.sleep(4 * GRACE_SECS)
        return run.status

    assert play(main()) == "killed"


def test_a_cancellation_by_somebody_else_stays_one(app: App) -> None:
    async def main() -> None:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), agentrun.run("a"):
                kill()
                await read(events(next_step), [])
        assert time.monotonic() - began < 5

    play(main())
    assert app.said("agent.run a")["agentrun.run.status"] == "killed"
