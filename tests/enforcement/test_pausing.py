"""A paused run waits where waiting is safe; an approval is waited for by what asked."""

# ruff: noqa: PT012 (what a run does before it is stopped is inside its block)

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import otel_agentrun as agentrun
from otel_agentrun import runtime
from otel_agentrun.verdicts import Verdict
from tests.enforcement.conftest import KILL, PAUSE, App, Make

WAIT_SECS = 5.0


def soon(work: Callable[[], object]) -> threading.Thread:
    """Do it in another thread, in a moment."""
    thread = threading.Timer(0.03, work)
    thread.start()
    return thread


def answered(app: App, how: Callable[[str, str], object]) -> threading.Thread:
    """Answer the approval that is asked for next: (run id, approval id)."""

    def work() -> None:
        until = time.monotonic() + WAIT_SECS
        while time.monotonic() < until:
            asked = app.events("agentrun.approval.requested")
            if asked:
                how(asked[-1]["agentrun.run.id"], asked[-1]["agentrun.approval.id"])
                return
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def refuse(app: App) -> Callable[[str, str], object]:
    def how(run_id: str, approval_id: str) -> object:
        return app.verdicts.give(
            Verdict(
                action="kill", stop_reason="rejected", reason="too much", actor="bo",
                approval_id=approval_id,
            ),
            run_id=run_id,
        )  # fmt: skip

    return how


def test_a_paused_run_waits_before_its_next_step_until_it_is_resumed(app: App) -> None:
    with agentrun.run("a") as run:
        app.verdicts.give(PAUSE, run_id=run.run_id)
        started = time.monotonic()
        thread = soon(lambda: app.verdicts.lift(run.run_id))
        with agentrun.tool("t"):
            waited = time.monotonic() - started
            assert run.status == "running"
        thread.join(WAIT_SECS)

    assert waited >= 0.02
    assert run.status == "completed"
    [paused] = app.events("agentrun.run.paused")
    assert paused["agentrun.actor"] == "ann"
    assert len(app.events("agentrun.run.resumed")) == 1


def test_a_paused_run_can_be_killed(app: App) -> None:
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a") as run:
        app.verdicts.give(PAUSE, run_id=run.run_id)
        thread = soon(lambda: app.verdicts.give(KILL, run_id=run.run_id))
        with agentrun.tool("t"):
            pass
    thread.join(WAIT_SECS)
    assert run.status == "killed"


def test_asynchronous_code_waits_without_blocking_its_loop(app: App) -> None:
    """In our own API; the loop, and what is not of the run, goes on."""

    @agentrun.tool
    async def search() -> str:
        return "found"

    async def main() -> str:
        async with agentrun.run("a") as run:
            app.verdicts.give(PAUSE, run_id=run.run_id)
            waiting = asyncio.create_task(search())
            await asyncio.sleep(0.02)
            assert not waiting.done()
            app.verdicts.lift(run.run_id)
            found = await waiting
            app.verdicts.give(PAUSE, run_id=run.run_id)
            thread = soon(lambda: app.verdicts.lift(run.run_id))
            async with agentrun.model("m", provider="openai"):
                pass
            thread.join(WAIT_SECS)
            return found

    assert asyncio.run(main()) == "found"
    assert len(app.events("agentrun.run.resumed")) == 2


def test_a_framework_s_span_in_an_event_loop_does_what_the_fallback_says(app: App) -> None:
    tracer = app.framework()

    async def main(verdict: Verdict) -> str:
        with agentrun.run("a") as run:
            app.verdicts.give(verdict, run_id=run.run_id)
            tracer.start_span("tool").end()
        return run.status

    assert asyncio.run(main(PAUSE)) == "completed"
    with pytest.raises(agentrun.RunStoppedError, match="block an event loop"):
        asyncio.run(main(replace(PAUSE, fallback="kill", stop_reason="policy")))


def test_nobody_resumes_it_in_time(app: App) -> None:
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a") as run:
        app.verdicts.give(replace(PAUSE, expires_ns=time.time_ns() + 20_000_000), run_id=run.run_id)
        with agentrun.tool("t"):
            pass
    assert caught.value.stop_reason == "approval_expired"
    assert run.status == "killed"


