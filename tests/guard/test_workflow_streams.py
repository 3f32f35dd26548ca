"""LlamaIndex's streams of events end where a workflow was stopped.

Here the runtime is a stand-in with the same names; tests/frameworks/enforcement plays the real one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_agentrun import RunStopped, RunStoppedError, guard


@dataclass
class WorkflowFailedEvent:
    step_name: str
    exception: Exception


class BasicRuntime:
    def run_workflow(self, error: BaseException | None) -> Any:
        async def workflow() -> str:
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return "done"

        task = asyncio.create_task(workflow())
        return SimpleNamespace(
            _queues=SimpleNamespace(complete=task, publish_queue=asyncio.Queue[Any]())
        )


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    basic = ModuleType("workflows.plugins.basic")
    events = ModuleType("workflows.events")
    made = type("BasicRuntime", (), dict(vars(BasicRuntime)))
    basic.BasicRuntime, events.WorkflowFailedEvent = made, WorkflowFailedEvent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, basic.__name__, basic)
    monkeypatch.setitem(sys.modules, events.__name__, events)
    guard.install()
    yield made
    guard.uninstall()
    assert made.__dict__["run_workflow"] is BasicRuntime.run_workflow


def ended(runtime: type[Any], error: BaseException | None) -> list[Any]:
    """The events of a workflow that this left."""

    async def play() -> list[Any]:
        queues = runtime().run_workflow(error)._queues
        await asyncio.wait([queues.complete])
        await asyncio.sleep(0)
        assert queues.complete.exception() is error
        return [queues.publish_queue.get_nowait() for _ in range(queues.publish_queue.qsize())]

    return asyncio.run(play())


def test_readers_of_a_stopped_workflow_hear_that_it_failed(runtime: type[Any]) -> None:
    """Else they would wait for ever: the workflow makes that event of an Exception only."""
    (event,) = ended(runtime, RunStopped("r-1", "loop_detected", "in circles", rule="same-call"))

    assert isinstance(event.exception, RunStoppedError)
    assert (event.exception.run_id, event.exception.rule) == ("r-1", "same-call")


@pytest.mark.parametrize("error", [None, ValueError("wrong")])
def test_other_ends_are_told_by_the_workflow_itself(
    runtime: type[Any], error: BaseException | None
) -> None:
    assert ended(runtime, error) == []
