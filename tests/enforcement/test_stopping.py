"""Gate 1: a stopped run stops before its next step, says why, and everything else goes on."""

# ruff: noqa: PT012 (what a run does before it is stopped is inside its block)

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import otel_agentrun as agentrun
from otel_agentrun import runtime
from otel_agentrun.processor import AgentRunSpanProcessor
from otel_agentrun.verdicts import Verdict
from tests.enforcement.conftest import KILL, App, Make


def kill(run_id: str) -> tuple[str, ...]:
    return runtime.active().verdicts.give(KILL, run_id=run_id)


def test_the_next_step_of_a_killed_run_is_refused_and_its_boundary_says_why(app: App) -> None:
    done: list[str] = []
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a") as run:
        with agentrun.tool("first"):
            done.append("first")
        assert kill(run.run_id) == (run.run_id,)
        try:
            with agentrun.tool("second"):
                done.append("second")
        except Exception:  # as agent frameworks do
            done.append("swallowed")

    error = caught.value
    assert done == ["first"]
    assert (error.run_id, error.stop_reason, error.reason) == (
        run.run_id,
        "killed_by_operator",
        "enough",
    )
    assert (error.actor, error.span_ids) == ("ann", ("00000000000000aa",))
    assert isinstance(error, Exception)
    assert isinstance(error.__cause__, agentrun.RunStopped)
    assert not isinstance(error.__cause__, Exception)
    assert run.status == "killed"
    said = app.said("agent.run a")
    assert said["agentrun.stop.reason"] == "killed_by_operator"
    assert said["agentrun.run.status"] == "killed"
    assert app.span("agent.run a").status.status_code is StatusCode.ERROR
    assert [span.name for span in app.spans] == ["agent.tool first", "agent.run a"]


def test_the_end_and_the_decision_are_told_before_the_exception_is_there(app: App) -> None:
    """The outcome does not depend on what a framework does with the exception."""
    with agentrun.run("a") as run:
        kill(run.run_id)
        with pytest.raises(agentrun.RunStopped), agentrun.tool("t"):
            pass
        [ended] = app.events("agentrun.run.ended")
        [decision] = app.events("agentrun.decision")

    assert ended["agentrun.stop.reason"] == "killed_by_operator"
    assert ended["agentrun.run.status"] == "killed"
    assert ended["agentrun.decision.reason"] == "enough"
    assert ended["agentrun.actor"] == "ann"
    assert decision["agentrun.decision.kind"] == "stop"
    assert decision["agentrun.decision.outcome"] == "block"
    assert decision["agentrun.run.id"] == run.run_id


def test_a_run_whose_framework_swallows_the_stop_is_killed_all_the_same(app: App) -> None:
    with agentrun.run("a") as run:
        kill(run.run_id)
        for _ in range(3):  # sticky
            with pytest.raises(agentrun.RunStopped), agentrun.model("m", provider="openai"):
                pass

    assert run.status == "killed"
    assert app.said("agent.run a")["agentrun.stop.reason"] == "killed_by_operator"


def test_a_kill_that_comes_after_the_last_step_changes_nothing(app: App) -> None:
    with agentrun.run("a") as run:
        with agentrun.tool("t"):
            pass
        kill(run.run_id)

    assert run.status == "completed"


