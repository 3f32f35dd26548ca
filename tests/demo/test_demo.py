"""The demo's agents over a real OTLP/gRPC port, and what the collector's own code makes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby

import pytest
from anyio.from_thread import start_blocking_portal
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collector.demo import DemoRun, answer_all, run_agents
from collector.normalize import steps_of
from collector.receiver.decode import Decoder
from collector.runs.group import fold
from collector.runs.run import Run
from tests.receiver.edge import Edge, serving

FIGURES = (
    "model_calls",
    "model_errors",
    "tool_calls",
    "tool_errors",
    "retrievals",
    "input_tokens",
    "output_tokens",
)


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with (
        start_blocking_portal("asyncio", backend_options={"use_uvloop": True}) as portal,
        serving(portal) as edge,
    ):
        yield edge


@pytest.fixture(scope="module")
def shown(edge: Edge) -> list[DemoRun]:
    """What the agents say of themselves, after they sent everything to the port."""
    return run_agents(edge.grpc_target)


@pytest.fixture(scope="module")
def runs(edge: Edge, shown: list[DemoRun]) -> dict[str, Run]:
    """What the spans fold to, by run id."""
    decoder = Decoder()
    steps = [
        step
        for call in edge.intake.calls
        for step in steps_of(decoder.traces(call.body, received_at_ns=time.time_ns()).batch)
    ]
    steps.sort(key=lambda step: step.trace_id)
    found = [
        run
        for _, steps_of_one in groupby(steps, key=lambda step: step.trace_id)
        for run in fold(steps_of_one)
    ]
    return {run.run_id: run for run in found}


def test_the_collector_comes_to_the_agents_own_figures(
    shown: list[DemoRun], runs: dict[str, Run]
) -> None:
    """Every run under the id the agent expects, with exactly what it did, nothing more."""
    assert set(runs) == {run.run_id for run in shown}
    for expected in shown:
        run = runs[expected.run_id]
        assert (run.parent_run_id or None) == expected.parent_run_id
        for name in ("agent_name", "status"):
            assert getattr(run, name) == getattr(expected, name), expected.title
        for name in FIGURES:
            assert getattr(run.own, name) == getattr(expected, name), (expected.title, name)


def test_a_run_document_that_differs_is_found(shown: list[DemoRun]) -> None:
    """`agentrun demo` compares: it would not do to show wrong figures of known runs."""
    run = shown[1]
    document = {field.name: getattr(run, field.name) for field in fields(run)}
    assert run.differences({**document, "steps": 6}) == ""

    wrong = run.differences({**document, "status": "failed", "tool_calls": 3})

    assert wrong == "status is 'failed', not 'completed', tool_calls is 3, not 2"


def test_the_demo_shows_what_it_promises(shown: list[DemoRun], runs: dict[str, Run]) -> None:
    """A plain run, a retry, a child run, a loop, a model that fails; a session of two runs."""
    plain, retried, parent, child, loop, no_model = (runs[run.run_id] for run in shown)

    assert (plain.status, plain.own.tool_calls, plain.own.retries) == ("completed", 2, 0)
    assert (retried.status, retried.own.tool_errors, retried.own.retries) == ("completed", 1, 1)
    assert plain.session_id == retried.session_id == "chat-1001"
    assert plain.user_id == "user-anna"
    assert plain.prompt_versions == {"support": "12"}
    assert parent.child_run_ids == (child.run_id,)
    assert child.agent_name == "billing_agent"
    assert parent.total.model_calls == parent.own.model_calls + child.own.model_calls == 4
    assert (loop.status, loop.stop_reason) == ("failed", "max_iterations")
    assert loop.own.tool_calls == 6
    assert (no_model.status, no_model.stop_reason) == ("failed", "model_error")
    assert no_model.error_type == "upstream_5xx"


def spans_of_a_demo() -> tuple[list[DemoRun], list[ReadableSpan]]:
    memory = InMemorySpanExporter()
    shown = answer_all(memory)
    return shown, list(memory.get_finished_spans())


def test_two_demos_differ_in_ids_and_times_only() -> None:
    """No chance in it: what one demo shows, every demo shows, and in under two seconds."""
    began = time.monotonic()
    first, spans = spans_of_a_demo()
    assert time.monotonic() - began < 2

    second, _ = spans_of_a_demo()

    def facts(shown: list[DemoRun]) -> list[tuple[object, ...]]:
        return [(r.title, r.agent_name, r.status, *(getattr(r, n) for n in FIGURES)) for r in shown]

    assert facts(first) == facts(second)
    assert {run.run_id for run in first}.isdisjoint(run.run_id for run in second)
    assert len(spans) == sum(1 + run.model_calls + run.tool_calls + run.retrievals for run in first)


def test_only_the_conventions_are_used() -> None:
    """A tutorial of the plain SDK: no attribute of ours, no global provider, structures as JSON."""
    before = trace.get_tracer_provider()
    _, spans = spans_of_a_demo()

    assert trace.get_tracer_provider() is before
    keys = {key for span in spans for key in span.attributes or {}}
    others = {key for key in keys if not key.startswith("gen_ai.")}
    assert others == {"user.id", "session.id", "error.type"}
    for span in spans:
        attributes = span.attributes or {}
        for key in keys & {"gen_ai.input.messages", "gen_ai.tool.call.arguments"}:
            if key in attributes:
                assert json.loads(str(attributes[key]))
