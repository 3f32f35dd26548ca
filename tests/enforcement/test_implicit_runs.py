"""Runs that nobody opened with run(): metered and stoppable, and nothing about them is exported."""

# ruff: noqa: PT012 (what a run does before it is stopped is inside its block)

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

import otel_agentrun as agentrun
from otel_agentrun import dialects, implicit_runs, runtime
from otel_agentrun.processor import AgentRunSpanProcessor
from otel_agentrun.span_view import view_of
from tests.enforcement.conftest import KILL, App, Make

AGENT = {"openinference.span.kind": "AGENT"}


def only_run() -> str:
    [run] = runtime.active().verdicts.open_runs()
    return run.run_id


def trace_id(span: ReadableSpan | trace.Span) -> str:
    at = span.get_span_context()
    assert at is not None
    return f"{at.trace_id:032x}"


def test_the_top_agent_span_of_a_trace_is_a_run_with_the_id_of_the_trace(app: App) -> None:
    tracer = app.framework()
    with app.framework("my.app").start_as_current_span("handler") as handler:
        assert runtime.active().verdicts.open_runs() == []
        with tracer.start_as_current_span("agent", attributes=AGENT):
            assert only_run() == trace_id(handler)
            with app.database.start_as_current_span("SELECT"), tracer.start_as_current_span("llm"):
                assert only_run() == trace_id(handler)

    assert runtime.active().verdicts.open_runs() == []
    assert len(app.processor._implicit) == 0


def test_it_is_stopped_below_what_is_no_agent_work_too(app: App) -> None:
    tracer = app.framework()
    with (
        pytest.raises(agentrun.RunStopped) as caught,
        tracer.start_as_current_span("agent", attributes=AGENT) as agent,
        app.database.start_as_current_span("SELECT"),
    ):
        assert app.verdicts.give(KILL, run_id=only_run()) == (trace_id(agent),)
        with app.database.start_as_current_span("UPDATE"):
            pass
        tracer.start_span("llm")

    assert caught.value.run_id == trace_id(app.span("agent"))
    for name in ("agent", "SELECT"):
        span = app.span(name)
        assert (span.attributes or {})["agentrun.stop.reason"] == "killed_by_operator"
        assert span.status.status_code is StatusCode.ERROR
    with tracer.start_as_current_span("next", attributes=AGENT):
        pass


def test_nothing_of_it_is_exported(app: App) -> None:
    """The collector makes such runs out by itself."""
    tracer = app.framework()
    with tracer.start_as_current_span("agent", attributes=AGENT):
        tracer.start_span("llm", attributes={"openinference.span.kind": "LLM"}).end()

    assert dict(app.span("agent").attributes or {}) == AGENT
    assert dict(app.span("llm").attributes or {}) == {"openinference.span.kind": "LLM"}
    assert app.logs == ()


def test_its_outcome_is_told_when_it_is_stopped(app: App) -> None:
    tracer = app.framework()
    with pytest.raises(agentrun.RunStopped), tracer.start_as_current_span("a", attributes=AGENT):
        app.verdicts.give(KILL, run_id=only_run())
        tracer.start_span("llm")

    [ended] = app.events("agentrun.run.ended")
    assert ended["agentrun.run.id"] == trace_id(app.span("a"))
    assert ended["agentrun.stop.reason"] == "killed_by_operator"


def test_a_second_agent_after_the_first_is_another_run(app: App) -> None:
    """As the collector has it: the first takes the id of the trace."""
    tracer = app.framework()
    with app.framework("my.app").start_as_current_span("handler") as handler:
        with tracer.start_as_current_span("one", attributes=AGENT):
            app.verdicts.give(KILL, run_id=only_run())
        with tracer.start_as_current_span("two", attributes=AGENT) as two:
            assert only_run() == f"{trace_id(handler)}-{two.get_span_context().span_id:016x}"
            tracer.start_span("llm").end()


def test_a_leaked_context_begins_a_new_run(app: App) -> None:
    """agno's teams leave one: what starts below an agent that has ended is not stopped with it."""
    tracer = app.framework()
    with tracer.start_as_current_span("team", attributes=AGENT) as team:
        app.verdicts.give(KILL, run_id=only_run())
        with pytest.raises(agentrun.RunStopped):
            tracer.start_span("member")
        context = trace.set_span_in_context(team)

    tracer.start_span("late", context=context, attributes=AGENT).end()
    assert not runtime.active().verdicts.active


def test_model_calls_without_an_agent_are_one_run_until_their_trace_ends(app: App) -> None:
    tracer = app.framework("opentelemetry.instrumentation.openai_v2")
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    with app.framework("my.app").start_as_current_span("handler"):
        for _ in range(2):
            tracer.start_span("chat m", attributes=call).end()
        app.verdicts.give(KILL, run_id=only_run())
        with pytest.raises(agentrun.RunStopped):
            tracer.start_span("chat m", attributes=call)

    assert runtime.active().verdicts.open_runs() == []
    tracer.start_span("chat m", attributes=call).end()


def test_a_run_of_ours_inside_is_stopped_with_it_and_not_told_of(app: App) -> None:
    tracer = app.framework()
    with tracer.start_as_current_span("agent", attributes=AGENT) as agent:
        with agentrun.run("inner") as run:
            app.verdicts.give(KILL, run_id=trace_id(agent))
            with pytest.raises(agentrun.RunStopped), agentrun.tool("t"):
                pass
        assert run.parent_run_id == ""
    assert "agentrun.run.parent_id" not in app.said("agent.run inner")
    assert run.status == "killed"


def test_traces_that_never_end_are_no_leak(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit_runs, "OPEN_MAX", 5)
    spans = [app.framework().start_span("agent", attributes=AGENT) for _ in range(9)]

    assert len(app.processor._implicit) == 5
    for span in spans:
        span.end()
    assert len(app.processor._implicit) == 0
    assert runtime.active().verdicts.open_runs() == []


def test_two_processors_make_one_run(make: Make) -> None:
    app = make()
    app.provider.add_span_processor(AgentRunSpanProcessor())
    tracer = app.framework()
    agent = tracer.start_as_current_span("agent", attributes=AGENT)
    with agent, tracer.start_as_current_span("tool"):
        only_run()
    assert runtime.active().verdicts.open_runs() == []


def test_the_collector_reads_the_outcome_off_the_span_alone(app: App) -> None:
    """Where no event came through: the stamp of the root is enough."""
    tracer = app.framework()
    with pytest.raises(agentrun.RunStopped), tracer.start_as_current_span("a", attributes=AGENT):
        app.verdicts.give(KILL, run_id=only_run())
        tracer.start_span("llm")

    span = app.span("a")
    step = dialects.step(view_of(span, span.attributes or {}))
    assert step.labels["stop_reason"] == "killed_by_operator"
    assert step.failed
