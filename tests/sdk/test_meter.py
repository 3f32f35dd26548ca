"""What the meter counts where spans or processors overlap, and what live events repeat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import Span, SpanLimits, TracerProvider
from opentelemetry.trace import Tracer

import otel_agentrun as agentrun
from otel_agentrun import dialects, reports, runtime, semconv
from otel_agentrun.current import RunScope
from otel_agentrun.open_spans import CALLS_MAX, OpenSpan, OpenSpans
from otel_agentrun.span_view import put, raw, view_of
from tests.sdk.conftest import Recorded

CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 2,
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    runtime.forget_warnings()
    yield
    runtime.reset()


def together(first: Tracer, second: Tracer, **changes: Any) -> None:
    """Two model spans beside each other, at the same time."""
    one = first.start_span("chat", attributes=CALL)
    other = second.start_span("chat", attributes={**CALL, **changes})
    one.end()
    other.end()


def test_two_instrumentations_side_by_side_tell_one_call(app: Recorded) -> None:
    """Neither knows of the other's span; the collector joins them, the meter counts one (S2.18)."""
    other = app.provider.get_tracer("other.instrumentation")
    with agentrun.run("r") as run:
        together(app.tracer, other)
        assert (run.totals.model_calls, run.totals.tokens) == (1, 12)

        together(app.tracer, app.tracer)  # one emitter: parallel calls are real
        together(app.tracer, other, **{"gen_ai.usage.output_tokens": 3})

    assert run.totals.model_calls == 1 + 2 + 2


def test_calls_one_after_the_other_are_two(app: Recorded) -> None:
    """Equal counts alone do not make them one."""
    other = app.provider.get_tracer("other.instrumentation")
    with agentrun.run("r") as run:
        for tracer in (app.tracer, other):
            tracer.start_span("chat", attributes=CALL).end()

    assert run.totals.model_calls == 2


def test_of_many_siblings_the_newest_are_remembered(app: Recorded) -> None:
    with agentrun.run("r") as run:
        for _ in range(CALLS_MAX * 2):
            app.tracer.start_span("chat", attributes=CALL).end()
        assert app.installed.processor is not None
        [above] = app.installed.processor._open.values()

    assert run.totals.model_calls == CALLS_MAX * 2
    assert len(above.calls) == CALLS_MAX


def test_spans_that_never_end_are_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_agentrun.open_spans.OPEN_MAX", 3)
    scope = RunScope({})
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
    spans = OpenSpans()
    for number in range(1, 9):
        spans.add(number, OpenSpan(scope, cast(Span, span), 0, number, False))

    assert list(spans) == [6, 7, 8]


def test_a_second_processor_counts_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    """An application may have added one before somebody called install()."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(agentrun.AgentRunSpanProcessor())
    agentrun.install(tracer_provider=provider, live=False)
    try:
        with agentrun.run("r") as run, agentrun.tool("t") as step:
            assert step.step_id == 2
        assert (run.totals.steps, run.totals.tool_calls) == (1, 1)
        assert "two AgentRunSpanProcessors" in caplog.text
    finally:
        agentrun.uninstall()


def test_uninstalling_takes_the_processor_off_its_provider() -> None:
    """Tests of applications install again and again, on one provider."""
    provider = TracerProvider(shutdown_on_exit=False)
    for _ in range(3):
        agentrun.install(tracer_provider=provider, live=False)
        with agentrun.run("r") as run, agentrun.tool("t"):
            pass
        assert run.totals.tool_calls == 1
        agentrun.uninstall()

    assert provider._active_span_processor._span_processors == ()


def test_what_a_child_used_is_in_its_parents_total_and_not_in_their_own(app: Recorded) -> None:
    with agentrun.run("a") as top, agentrun.run("b") as middle, agentrun.run("c") as lowest:
        with agentrun.tool("t", cost_usd=0.25):
            pass
        lowest.payment(1)

    for run in (top, middle, lowest):
        assert (run.totals.tool_calls, run.totals.cost_usd) == (1, 1.25)
    assert [run.own_totals.steps for run in (top, middle, lowest)] == [0, 0, 1]


def test_a_live_event_of_ours_says_what_the_dialects_read(app: Recorded) -> None:
    """It is copied from the span at less cost; the collector must find the same step in both."""
    with agentrun.run("r"):
        with agentrun.tool("search", arguments={"q": 1}, attempt=2, retry_reason="timeout") as step:
            step.result(["tea"])
        with agentrun.model("gpt-5", provider="openai") as call:
            call.response("no", response_id="x", finish_reasons=["stop"])
            call.usage(input_tokens=3, output_tokens=1, cache_read_tokens=2)
        with agentrun.retrieve("kb", query="q") as found:
            found.documents(["one", "two"])
        with agentrun.plan("p", branch="left", plan_step="2") as plan:
            plan.fail("rate_limit", "slow down")
        with agentrun.handoff("billing", role="clerk"):
            pass
        with agentrun.validate("check") as check:
            check.skip()

    steps = [span for span in app.spans if span.name != "agent.run r"]
    assert len(steps) == 6
    for span in steps:
        said = raw(span)
        ours: dict[str, object] = {}
        reports._say_of_ours(ours, span, said)
        step = dialects.step(view_of(span, said))
        read = {name: fact for name, fact in reports._of_others(said, step).items() if fact}
        assert {name: ours.get(name) for name in read} == read


def test_attributes_are_put_as_the_sdk_would_where_a_span_is_limited() -> None:
    """The quick way is for spans with room and without limits on length; others drop and cut."""
    limits = SpanLimits(max_span_attributes=4, max_span_attribute_length=3)
    short = TracerProvider(span_limits=limits, shutdown_on_exit=False).get_tracer("t")
    with short.start_as_current_span("s") as span:
        put(span, {"a": "12345"})
        put(span, {str(number): number for number in range(5)})
        assert dict(raw(span)) == {"1": 1, "2": 2, "3": 3, "4": 4}
        put(span, {"a": "12345"})
        assert raw(span)["a"] == "123"
    put(span, {"late": 1})
    assert "late" not in raw(span)


def test_an_attribute_of_a_step_wins_over_the_label_of_its_run(app: Recorded) -> None:
    """What is said of one span is more exact; ids are the run's alone."""
    mine = {"session.id": "mine", semconv.RUN_ID: "forged"}
    with (
        agentrun.run("r", session="s") as run,
        agentrun.tool("t", attributes=mine),
        app.tracer.start_as_current_span("http"),
    ):
        pass

    said = app.said("agent.tool t")
    assert (said["session.id"], said[semconv.RUN_ID]) == ("mine", run.run_id)
    assert app.said("http")["session.id"] == "s"
