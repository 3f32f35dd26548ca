"""What the demo's application puts on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.config.schema import ListenerConfig
from collector.demo.live import environment, run_application
from collector.demo.own_account import DemoRun
from collector.model import Signal
from collector.semconv.loading import load
from collector.semconv.observed import of_logs, of_traces
from collector.semconv.problem import Observed
from collector.semconv.report import examine
from otel_agentrun import semconv
from tests.receiver.edge import Edge, serving

LISTENER = ListenerConfig(address="127.0.0.1:0")
IDS = ("run_id", "parent_run_id")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with (
        start_blocking_portal("asyncio", backend_options={"use_uvloop": True}) as portal,
        serving(portal) as edge,
    ):
        yield edge


@pytest.fixture(scope="module")
def made(edge: Edge) -> list[DemoRun]:
    return run_application(environment(LISTENER, edge.http_port, ""))


@pytest.fixture(scope="module")
def seen(edge: Edge, made: list[DemoRun]) -> list[Observed]:
    found: list[Observed] = []
    for call in edge.intake.calls:
        if call.signal is Signal.TRACES:
            found += of_traces(ExportTraceServiceRequest.FromString(call.body))
        else:
            found += of_logs(ExportLogsServiceRequest.FromString(call.body))
    return found


def test_everything_conforms_to_the_registry(seen: list[Observed]) -> None:
    """Issue 3: the tutorial is an example of the conventions; there is not even advice for it."""
    report = examine(seen, load())

    assert report.conforms, report.document()["problems"]
    assert not report.found, report.document()["problems"]
    assert set(report.steps) == {"run", "plan", "model", "tool", "retrieve", "validate", "other"}


def test_runs_are_told_of_while_they_happen(seen: list[Observed], made: list[DemoRun]) -> None:
    """Each start and end once, and steps in between."""
    names = [one.name for one in seen]

    assert names.count(semconv.RUN_STARTED_EVENT) == len(made) == 13
    assert names.count(semconv.RUN_ENDED_EVENT) == len(made)
    assert semconv.RUN_STEP_EVENT in names
    assert names.count(semconv.FEEDBACK_EVENT) == 1


def test_two_demos_differ_in_ids_only(edge: Edge, made: list[DemoRun]) -> None:
    """No chance in it: what one demo shows, every demo shows."""
    again = run_application(environment(LISTENER, edge.http_port, ""))

    def facts(runs: list[DemoRun]) -> list[dict[str, Any]]:
        return [{k: v for k, v in asdict(run).items() if k not in IDS} for run in runs]

    assert facts(again) == facts(made)
    assert {run.run_id for run in again}.isdisjoint(run.run_id for run in made)