def test_only_a_kill_of_an_outer_run_comes_before_a_pause(app: App) -> None:
    with (
        pytest.raises(agentrun.RunStoppedError),
        agentrun.run("outer") as outer,
        agentrun.run("inner") as inner,
    ):
        app.verdicts.give(PAUSE, run_id=inner.run_id)
        app.verdicts.give(KILL, run_id=outer.run_id)
        with agentrun.tool("t"):
            pass


def test_what_is_lifted_or_killed_by_mistake_changes_nothing(app: App) -> None:
    verdicts = app.verdicts
    with agentrun.run("a") as run:
        assert not verdicts.lift(run.run_id)
        assert not verdicts.lift(run.run_id, approval_id="none")
        assert verdicts.give(replace(KILL, approval_id="none"), run_id=run.run_id) == ()
        with agentrun.tool("t"):
            pass
    assert run.status == "completed"
    assert not verdicts.active


def test_an_approval_that_comes_lets_the_run_go_on(app: App) -> None:
    with agentrun.run("a") as run:
        thread = answered(app, lambda run_id, id: app.verdicts.lift(run_id, approval_id=id))
        assert run.require_approval("Refund 900 USD?", tool="refund", arguments={"usd": 900})
        with agentrun.tool("refund"):
            pass
    thread.join(WAIT_SECS)

    assert run.status == "completed"
    [asked] = app.events("agentrun.approval.requested")
    assert asked["agentrun.approval.question"] == "Refund 900 USD?"
    assert asked["gen_ai.tool.name"] == "refund"
    assert asked["agentrun.approval.expires_unix_ns"] > time.time_ns()
    assert len(app.events("agentrun.run.paused")) == len(app.events("agentrun.run.resumed")) == 1


def test_a_refusal_stops_the_run_or_raises_as_it_was_asked(app: App) -> None:
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("stops") as run:
        thread = answered(app, refuse(app))
        run.require_approval("Really?")
    thread.join(WAIT_SECS)
    assert (caught.value.stop_reason, caught.value.actor) == ("rejected", "bo")
    assert run.status == "killed"

    with agentrun.run("goes on") as run:
        expected = len(app.events("agentrun.approval.requested"))

        def work() -> None:
            while len(app.events("agentrun.approval.requested")) == expected:
                time.sleep(0.01)
            asked = app.events("agentrun.approval.requested")[-1]
            refuse(app)(asked["agentrun.run.id"], asked["agentrun.approval.id"])

        other = threading.Thread(target=work)
        other.start()
        with pytest.raises(agentrun.NotApprovedError, match="too much"):
            run.require_approval("Really?", on_refusal="raise")
        other.join(WAIT_SECS)
        with agentrun.tool("t"):
            pass
    assert run.status == "completed"


def test_nobody_answers_in_time(app: App) -> None:
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a") as run:
        run.require_approval("Anybody?", timeout_secs=0.02)
    assert caught.value.stop_reason == "approval_expired"
    outcomes = [each.get("agentrun.decision.outcome") for each in app.events("agentrun.decision")]
    assert outcomes == ["expired", "block"]
    assert run.status == "killed"


def test_a_kill_ends_the_wait_for_an_approval(app: App) -> None:
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a") as run:
        thread = soon(lambda: app.verdicts.give(KILL, run_id=run.run_id))
        run.require_approval("Anybody?")
    thread.join(WAIT_SECS)
    assert caught.value.stop_reason == "killed_by_operator"


def test_an_event_loop_awaits_an_approval_and_is_never_blocked(app: App) -> None:
    async def main() -> None:
        async with agentrun.run("a") as run:
            with pytest.raises(RuntimeError, match="require_approval_async"):
                run.require_approval("Really?")
            thread = answered(app, lambda run_id, id: app.verdicts.lift(run_id, approval_id=id))
            branch = asyncio.create_task(other())
            await run.require_approval_async("Really?")
            assert await branch == "done"
            thread.join(WAIT_SECS)

    async def other() -> str:
        """A branch beside it does not wait."""
        async with agentrun.tool("t"):
            return "done"

    asyncio.run(main())


def test_approvals_that_make_no_sense_are_told(make: Make) -> None:
    make()
    run: Any = agentrun.run("a")
    with pytest.raises(RuntimeError, match="not open"):
        run.require_approval("?")
    with run, pytest.raises(ValueError, match="timeout_secs"):
        run.require_approval("?", timeout_secs=0)
    assert runtime.active().verdicts.open_runs() == []
