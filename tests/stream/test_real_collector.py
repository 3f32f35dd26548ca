"""An application with the SDK beside a real collector: stopped by command, also over a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.talk import Talk
from tests.support.process import CollectorProcess

ROOT = Path(__file__).parents[2]

LOOPING = """
import json, os, sys, time
import otel_agentrun as agentrun

app = agentrun.install(service_name="shop", control=os.environ["CONTROL"])
deadline = time.monotonic() + 40
try:
    with agentrun.run("support", user="ada") as run:
        print(run.run_id, flush=True)
        while time.monotonic() < deadline:
            with agentrun.tool("search"):
                time.sleep(0.02)
except agentrun.RunStoppedError as stopped:
    print(json.dumps([time.time(), stopped.stop_reason, stopped.reason, stopped.actor]), flush=True)
"""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    with CollectorProcess(tmp_path / "data", store_flush_secs=0.05) as running:
        yield running


def start(collector: CollectorProcess) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOOPING],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "CONTROL": f"http://127.0.0.1:{collector.ports['grpc']}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.ports['http']}",
        },
    )


def shown(collector: CollectorProcess, run_id: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if run_id in {run["run_id"] for run in collector.get("/v1/runs")}:
            found: dict[str, Any] = collector.get(f"/v1/runs/{run_id}")
            if found["run"]["status"] == status:
                return found
        time.sleep(0.05)
    raise AssertionError(f"not {status}")


def test_a_looping_agent_is_stopped_by_command(collector: CollectorProcess) -> None:
    """`agentrun runs stop`: the agent observably stops, and the run says why and by whom."""
    with start(collector) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        shown(collector, run_id, "running")
        asked = time.time()
        done = Talk(collector).agentrun(
            "runs", "stop", run_id, "--reason", "enough", "--wait", "10"
        )
        out, _ = process.communicate(timeout=20)

    assert done.stdout == f"Run {run_id}: stopped.\n"
    at, stop_reason, reason, actor = json.loads(out)
    assert (stop_reason, reason, actor) == ("killed_by_operator", "enough", "anonymous")
    assert at - asked < 5  # mostly the start of the command
    run = shown(collector, run_id, "killed")["run"]
    assert run["stop_reason"] == "killed_by_operator"


def test_reports_of_a_collector_that_was_killed_are_all_there(collector: CollectorProcess) -> None:
    """kill -9 of the collector while an agent works: no step is missing, none counts twice."""
    with start(collector) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        shown(collector, run_id, "running")
        ports = dict(collector.ports)
        collector.kill()
        time.sleep(0.3)
        restart(collector, ports)
        shown(collector, run_id, "running")
        Talk(collector).agentrun("runs", "stop", run_id, "--reason", "enough", "--wait", "15")
        process.communicate(timeout=20)

    found = shown(collector, run_id, "killed")
    ids = [
        int(event["attributes"]["agentrun.step.id"])
        for event in found["events"]
        if event["name"] == "agentrun.run.step"
        and event["attributes"]["agentrun.step.phase"] == "ended"
    ]
    assert sorted(ids) == list(range(min(ids), min(ids) + len(ids)))


def restart(collector: CollectorProcess, ports: dict[str, int]) -> None:
    """On the same ports, as a service that its supervisor starts again."""
    collector._environment |= {
        "AGENTRUN_RECEIVER_GRPC_ADDRESS": f"127.0.0.1:{ports['grpc']}",
        "AGENTRUN_RECEIVER_HTTP_ADDRESS": f"127.0.0.1:{ports['http']}",
        "AGENTRUN_API_ADDRESS": f"127.0.0.1:{ports['api']}",
    }
    collector.start()
