"""Generators inside a step: nothing of it is in their caller's context, however they end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

import otel_agentrun as agentrun
from otel_agentrun import semconv
from tests.sdk.conftest import Recorded


@pytest.fixture(autouse=True)
def _clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Each test leaves the context as it was, and OpenTelemetry has nothing to complain of."""
    before = otel_context.get_current()
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        yield
    assert otel_context.get_current() == before
    assert not caplog.records


def outside() -> bool:
    return (
        agentrun.current_run() is None and not trace.get_current_span().get_span_context().is_valid
    )


@agentrun.run
def words(count: int = 3) -> Iterator[str]:
    for number in range(count):
        with agentrun.tool(f"t{number}"):
            assert agentrun.current_run() is not None
            yield f"w{number} "


@agentrun.run
async def tokens(count: int = 3) -> AsyncIterator[str]:
    for number in range(count):
        with agentrun.tool(f"t{number}"):
            await asyncio.sleep(0)
            assert agentrun.current_run() is not None
            yield f"w{number} "


def test_between_items_the_caller_is_outside(app: Recorded) -> None:
    """Also while the generator has a step of its own open across the yield."""
    for _ in words():
        assert outside()

    assert app.said("agent.run words")[semconv.OUTPUT] == "w0 w1 w2 "
    run_id = app.said("agent.run words")[semconv.RUN_ID]
    assert {dict(span.attributes or {})[semconv.RUN_ID] for span in app.spans} == {run_id}
    tools = [span for span in app.spans if span.name.startswith("agent.tool")]
    root = app.span("agent.run words").context
    assert root is not None
    assert {span.parent.span_id for span in tools if span.parent} == {root.span_id}


def test_a_caller_that_stops_early_ends_the_run(app: Recorded) -> None:
    for _ in words():
        break
    gc.collect()

    assert outside()
    assert app.said("agent.run words")[semconv.STOP_REASON] == "cancelled"
    assert app.said("agent.run words")[semconv.OUTPUT] == "w0 "
    assert app.said("agent.tool t0")[semconv.STEP_STATUS] == "cancelled"


def test_a_generator_may_be_finished_inside_another_step_or_thread(app: Recorded) -> None:
    generator = words()
    next(generator)
    with agentrun.run("other") as other:
        generator.close()
        assert agentrun.current_run() is other

    generator = words()
    next(generator)
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    assert outside()


def test_generators_that_take_turns_keep_apart(app: Recorded) -> None:
    first, second = words(2), words(2)
    for _ in range(2):
        next(first)
        next(second)
    assert list(first) == list(second) == []

    runs = [span for span in app.spans if span.name == "agent.run words"]
    assert len({dict(run.attributes or {})[semconv.RUN_ID] for run in runs}) == 2
    assert all(run.parent is None for run in runs)


def test_send_throw_and_return_pass_through(app: Recorded) -> None:
    @agentrun.tool
    def echo() -> Any:
        got = yield "ready"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "done"

    generator = echo()
    assert (next(generator), generator.send(7), generator.throw(KeyError())) == (
        "ready", 7, "caught",
    )  # fmt: skip
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value == "done"
    assert app.said("agent.tool echo")[semconv.GEN_AI_TOOL_CALL_RESULT] == "done"


def test_an_error_in_a_generator_is_its_steps(app: Recorded) -> None:
    @agentrun.tool
    def broken() -> Iterator[int]:
        yield 1
        raise TimeoutError

    with pytest.raises(TimeoutError):
        list(broken())

    assert app.said("agent.tool broken")[semconv.STEP_STATUS] == "timeout"


def test_a_step_left_open_in_an_undecorated_generator_does_no_harm(app: Recorded) -> None:
    """`with` cannot know of the yield; what it left ends with the generator, without complaint."""

    def plain() -> Iterator[int]:
        with agentrun.run("left open"):
            yield 1

    generator = plain()
    thread = threading.Thread(target=lambda: next(generator))
    thread.start()
    thread.join()
    generator.close()

    assert outside()
    assert app.said("agent.run left open")[semconv.STOP_REASON] == "cancelled"


def use(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def test_between_items_of_an_async_generator_the_caller_is_outside(app: Recorded) -> None:
    async def main() -> None:
        async for _ in tokens():
            assert outside()

    asyncio.run(main())

    assert app.said("agent.run tokens")[semconv.OUTPUT] == "w0 w1 w2 "


def test_breaking_out_of_an_async_generator_ends_the_run(app: Recorded) -> None:
    async def main() -> None:
        async for _ in tokens():
            break
        assert outside()
        gc.collect()
        await asyncio.sleep(0.01)
        assert outside()

    asyncio.run(main())

    assert app.said("agent.run tokens")[semconv.STOP_REASON] == "cancelled"


def test_cancelling_a_task_ends_the_run_of_its_generator(app: Recorded) -> None:
    @agentrun.run
    async def slow() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    async def consume() -> None:
        async for _ in slow():
            assert outside()

    async def main() -> None:
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert outside()

    asyncio.run(main())

    assert app.said("agent.run slow")[semconv.STOP_REASON] == "cancelled"


def test_an_async_generator_that_is_never_finished_ends_with_its_loop(app: Recorded) -> None:
    kept: list[Any] = []

    async def main() -> None:
        generator = tokens()
        kept.append(generator)
        await anext(generator)

    asyncio.run(main())

    assert app.said("agent.run tokens")[semconv.STOP_REASON] == "cancelled"


def test_tasks_of_a_run_belong_to_it(app: Recorded) -> None:
    """S5.18: fan-out by tasks; siblings do not become parents of each other."""

    async def work(number: int) -> None:
        async with agentrun.tool(f"t{number}"):
            await asyncio.sleep(0.001)

    @agentrun.run
    async def agent() -> None:
        await asyncio.gather(*(work(n) for n in range(5)))

    asyncio.run(agent())

    root = app.span("agent.run agent").context
    assert root is not None
    parents = {s.parent.span_id for s in app.spans if s.parent is not None}
    assert parents == {root.span_id}


def test_a_generator_that_is_never_started_makes_no_span(app: Recorded) -> None:
    words()
    gc.collect()

    assert app.spans == ()
