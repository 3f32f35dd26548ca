"""Runs: ids, children, stamps, totals, ends, hooks (S2, S3.11-S3.21, S4.4-S4.6, S5.1-S5.2)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

import otel_agentrun as agentrun
from otel_agentrun import current, semconv
from otel_agentrun.stops import STATUS_OF_STOP
from tests.sdk.conftest import Recorded


def test_a_parentless_run_has_the_trace_id_any_other_its_own_span_too(app: Recorded) -> None:
    """The ids that the collector would give (DESIGN section 5, S4.5)."""
    with app.tracer.start_as_current_span("GET /") as outer:
        trace_id = f"{outer.get_span_context().trace_id:032x}"
        with agentrun.run("in a request") as inner:
            span_id = f"{inner.span.get_span_context().span_id:016x}"
    with agentrun.run("alone") as alone:
        assert alone.run_id == f"{alone.span.get_span_context().trace_id:032x}"

    assert inner.run_id == f"{trace_id}-{span_id}"


def test_a_run_inside_a_run_is_its_child(app: Recorded) -> None:
    """S5.2; what it shares with its parent it takes over, what describes its agent it does not."""
    with agentrun.run("front", user="u", session="s", agent_role="router", tags={"a": 1}) as outer:
        with agentrun.run("billing", agent_version="2") as inner, agentrun.tool("pay"):
            assert agentrun.current_run() is inner
        assert agentrun.current_run() is outer

    assert agentrun.current_run() is None
    said = app.said("agent.tool pay")
    assert said[semconv.RUN_ID] == inner.run_id
    assert said[semconv.RUN_PARENT_ID] == inner.parent_run_id == outer.run_id
    assert (said[semconv.USER_ID], said["agentrun.tag.a"]) == ("u", "1")
    assert said[semconv.AGENT_VERSION] == "2"
    assert semconv.AGENT_ROLE not in said
    assert outer.totals.tool_calls == 1
    assert outer.own_totals.tool_calls == 0


def test_every_span_inside_is_stamped_whoever_starts_it(app: Recorded) -> None:
    """S2.1-S2.6, S2.18-S2.26, S4.15-S4.18: ids, tenancy, versions and labels on all of them."""
    with agentrun.run(
        "support",
        request_id="q1",
        session="s1",
        session_name="Refund",
        session_path="/support/refund",
        conversation="c1",
        user="u1",
        workspace="w",
        department="d",
        virtual_key="k",
        agent_id="a1",
        policy_version="p1",
        tool_contract_version="t1",
        route_config_version="r1",
        index_version="i1",
        tags={"tier": "gold"},
    ) as run:
        with app.tracer.start_as_current_span("GET /orders"):
            pass
        run.tag(later=True)
        with app.tracer.start_as_current_span("POST /refund"):
            pass

    said = app.said("GET /orders")
    assert said == {
        semconv.REQUEST_ID: "q1",
        semconv.SESSION_ID: "s1",
        semconv.SESSION_NAME: "Refund",
        semconv.SESSION_PATH: "/support/refund",
        semconv.CONVERSATION_ID: "c1",
        semconv.USER_ID: "u1",
        semconv.WORKSPACE: "w",
        semconv.DEPARTMENT: "d",
        semconv.VIRTUAL_KEY: "k",
        semconv.AGENT_ID: "a1",
        semconv.POLICY_VERSION: "p1",
        semconv.TOOL_CONTRACT_VERSION: "t1",
        semconv.ROUTE_CONFIG_VERSION: "r1",
        semconv.INDEX_VERSION: "i1",
        "agentrun.tag.tier": "gold",
        semconv.RUN_ID: run.run_id,
        semconv.STEP_ID: 2,
    }
    assert app.said("POST /refund")["agentrun.tag.later"] == "true"


def test_the_run_itself_says_what_it_is(app: Recorded) -> None:
    """S2.32, S3.11, S3.12, S3.19: type, task, trigger, execution, result, flags, scope."""
    with agentrun.run(
        "research",
        input={"topic": "tea"},
        workflow="nightly",
        agent_type="autonomous",
        task_type="report",
        trigger="cron",
        execution="async",
        feature_flags={"new_prompt": True},
    ) as run:
        run.result("s3://bucket/report.pdf", type="report")
        run.summary("wrote a report").out_of_scope()

    said = app.said("agent.run research")
    assert said[semconv.OPERATION] == "invoke_workflow"
    assert said[semconv.GEN_AI_WORKFLOW_NAME] == "nightly"
    assert said[semconv.AGENT_TYPE] == "autonomous"
    assert said[semconv.TASK_TYPE] == "report"
    assert said[semconv.RUN_TRIGGER] == "cron"
    assert said[semconv.RUN_EXECUTION] == "async"
    assert said["agentrun.feature_flag.new_prompt"] == "true"
    assert said[semconv.RESULT_REF] == "s3://bucket/report.pdf"
    assert said[semconv.RUN_SUMMARY] == "wrote a report"
    assert said[semconv.RUN_OUT_OF_SCOPE] is True
    assert said[semconv.INPUT] == '{"topic":"tea"}'


def test_step_ids_rise_in_a_run(app: Recorded) -> None:
    """S4.6, also over threads."""
    with agentrun.run("r") as run, ThreadPoolExecutor(4) as pool:
        assert run.step_id == 1

        def step() -> None:
            with agentrun.tool("t"):
                pass

        contexts = [copy_context() for _ in range(20)]
        list(pool.map(lambda context: context.run(step), contexts))

    ids = sorted(dict(s.attributes or {})[semconv.STEP_ID] for s in app.spans)
    assert ids == list(range(1, 22))


def test_the_meter_counts_model_calls_once_and_prices_them(app: Recorded) -> None:
    """Tokens and cost so far, ours and of other instrumentations, nested ones once (S3.21)."""
    with agentrun.run("r") as run:
        with agentrun.model("gpt-4o-mini", provider="openai") as step:
            with app.tracer.start_as_current_span(
                "chat gpt-4o-mini",
                attributes={
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o-mini",
                    "gen_ai.usage.input_tokens": 1000,
                    "gen_ai.usage.output_tokens": 100,
                },
            ):
                pass
            step.usage(input_tokens=1000, output_tokens=100)
        with agentrun.model("my-own", provider="me") as step:
            step.usage(input_tokens=5, output_tokens=5)
        totals = run.totals

    assert (totals.model_calls, totals.steps) == (2, 2)
    assert (totals.input_tokens, totals.output_tokens) == (1005, 105)
    assert totals.cost_nano_usd == 150_000 + 60_000
    assert (totals.unpriced_calls, totals.cost_is_exact) == (1, False)


def test_payments_and_revenue_are_counted_and_told(app: Recorded) -> None:
    """S2.16, S2.29."""
    with agentrun.run("outer") as outer, agentrun.run("shop") as run:
        run.payment(0.5, payee="api.example.com", reference="inv-1")
        run.payment(2, "revenue")
        with pytest.raises(ValueError, match="at least 0"):
            run.payment(-1)

    assert (outer.totals.cost_usd, outer.totals.revenue_usd) == (0.5, 2.0)
    paid, earned = app.events("agentrun.payment")
    assert (paid[semconv.PAYMENT_USD], paid[semconv.PAYMENT_KIND]) == (0.5, "cost")
    assert (earned[semconv.PAYMENT_USD], earned[semconv.PAYMENT_KIND]) == (2.0, "revenue")
    assert paid[semconv.RUN_ID] == run.run_id


def test_the_final_answer_is_a_step_and_the_output(app: Recorded) -> None:
    """S5.12, S5.19."""
    with agentrun.run("r") as run:
        run.respond("42", type="number")

    assert app.said("agent.respond")[semconv.STEP_ROLE] == "response"
    assert app.said("agent.respond")[semconv.OUTPUT] == "42"
    assert app.said("agent.run r")[semconv.OUTPUT] == "42"


def test_feedback_is_an_event_of_the_run(app: Recorded) -> None:
    """S3.20."""
    with agentrun.run("r") as run:
        run.feedback("thumbs", score=1, label="success", comment="nice", actor="ada")

    [said] = app.events("agentrun.feedback")
    assert (said[semconv.FEEDBACK_NAME], said[semconv.FEEDBACK_SCORE]) == ("thumbs", 1.0)


def fail_in(step: Any) -> Callable[[], None]:
    def agent() -> None:
        with step:
            raise RuntimeError("broken")

    return agent


def fail() -> None:
    raise RuntimeError("broken")


def recover() -> None:
    with pytest.raises(RuntimeError), agentrun.tool("t"):
        raise RuntimeError
    with agentrun.tool("t"):
        pass
    raise RuntimeError("something else")


def interrupt() -> None:
    raise KeyboardInterrupt


def limit() -> None:
    raise type("GraphRecursionError", (RecursionError,), {})("Recursion limit of 25 reached")


@pytest.mark.parametrize(
    ("agent", "stop", "status"),
    [
        (lambda: None, "completed", "completed"),
        (fail, "error", "failed"),
        (fail_in(agentrun.tool("t")), "tool_failure", "failed"),
        (fail_in(agentrun.model("m", provider="p")), "model_error", "failed"),
        (fail_in(agentrun.validate("v")), "input_invalid", "failed"),
        (recover, "error", "failed"),
        (interrupt, "cancelled", "killed"),
        (limit, "max_iterations", "failed"),
    ],
)
def test_why_a_run_stopped_follows_from_what_failed(
    app: Recorded, agent: Callable[[], None], stop: str, status: str
) -> None:
    run = agentrun.run("r")
    try:
        with run:
            agent()
    except BaseException:
        assert stop != "completed"

    said = app.said("agent.run r")
    assert (said[semconv.STOP_REASON], said[semconv.RUN_STATUS]) == (stop, status)
    assert run.status == status
    [ended] = app.events("agentrun.run.ended")
    assert (ended[semconv.STOP_REASON], ended[semconv.RUN_STATUS]) == (stop, status)


def test_a_stop_reason_may_be_given(app: Recorded) -> None:
    with agentrun.run("r") as run:
        run.stop("budget_time")
        with pytest.raises(ValueError, match="expected one of"):
            run.stop("bored")

    assert run.status == "timed_out"
    assert set(STATUS_OF_STOP) == set(semconv.STOP_REASON_VALUES)


def test_hooks_hear_of_every_turn_of_a_run_and_cannot_break_it(app: Recorded) -> None:
    heard: list[tuple[str, ...]] = []

    @agentrun.on("start")
    def start(run: agentrun.Run) -> None:
        heard.append(("start", run.run_id))
        raise RuntimeError("a hook of the application")

    @agentrun.on("step")
    def step(run: agentrun.Run, step: Any) -> None:
        heard.append(("step", str(step.kind)))

    for name in ("pause", "resume", "complete", "fail", "kill"):
        agentrun.on(name)(  # type: ignore[arg-type]  # names from a list
            lambda run, *rest, name=name: heard.append((name, str(rest[0] if rest else "")))
        )

    with agentrun.run("a") as run, agentrun.tool("t"):
        run.pause("approval", actor="ada")
        run.pause("again")
        assert run.status == "paused"
        run.resume("approved")
    with pytest.raises(KeyError), agentrun.run("b"):
        raise KeyError("x")
    with agentrun.run("c") as killed:
        killed.stop("killed_by_operator")
    agentrun.off("step", step)

    assert [each for each in heard if each[0] != "start"] == [
        ("pause", "approval"),
        ("resume", "approved"),
        ("step", "tool"),
        ("complete", ""),
        ("step", "run"),
        ("fail", "'x'"),
        ("step", "run"),
        ("kill", "killed_by_operator"),
        ("step", "run"),
    ]
    [paused] = app.events("agentrun.run.paused")
    assert (paused[semconv.DECISION_REASON], paused[semconv.ACTOR]) == ("approval", "ada")
    with pytest.raises(ValueError, match="expected one of"):
        agentrun.on("end")  # type: ignore[arg-type]  # what is tested


def test_a_run_that_has_ended_encloses_nothing(app: Recorded) -> None:
    """A background task that outlives its run must not grow it, nor make children of it."""
    seen: list[str] = []

    async def main() -> None:
        started, over = asyncio.Event(), asyncio.Event()

        async def background() -> None:
            started.set()
            await over.wait()
            with app.tracer.start_as_current_span("late"):
                assert current.current() is None
            with agentrun.run("own") as own:
                seen.append(own.parent_run_id)

        with agentrun.run("r"):
            task = asyncio.create_task(background())
            await started.wait()
        over.set()
        await task

    asyncio.run(main())

    assert seen == [""]
    assert semconv.RUN_ID not in app.said("late")


def test_a_span_in_a_thread_without_the_context_is_found_by_its_parent(app: Recorded) -> None:
    """LangChain's tracer, for one, starts spans of other threads under a parent it remembers."""
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    with agentrun.run("r") as run:
        parent = set_span_in_context(run.span, Context())

        def work() -> None:
            app.tracer.start_span("child", context=parent).end()
            app.tracer.start_span("stranger").end()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert app.said("child")[semconv.RUN_ID] == run.run_id
    assert semconv.RUN_ID not in app.said("stranger")


def test_a_run_of_another_process_goes_on_here(app: Recorded) -> None:
    """What propagation is built on: same run, or a child of it."""
    scope = current.continue_run("f" * 32, {semconv.SESSION_ID: "s"})

    with current.attached(current.within(scope)):
        with agentrun.tool("search"):
            pass
        with agentrun.run("helper") as child:
            pass

    assert app.said("agent.tool search")[semconv.RUN_ID] == "f" * 32
    assert app.said("agent.tool search")[semconv.SESSION_ID] == "s"
    assert child.parent_run_id == "f" * 32
    assert current.current() is None