def test_only_spans_of_agent_instrumentation_are_refused(app: App) -> None:
    """Cleanup of a stopped run, database, transport and unknown spans, goes on."""
    with agentrun.run("a") as run:
        kill(run.run_id)
        for scope in (
            "opentelemetry.instrumentation.sqlalchemy", "opentelemetry.instrumentation.httpx",
            "opentelemetry.instrumentation.chromadb", "openlit.instrumentation.chroma", "my.app",
            "logfire", "autogen SingleThreadedAgentRuntime",
        ):  # fmt: skip
            with app.framework(scope).start_as_current_span(f"fine {scope}"):
                pass
        for scope in (
            "openinference.instrumentation.langchain", "openinference.instrumentation.crewai",
            "opentelemetry.instrumentation.openai.v1", "opentelemetry.instrumentation.openai_v2",
            "pydantic-ai", "strands.telemetry.tracer", "gcp.vertex.agent", "agent_framework",
            "semantic_kernel.functions.kernel_function", "traceloop.tracer", "langfuse-sdk", "ai",
            "opentelemetry.util.genai.handler", "logfire.openai", "mlflow.tracing.provider",
        ):  # fmt: skip
            with pytest.raises(agentrun.RunStopped):
                app.framework(scope).start_span(f"refused {scope}")
        with pytest.raises(agentrun.RunStopped):
            app.framework("my.app").start_span("chat", attributes={"gen_ai.operation.name": "chat"})

    names = {span.name for span in app.spans}
    assert len([name for name in names if name.startswith("fine ")]) == 7
    assert not [name for name in names if name.startswith("refused ")]


def test_finally_blocks_roll_back_and_the_answer_can_still_be_given(app: App) -> None:
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a") as run:
        kill(run.run_id)
        try:
            with agentrun.tool("t"):
                pass
        finally:
            with app.database.start_as_current_span("ROLLBACK"):
                pass
            run.respond("partial")

    assert {"ROLLBACK", "agent.respond"} <= {span.name for span in app.spans}


def test_the_next_run_in_the_same_thread_works(app: App) -> None:
    for _ in range(2):
        with pytest.raises(agentrun.RunStoppedError), agentrun.run("stopped") as run:
            kill(run.run_id)
            with agentrun.tool("t"):
                pass
        with agentrun.run("next") as run, agentrun.tool("t"):
            pass
        assert run.status == "completed"
    assert not runtime.active().verdicts.active
    assert runtime.active().verdicts.open_runs() == []


def test_a_parent_goes_on_without_its_stopped_child(app: App) -> None:
    with agentrun.run("parent") as parent:
        with pytest.raises(agentrun.RunStoppedError), agentrun.run("child") as child:
            kill(child.run_id)
            with agentrun.tool("t"):
                pass
        with agentrun.tool("after"):
            pass

    assert (parent.status, child.status) == ("completed", "killed")
    assert app.span("agent.run parent").status.status_code is not StatusCode.ERROR


def test_what_is_below_a_stopped_run_stops_and_its_boundary_turns_it_around(app: App) -> None:
    """The stop of a parent passes through the boundaries of its children."""
    with (
        pytest.raises(agentrun.RunStoppedError) as caught,
        agentrun.run("parent") as parent,
        agentrun.run("child") as child,
    ):
        kill(parent.run_id)
        with agentrun.tool("t"):
            pass

    assert caught.value.run_id == parent.run_id
    assert (parent.status, child.status) == ("killed", "killed")
    assert app.said("agent.run child")["agentrun.stop.reason"] == "killed_by_operator"


def test_a_child_of_a_stopped_run_is_not_begun(app: App) -> None:
    with agentrun.run("parent") as parent:
        kill(parent.run_id)
        with pytest.raises(agentrun.RunStopped), agentrun.run("child"):
            pass
    with agentrun.run("other"):
        pass
    assert [run.run_id for run in runtime.active().verdicts.open_runs()] == []


def test_what_a_framework_says_at_the_end_does_not_undo_the_stop(app: App) -> None:
    """Most leave their spans UNSET or set them OK."""
    tracer = app.framework()
    with agentrun.run("a") as run, tracer.start_as_current_span("agent") as span:
        kill(run.run_id)
        with pytest.raises(agentrun.RunStopped):
            tracer.start_span("tool")
        span.set_attribute("agentrun.stop.reason", "completed")
        span.set_status(StatusCode.OK)

    agent = app.span("agent")
    assert agent.status.status_code is StatusCode.ERROR
    assert (agent.attributes or {})["agentrun.stop.reason"] == "killed_by_operator"


