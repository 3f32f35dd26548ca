"""One agent over tasks, threads, processes, a queue and HTTP, as a real collector shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import CollectorProcess

ROOT = Path(__file__).parents[3]
APPS = "tests.sdk.propagation.apps"

LABELS = {"session_id": "s-1", "request_id": "req-1", "user_id": "ada", "tags": {"team": "Zoë"}}


def environment(collector: CollectorProcess) -> dict[str, str]:
    endpoint = f"http://127.0.0.1:{collector.ports['http']}"
    return {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}


@contextmanager
def served(name: str, environment: dict[str, str]) -> Iterator[str]:
    """URL of an application that prints its port; it is asked to end as `kill` does."""
    command = [sys.executable, "-m", f"{APPS}.{name}"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    with CollectorProcess(
        tmp_path_factory.mktemp("hops") / "data", store_flush_secs=0.05
    ) as running:
        yield running


@pytest.fixture(scope="module")
def ids(collector: CollectorProcess) -> dict[str, str]:
    variables = environment(collector)
    with served("helper", variables) as helper:
        done = subprocess.run(
            [sys.executable, "-m", f"{APPS}.desk", helper],
            cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    collector.settle()
    found: dict[str, str] = json.loads(done.stdout)
    return found


def show(collector: CollectorProcess, run_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = collector.get(f"/v1/runs/{run_id}")
    return document["run"], document["steps"]


def test_one_run_stays_one_run(collector: CollectorProcess, ids: dict[str, str]) -> None:
    """S1.3, S5.18, S5.23: nothing of its work is another run's, wherever it happened."""
    run, steps = show(collector, ids["run_id"])

    names = sorted(step["tool_name"] for step in steps if step["kind"] == "tool")
    assert names == sorted(
        [
            "a task", "a thread of asyncio", "a thread", "a thread", "a process by spawn",
            "a process by fork", "from the queue", "call", "stock", "call",
        ]
    )  # fmt: skip
    for step in steps:
        if step["kind"] == "tool":
            assert (step["run_id"], step["agent_name"]) == (ids["run_id"], "lead")
    assert run["tool_calls"] == 10
    assert run["parent_run_id"] is None
    assert run["root_run_id"] == ids["run_id"]
    assert run["status"] == "completed"
    assert run["trace_ids"] == [ids["run_id"]]
    assert {name: run[name] for name in LABELS} == LABELS


def test_a_remote_sub_agent_is_a_child_run(
    collector: CollectorProcess, ids: dict[str, str]
) -> None:
    """S3.33-S3.35: over HTTP and over a queue; with the labels of its origin."""
    lead, _ = show(collector, ids["run_id"])
    runs = {run["agent_name"]: run for run in collector.get("/v1/runs")}
    research, shipping = runs["research"], runs["shipping"]

    assert len(runs) == 3
    assert research["run_id"] == ids["research"]
    assert set(lead["child_run_ids"]) == {research["run_id"], shipping["run_id"]}
    for child in (research, shipping):
        assert child["parent_run_id"] == child["root_run_id"] == ids["run_id"]
        assert {name: child[name] for name in LABELS} == LABELS
    assert (research["service_name"], shipping["service_name"]) == ("helper", "worker")
    assert shipping["execution"] == "async"


def test_totals_of_the_root_include_what_ran_elsewhere(
    collector: CollectorProcess, ids: dict[str, str]
) -> None:
    """S3.36, S3.37: own figures and those with descendants are kept apart."""
    run, _ = show(collector, ids["run_id"])

    assert (run["model_calls"], run["model_calls_total"]) == (0, 1)
    assert (run["tool_calls"], run["tool_calls_total"]) == (10, 11)
    assert (run["input_tokens_total"], run["output_tokens_total"]) == (1000, 100)
    assert run["cost_usd_total"] == pytest.approx(0.00021)
