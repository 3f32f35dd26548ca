"""The acceptance test of the SDK: two frameworks in two processes, one root run and its child."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.model import INPUT_TOKENS, OUTPUT_TOKENS, ModelServer
from tests.support.process import CollectorProcess

ROOT = Path(__file__).parents[2]
RUN_SECS = 60
CALL_USD = 0.00021


class Scene:
    """The collector, the model and the frameworks' interpreter."""

    def __init__(self, collector: CollectorProcess, python: Path, model: ModelServer) -> None:
        self.collector = collector
        self.python = python
        self.model = model
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.ports['http']}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(self.python), "-m", f"tests.frameworks.apps.{name}", *arguments]

    @contextmanager
    def served(self, name: str) -> Iterator[str]:
        command = self.command(name, self.model.url)
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                yield f"http://127.0.0.1:{int(process.stdout.readline())}"
            finally:
                process.terminate()
                process.wait(30)

    def lead(self, url: str) -> str:
        """Run the LangGraph agent; the run's id."""
        done = subprocess.run(
            self.command("lead", self.model.url, url),
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=RUN_SECS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, frameworks: Path, model: ModelServer
) -> Iterator[Scene]:
    with CollectorProcess(
        tmp_path_factory.mktemp("frameworks") / "data", store_flush_secs=0.05
    ) as collector:
        yield Scene(collector, frameworks, model)


@pytest.fixture(scope="module")
def ids(scene: Scene) -> dict[str, str]:
    """Path of the service -> id of the run that called it."""
    with scene.served("research") as url:
        found = {path: scene.lead(f"{url}/{path}") for path in ("research", "bare")}
    scene.collector.settle()
    return found


@pytest.mark.parametrize("path", ["research", "bare"])
def test_a_langgraph_agent_and_a_remote_pydantic_ai_agent_are_a_run_and_its_child(
    scene: Scene, ids: dict[str, str], path: str
) -> None:
    """The LangGraph agent is adopted by the run around it; the remote agent is one child run,
    whether its code opens a run or the middleware does (S3.33-S3.37, S5.2)."""
    run_id = ids[path]
    document = scene.collector.get(f"/v1/runs/{run_id}")
    run, steps = document["run"], document["steps"]
    of_trace = [each for each in scene.collector.get("/v1/runs") if run_id in each["trace_ids"]]
    [child] = [each for each in of_trace if each["run_id"] != run_id]

    assert len(of_trace) == 2
    assert run["run_id"] == run["root_run_id"] == run_id
    assert run["parent_run_id"] is None
    assert run["child_run_ids"] == [child["run_id"]]
    assert (run["agent_name"], run["status"], run["service_name"]) == ("lead", "completed", "lead")
    assert run["output"] == "It says: It says: Tea is on page 7."
    assert child["parent_run_id"] == child["root_run_id"] == run_id
    assert (child["agent_name"], child["status"]) == ("research", "completed")
    assert child["service_name"] == "research"
    assert run["session_id"] == child["session_id"] == "s-1"
    assert [step["tool_name"] for step in steps if step["kind"] == "tool"] == ["research"]


@pytest.mark.parametrize("path", ["research", "bare"])
def test_totals_are_right(scene: Scene, ids: dict[str, str], path: str) -> None:
    """Each of the four model calls and two tool calls counts once, in the run that made it."""
    run = scene.collector.get(f"/v1/runs/{ids[path]}")["run"]
    child = scene.collector.get(f"/v1/runs/{run['child_run_ids'][0]}")["run"]

    for each in (run, child):
        assert (each["model_calls"], each["tool_calls"]) == (2, 1)
        assert each["input_tokens"] == 2 * INPUT_TOKENS
        assert each["output_tokens"] == 2 * OUTPUT_TOKENS
        assert each["cost_usd"] == pytest.approx(2 * CALL_USD)
    assert (run["model_calls_total"], run["tool_calls_total"]) == (4, 2)
    assert run["input_tokens_total"] == 4 * INPUT_TOKENS
    assert run["cost_usd_total"] == pytest.approx(4 * CALL_USD)


@pytest.mark.parametrize("path", ["research", "bare"])
def test_every_span_is_stamped(scene: Scene, ids: dict[str, str], path: str) -> None:
    """LangChain's, pydantic-ai's and ours carry the enclosing run, the session and a step id."""
    run_id = ids[path]
    documents = [scene.collector.get(f"/v1/runs/{run_id}")]
    children = documents[0]["run"]["child_run_ids"]
    documents += [scene.collector.get(f"/v1/runs/{child}") for child in children]
    steps: dict[str, dict[str, Any]] = {
        step["span_id"]: step for document in documents for step in document["steps"]
    }

    assert len(steps) >= 10
    enclosing = {run_id, *children}
    for step in steps.values():
        attributes = step["attributes"]
        assert attributes["agentrun.run.id"] in enclosing, step["name"]
        assert attributes["session.id"] == "s-1", step["name"]
        assert int(attributes["agentrun.step.id"]) >= 1, step["name"]