def test_decorated_functions_and_generators_turn_it_around_too(app: App) -> None:
    @agentrun.run
    def plain() -> None:
        stop_here()

    @agentrun.run
    def items() -> Iterator[int]:
        yield 1
        stop_here()

    @agentrun.run
    async def coroutine() -> None:
        stop_here()

    @agentrun.run
    async def async_items() -> AsyncIterator[int]:
        yield 1
        stop_here()

    def stop_here() -> None:
        run = agentrun.current_run()
        assert run is not None
        kill(run.run_id)
        with agentrun.tool("t"):
            pass

    async def all_of(items: AsyncIterator[int]) -> list[int]:
        return [item async for item in items]

    with pytest.raises(agentrun.RunStoppedError):
        plain()
    with pytest.raises(agentrun.RunStoppedError):
        list(items())
    with pytest.raises(agentrun.RunStoppedError):
        asyncio.run(coroutine())
    with pytest.raises(agentrun.RunStoppedError):
        asyncio.run(all_of(async_items()))
    assert {span.attributes["agentrun.run.status"] for span in app.spans if span.attributes} == {
        "killed"
    }


def test_task_groups_and_gather_let_it_through(app: App) -> None:
    """A task group wraps it into an exception group; the boundary finds it there."""

    async def step(name: str) -> None:
        await asyncio.sleep(0)
        async with agentrun.tool(name):
            await asyncio.sleep(0.01)

    async def in_group() -> None:
        async with agentrun.run("group") as run, asyncio.TaskGroup() as group:
            for name in ("a", "b", "c"):
                group.create_task(step(name))
            kill(run.run_id)

    async def gathered() -> None:
        async with agentrun.run("gather") as run:
            kill(run.run_id)
            await asyncio.gather(step("a"), step("b"))

    for main in (in_group, gathered):
        with pytest.raises(agentrun.RunStoppedError) as caught:
            asyncio.run(main())
        assert caught.value.stop_reason == "killed_by_operator"
    assert app.said("agent.run group")["agentrun.stop.reason"] == "killed_by_operator"


def test_threads_of_a_run_are_stopped_and_live_on(app: App) -> None:
    with ThreadPoolExecutor(1) as pool:
        with agentrun.run("a") as run:

            def work() -> str:
                with agentrun.tool("t"):
                    return "done"

            assert pool.submit(agentrun.wrap(work)).result(5) == "done"
            kill(run.run_id)
            with pytest.raises(agentrun.RunStopped):
                pool.submit(agentrun.wrap(work)).result(5)
        assert pool.submit(lambda: "alive").result(5) == "alive"


def test_a_thread_that_lost_the_context_is_matched_by_span_ancestry(app: App) -> None:
    """The parent span is enough: frameworks hand it over by themselves."""
    tracer = app.framework()
    refused: list[BaseException] = []
    with agentrun.run("a") as run, tracer.start_as_current_span("agent") as agent:
        kill(run.run_id)

        def work() -> None:
            try:
                tracer.start_span("tool", context=trace.set_span_in_context(agent, {}))  # type: ignore[arg-type]  # a bare context
            except BaseException as error:
                refused.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(5)

    assert [type(error) for error in refused] == [agentrun.RunStopped]


def test_a_leaked_context_is_not_the_stopped_run_any_more(app: App) -> None:
    """A verdict ends with its run: a span that starts below its ended root is of a new one."""
    tracer = app.framework()
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a") as run:
        context = trace.set_span_in_context(trace.get_current_span())
        kill(run.run_id)
        with agentrun.tool("t"):
            pass

    tracer.start_span("late", context=context).end()
    assert app.span("late").name == "late"


def test_stopped_by_finds_it_in_groups_and_causes() -> None:
    stop = agentrun.RunStopped("r", "policy", "no")
    wrapped = ValueError("tool failed")
    wrapped.__cause__ = stop
    group = BaseExceptionGroup("g", [KeyError("x"), BaseExceptionGroup("h", [stop])])

    assert agentrun.stopped_by(stop) is stop
    assert agentrun.stopped_by(wrapped) is stop
    assert agentrun.stopped_by(group) is stop
    assert agentrun.stopped_by(ExceptionGroup("g", [wrapped])) is stop
    assert agentrun.stopped_by(ValueError()) is None
    assert agentrun.stopped_by(None) is None
    circle = ValueError()
    circle.__context__ = circle2 = ValueError()
    circle2.__context__ = circle
    assert agentrun.stopped_by(circle) is None


