"""Celery tasks belong to the run that sent them; with a real worker in a thread."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import otel_agentrun as agentrun
from otel_agentrun import runtime, semconv
from otel_agentrun.verdicts import Verdict
from tests.sdk.conftest import Recorded

celery = pytest.importorskip("celery")
from otel_agentrun.integrations.celery import instrument  # noqa: E402

WAIT_SECS = 20


def choice(request: Any, context: Any) -> agentrun.Run | None:
    name = request["task"]
    if name == "ship":
        return None
    return agentrun.run(name, context=context, execution="async", trigger="agent")


def leave_logging(**_: object) -> None:
    """Set up nothing."""


@pytest.fixture(scope="module")
def desk() -> Iterator[Any]:
    """A Celery application and its worker; stopping that takes seconds."""
    app = celery.Celery("desk", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
        broker_transport_options={"polling_interval": 0.02},
    )  # fmt: skip
    instrument(app, run=choice)

    @app.task(name="ship")
    def ship(order: int) -> str:
        with agentrun.tool("ship"):
            return f"shipped {order}"

    @app.task(name="broken")
    def broken() -> None:
        raise KeyError("no such order")

    @app.task(name="stopped")
    def stopped() -> None:
        run = agentrun.current_run()
        assert run is not None
        verdict = Verdict(action="kill", stop_reason="killed_by_operator", reason="enough")
        runtime.active().verdicts.give(verdict, run_id=run.run_id)
        with agentrun.tool("refused"):
            pass

    @app.task(name="again", bind=True, max_retries=1, default_retry_delay=0)
    def again(self: Any) -> str:
        assert self.request.id
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return "at last"

    @app.task(name="pack")
    def pack(order: int) -> str:
        with agentrun.tool("pack"):
            return f"packed {order}"

    from celery.contrib.testing.worker import start_worker

    # With a receiver Celery leaves the logging of this process alone.
    celery.signals.setup_logging.connect(leave_logging)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Celery's own
        with start_worker(
            app, pool="threads", concurrency=1, perform_ping_check=False, shutdown_timeout=WAIT_SECS
        ):
            yield app


def test_a_task_s_steps_belong_to_the_run_that_sent_it(app: Recorded, desk: Any) -> None:
    """One run stays one run over a queue (S5.18, S5.23)."""
    with agentrun.run("support", session="s-1") as run:
        result = desk.tasks["ship"].delay(7)
        assert result.get(timeout=WAIT_SECS) == "shipped 7"

    said = app.said("agent.tool ship")
    assert said[semconv.RUN_ID] == run.run_id
    assert said[semconv.SESSION_ID] == "s-1"


def test_a_task_sent_by_name_belongs_to_it_too(app: Recorded, desk: Any) -> None:
    """The sender need not have the task's code."""
    with agentrun.run("support") as run:
        desk.send_task("ship", (7,)).get(timeout=WAIT_SECS)
    desk.send_task("ship", (8,)).get(timeout=WAIT_SECS)

    inside, outside = [dict(span.attributes or {}) for span in app.spans if "ship" in span.name]
    assert inside[semconv.RUN_ID] == run.run_id
    assert semconv.RUN_ID not in outside


def test_a_task_can_be_a_run_of_its_own(app: Recorded, desk: Any) -> None:
    """S3.9, S3.41: background work is a child run, with its result; nobody waits for it."""
    with agentrun.run("support", session="s-1") as run:
        desk.tasks["pack"].delay(7).get(timeout=WAIT_SECS)

    said = app.said("agent.run pack")
    assert said[semconv.RUN_PARENT_ID] == run.run_id
    assert said[semconv.RUN_EXECUTION] == "async"
    assert said[semconv.SESSION_ID] == "s-1"
    assert said[semconv.OUTPUT] == "packed 7"
    assert app.said("agent.tool pack")[semconv.RUN_ID] == said[semconv.RUN_ID]


def test_a_task_that_fails_is_a_failed_run(app: Recorded, desk: Any) -> None:
    """The error reaches Celery, and the worker goes on."""
    with pytest.raises(KeyError):
        desk.tasks["broken"].delay().get(timeout=WAIT_SECS)
    desk.tasks["ship"].delay(7).get(timeout=WAIT_SECS)

    said = app.said("agent.run broken")
    assert (said[semconv.RUN_STATUS], said["error.type"]) == ("failed", "KeyError")


def test_a_retry_belongs_to_whoever_sent_the_task(app: Recorded, desk: Any) -> None:
    """S5.74: both attempts are runs, side by side; a task still sees its message."""
    with agentrun.run("support") as run:
        assert desk.tasks["again"].delay().get(timeout=WAIT_SECS) == "at last"

    first, second = [dict(span.attributes or {}) for span in app.spans if "again" in span.name]
    assert first[semconv.RUN_PARENT_ID] == second[semconv.RUN_PARENT_ID] == run.run_id
    assert second[semconv.RUN_STATUS] == "completed"


def test_a_task_called_as_a_function_is_one(app: Recorded, desk: Any) -> None:
    """Without a worker there is no request to enter."""
    with agentrun.run("support") as run:
        assert desk.tasks["pack"](7) == "packed 7"

    assert app.said("agent.tool pack")[semconv.RUN_ID] == run.run_id
    assert not [span for span in app.spans if span.name == "agent.run pack"]


def test_a_task_whose_run_is_stopped_fails_and_the_worker_lives(app: Recorded, desk: Any) -> None:
    """Inside it is a BaseException, which would end the worker."""
    with agentrun.run("support"):
        result = desk.tasks["stopped"].delay()
        with pytest.raises(agentrun.RunStoppedError) as caught:
            result.get(timeout=WAIT_SECS)
        after = desk.tasks["pack"].delay(7)
        assert after.get(timeout=WAIT_SECS) == "packed 7"

    assert caught.value.stop_reason == "killed_by_operator"
    assert app.said("agent.run stopped")[semconv.RUN_STATUS] == "killed"
