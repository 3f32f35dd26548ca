"""The processor beside other instrumentations: samplers, full spans, logs, existing providers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)

import otel_agentrun as agentrun
from otel_agentrun import runtime, semconv
from otel_agentrun.processor import AgentRunSpanProcessor
from otel_agentrun.sampling import may_drop
from tests.sdk.conftest import Recorded


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    runtime.forget_warnings()
    yield
    runtime.reset()


def test_a_ratio_of_zero_exports_nothing_and_meters_everything(
    make_app: Callable[..., Recorded],
) -> None:
    """A sampler that drops hides spans from every processor (measured); ours records them."""
    app = make_app(sampler=TraceIdRatioBased(0.0))

    with agentrun.run("r") as run:
        with agentrun.model("gpt-4o-mini", provider="openai") as step:
            step.usage(input_tokens=10, output_tokens=1)
        with app.tracer.start_as_current_span(
            "execute_tool x",
            attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"},
        ) as span:
            assert not span.get_span_context().trace_flags.sampled

    assert (run.totals.model_calls, run.totals.tool_calls) == (1, 1)
    assert run.totals.tokens == 11
    assert app.spans == ()
    assert app.events("agentrun.run.started") == []


def test_without_the_wrapper_a_dropping_sampler_is_warned_of_once(
    make_app: Callable[..., Recorded], caplog: pytest.LogCaptureFixture
) -> None:
    make_app(sampler=TraceIdRatioBased(0.0), record_unsampled=False)

    with caplog.at_level(logging.WARNING, "otel_agentrun"):
        for _ in range(2):
            with agentrun.run("r") as run:
                pass

    assert run.totals.steps == 0
    assert [record for record in caplog.messages if "RecordAll" in record] == [runtime.UNSAMPLED]


@pytest.mark.parametrize(
    ("sampler", "drops"),
    [
        (ALWAYS_ON, False),
        (ParentBased(ALWAYS_ON), False),
        (ALWAYS_OFF, True),
        (TraceIdRatioBased(0.5), True),
        (ParentBased(TraceIdRatioBased(0.5)), True),
        (agentrun.RecordAll(ALWAYS_OFF), False),
    ],
)
def test_samplers_that_may_drop_are_told_apart(sampler: Sampler, drops: bool) -> None:
    assert may_drop(sampler) is drops


def test_the_processor_alone_does_with_an_existing_provider() -> None:
    """No install(): nothing global is touched."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AgentRunSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime.change(tracer=runtime.tracer_of(provider))

    with agentrun.run("r") as run, provider.get_tracer("x").start_as_current_span("GET /"):
        pass

    found = {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    assert found["GET /"] == {semconv.RUN_ID: run.run_id, semconv.STEP_ID: 2}
    assert found["agent.run r"][semconv.RUN_ID] == run.run_id


def test_our_steps_are_stamped_without_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime.reset()
    runtime.change(tracer=runtime.tracer_of(provider))

    with agentrun.run("r", user="u") as run, agentrun.tool("t"):
        pass

    tool, root = (dict(span.attributes or {}) for span in exporter.get_finished_spans())
    assert tool[semconv.RUN_ID] == root[semconv.RUN_ID] == run.run_id != ""
    assert (tool[semconv.USER_ID], tool[semconv.STEP_ID]) == ("u", 2)


def test_a_full_span_keeps_its_run() -> None:
    """A span drops its oldest attributes past the limit, and stamps are the oldest: instrumentors
    that flatten messages write hundreds."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_span_attributes=8))
    provider.add_span_processor(AgentRunSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime.change(tracer=runtime.tracer_of(provider))

    tracer = provider.get_tracer("x")
    with agentrun.run("r", session="s") as run, tracer.start_as_current_span("llm") as span:
        for number in range(20):
            span.set_attribute(f"llm.input_messages.{number}", "x")

    said = dict(exporter.get_finished_spans()[0].attributes or {})
    assert (said[semconv.RUN_ID], said[semconv.SESSION_ID]) == (run.run_id, "s")
    assert said["llm.input_messages.19"] == "x"


def test_what_an_emitter_says_of_its_span_is_kept(app: Recorded) -> None:
    with (
        agentrun.run("r", user="u", session="ours") as run,
        app.tracer.start_as_current_span(
            "llm", attributes={"session.id": "theirs", "agentrun.run.id": "forged"}
        ),
    ):
        pass

    said = app.said("llm")
    assert (said[semconv.SESSION_ID], said[semconv.USER_ID]) == ("theirs", "u")
    assert said[semconv.RUN_ID] == run.run_id


def test_logs_of_both_kinds_name_run_request_and_step(app: Recorded) -> None:
    """S4.8: the same ids in logs and traces."""
    logger = app.logger_provider.get_logger("app")
    lines: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign]  # a fake
    handler.addFilter(agentrun.RunLogFilter())
    std = logging.getLogger("tests.sdk.lines")
    std.addHandler(handler)
    std.propagate = False

    with agentrun.run("r", request_id="q") as run, agentrun.tool("t") as step:
        logger.emit(body="otel", event_name="line")
        std.warning("std")
    std.warning("outside")
    std.removeHandler(handler)

    [said] = app.events("line")
    assert (said[semconv.RUN_ID], said[semconv.REQUEST_ID]) == (run.run_id, "q")
    assert said[semconv.STEP_ID] == step.step_id == 2
    inside, outside = (vars(line) for line in lines)
    assert (inside["run_id"], inside["request_id"], inside["step_id"]) == (run.run_id, "q", 2)
    assert (outside["run_id"], outside["step_id"]) == ("", "")


def test_start_and_end_of_a_short_step_are_one_event_of_a_long_one_two(app: Recorded) -> None:
    with agentrun.run("r"):
        with agentrun.tool("short"):
            pass
        with agentrun.tool("long"):
            assert app.installed.processor is not None
            app.installed.processor.force_flush()

    phases = [
        (said[semconv.STEP_NAME], said[semconv.STEP_PHASE])
        for said in app.events("agentrun.run.step")
    ]
    assert phases == [
        ("agent.tool short", "ended"),
        ("agent.tool long", "started"),
        ("agent.tool long", "ended"),
    ]


def test_events_carry_no_content(app: Recorded) -> None:
    """Reports are for rules and live views: names, counts and digests."""
    with agentrun.run("r", input="SECRET-IN"):
        with agentrun.tool("t", arguments={"a": "SECRET-ARG"}) as step:
            step.result("SECRET-RESULT")
        with agentrun.model("m", provider="p", messages="SECRET-PROMPT") as call:
            call.response("SECRET-ANSWER")

    assert app.logs
    assert "SECRET" not in str([dict(each.log_record.attributes or {}) for each in app.logs])
    [tool, _] = app.events("agentrun.run.step")
    assert len(tool[semconv.TOOL_ARGUMENTS_HASH]) == 16


def test_reports_carry_what_a_step_cost(app: Recorded) -> None:
    """A cost budget of the collector acts on the report: the span may come five seconds later."""
    with agentrun.run("r"):
        with agentrun.tool("paid", cost_usd=0.25):
            pass
        with agentrun.tool("free", cost_usd=0):
            pass
        said = {"gen_ai.operation.name": "chat", "gen_ai.usage.cost": 0.5}
        with app.tracer.start_as_current_span("chat", attributes=said):
            pass
    costs = [
        said.get(semconv.COST_USD)
        for said in app.events("agentrun.run.step")
        if said[semconv.STEP_PHASE] == "ended"
    ]
    assert costs == [0.25, 0.0, 0.5]