def test_scopes_reach_the_runs_that_are_meant(app: App) -> None:
    verdicts = runtime.active().verdicts
    with agentrun.run("a", workspace="w") as first:
        begun = {run.run_id: run.started_ns for run in verdicts.open_runs()}
        assert verdicts.give(KILL, agent="b") == ()
        assert verdicts.give(KILL, run_id="0" * 32) == ()
        assert verdicts.give(KILL, everything=True, before_ns=begun[first.run_id]) == ()
        assert verdicts.give(KILL, agent="a", before_ns=begun[first.run_id] + 1) == (first.run_id,)
    with agentrun.run("b", workspace="w") as second:
        assert [(run.agent, run.workspace) for run in verdicts.open_runs()] == [("b", "w")]
        assert verdicts.give(KILL, workspace="w") == (second.run_id,)


def test_a_framework_run_inside_is_stopped_with_what_is_around_it(app: App) -> None:
    """The collector makes a child run of an agent's span; here its boundary is the run around."""
    tracer = app.framework()
    with (
        pytest.raises(agentrun.RunStoppedError) as caught,
        agentrun.run("a") as run,
        tracer.start_as_current_span("agent") as span,
    ):
        at = span.get_span_context()
        assert kill(f"{at.trace_id:032x}-{at.span_id:016x}") == (run.run_id,)
        with tracer.start_as_current_span("tool"):
            pass

    assert caught.value.run_id == run.run_id
    assert app.said("agent")["agentrun.stop.reason"] == "killed_by_operator"
    assert app.said("agent.run a")["agentrun.stop.reason"] == "killed_by_operator"


def test_two_processors_stop_once(make: Make, recwarn: pytest.WarningsRecorder) -> None:
    app = make()
    app.provider.add_span_processor(AgentRunSpanProcessor())
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a") as run:
        kill(run.run_id)
        with agentrun.tool("t"):
            pass
    tracer = app.framework()
    with tracer.start_as_current_span("agent"):
        assert len(runtime.active().verdicts.open_runs()) == 1
        with tracer.start_as_current_span("tool"):
            assert len(runtime.active().verdicts.open_runs()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_verdicts_of_its_own(app: App) -> None:
    with agentrun.run("a") as run:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                kill(run.run_id)
                with agentrun.tool("t"):
                    pass
            except BaseException as error:
                code = 0 if isinstance(error, agentrun.RunStopped) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with agentrun.tool("t"):
            pass
    assert run.status == "completed"


def test_a_run_of_another_process_is_stopped_in_all_its_requests(app: App) -> None:
    """Each request of a run to a tool server is a scope of its own there."""
    headers = {"agentrun-run-id": ""}
    with agentrun.run("a") as run:
        headers = agentrun.inject()
        run_id = run.run_id
    with agentrun.attached(agentrun.extract(headers)):
        with agentrun.tool("t"):
            pass
        assert [each.run_id for each in runtime.active().verdicts.open_runs()] == [run_id]
        assert kill(run_id) == (run_id,)
        with pytest.raises(agentrun.RunStopped), agentrun.tool("t"):
            pass
    with (
        agentrun.attached(agentrun.extract(headers)),
        pytest.raises(agentrun.RunStopped),
        agentrun.tool("t"),
    ):
        pass


def test_the_reason_of_a_time_budget_is_a_timeout(app: App) -> None:
    late = Verdict(action="kill", stop_reason="budget_time", reason="60 s")
    with agentrun.run("a") as run:
        app.verdicts.give(late, run_id=run.run_id)
        with pytest.raises(agentrun.RunStopped), agentrun.tool("t"):
            pass
    assert run.status == "timed_out"
