"""Tasks, threads and processes: one run stays one run, and what falls out of it is seen."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

import otel_agentrun as agentrun
from otel_agentrun import runtime, semconv
from tests.sdk.conftest import Recorded


def lookup(city: str) -> str:
    with agentrun.tool("lookup"):
        current = agentrun.current_run()
        return current.run_id if current is not None else f"none in {city}"


async def lookup_async(city: str) -> str:
    await asyncio.sleep(0)
    return lookup(city)


def found_in_process(city: str) -> dict[str, object]:
    """Runs in a worker process without `install`."""
    from otel_agentrun import current

    scope = current.current()
    return dict(scope.stamps, city=city) if scope is not None else {}


def test_tasks_of_asyncio_belong_to_their_run(app: Recorded) -> None:
    """Two runs at once in one loop, each with tasks and `to_thread`: nothing mixes."""

    async def one(name: str) -> list[str]:
        async with agentrun.run(name) as run:
            ids = await asyncio.gather(
                lookup_async("a"), asyncio.to_thread(lookup, "b"), asyncio.create_task(
                    lookup_async("c")
                )
            )  # fmt: skip
            assert set(ids) == {run.run_id}
            return ids

    async def both() -> None:
        first, second = await asyncio.gather(one("first"), one("second"))
        assert not set(first) & set(second)

    asyncio.run(both())

    steps = [span.attributes or {} for span in app.spans if span.name == "agent.tool lookup"]
    assert len(steps) == 6
    assert len({step[semconv.RUN_ID] for step in steps}) == 2
    assert {step[semconv.STEP_ID] for step in steps} == {2, 3, 4}


def test_a_wrapped_function_belongs_to_its_run_in_threads(app: Recorded) -> None:
    """Many threads may call one wrapped function at the same time."""
    with ThreadPoolExecutor(4) as pool, agentrun.run("support") as run:
        called = list(pool.map(agentrun.wrap(lookup), "abcdefgh"))
        thread_ids: queue.Queue[str] = queue.Queue()
        thread = threading.Thread(target=agentrun.wrap(lambda: thread_ids.put(lookup("x"))))
        thread.start()
        thread.join()
    with ThreadPoolExecutor(1) as pool:
        after = pool.submit(lookup, "z").result()

    assert set(called) == {run.run_id} == {thread_ids.get_nowait()}
    assert after == "none in z"
    assert run.totals.tool_calls == 9


def test_a_wrapped_coroutine_belongs_to_its_run_in_another_loop(app: Recorded) -> None:
    """`run_coroutine_threadsafe` takes no context along."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with agentrun.run("support") as run:
            function = agentrun.wrap(lookup_async)
            assert asyncio.iscoroutinefunction(function)
            found = asyncio.run_coroutine_threadsafe(function("a"), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    assert found == run.run_id


def test_a_wrapped_function_belongs_to_its_run_in_processes(app: Recorded) -> None:
    """Pickled, it takes the ids along as headers: run, session, tags."""
    spawned = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawned) as pool,
        agentrun.run("support", session="s-1", tags={"team": "pay"}) as run,
    ):
        found = pool.submit(agentrun.wrap(found_in_process), "Oslo").result(60)

    assert found[semconv.RUN_ID] == run.run_id
    assert found[semconv.SESSION_ID] == "s-1"
    assert found["agentrun.tag.team"] == "pay"
    assert found["city"] == "Oslo"


def test_it_keeps_the_function_s_name() -> None:
    """Pools, schedulers and logs show it."""
    wrapped = agentrun.wrap(lookup)

    assert wrapped.__name__ == "lookup"
    assert wrapped.__wrapped__ is lookup  # type: ignore[attr-defined]


def test_a_step_that_fell_out_of_its_run_is_counted_and_told_once(
    app: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """A plain pool loses the context: its steps are no run's, and that must not pass unseen."""
    runtime.forget_warnings()
    assert app.installed.processor is not None
    with ThreadPoolExecutor(2) as pool, agentrun.run("support") as run:
        assert all(found.startswith("none") for found in pool.map(lookup, "ab"))
        with app.tracer.start_as_current_span("plumbing"):
            pass
        pool.submit(lambda: app.tracer.start_span("GET /").end()).result()

    assert app.installed.processor.unattributed == 2
    assert run.totals.tool_calls == 0
    ours = [record for record in caplog.records if record.name.startswith("otel_agentrun")]
    told = [record.getMessage() for record in ours if record.levelno == logging.WARNING]
    assert ["otel_agentrun.wrap(function)" in each for each in told] == [True], told


def test_steps_of_an_application_without_runs_are_counted_but_nobody_is_warned(
    app: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """The processor alone is a stage of the rollout (S5.76): no open run misses them."""
    runtime.forget_warnings()
    assert app.installed.processor is not None
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    app.tracer.start_span("chat gpt-4o-mini", attributes=chat).end()

    assert app.installed.processor.unattributed == 1
    assert not caplog.records
