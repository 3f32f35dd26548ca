"""An application beside a real collector: seen while it runs, and when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import CollectorProcess

ROOT = Path(__file__).parents[2]

COMPLETE = """
import otel_agentrun as agentrun

app = agentrun.install(service_name="shop")

@agentrun.tool
def search(query):
    return ["tea"]

with agentrun.run("support", input="tea?", user="ada", session="s1") as run:
    with agentrun.model("gpt-4o-mini", provider="openai", messages="tea?") as step:
        step.usage(input_tokens=1000, output_tokens=100)
    search("tea")
    with agentrun.run("billing") as child:
        with agentrun.tool("pay", cost_usd=0.5):
            pass
    run.payment(2, "revenue")
    run.feedback("thumbs", score=1)
    run.respond("yes, tea")
print(run.run_id, child.run_id, flush=True)
"""

KILLED = """
import time
import otel_agentrun as agentrun

agentrun.install(service_name="shop", heartbeat_secs=0.2)
with agentrun.run("support", user="ada", session="s1") as run:
    with agentrun.tool("search"):
        pass
    print(run.run_id, flush=True)
    with agentrun.tool("hangs"):
        time.sleep(60)
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    settings = {"store_flush_secs": 0.05, "runs_lost_secs": 1, "runs_quiet_secs": 60}
    with CollectorProcess(tmp_path_factory.mktemp("live") / "data", **settings) as running:
        yield running


def start(code: str, collector: CollectorProcess) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.ports['http']}",
        },
    )


def wait_for(
    collector: CollectorProcess, run_id: str, wanted: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    found: dict[str, Any] = {}
    while time.monotonic() < deadline:
        listed = {run["run_id"] for run in collector.get("/v1/runs")}
        if run_id in listed:
            found = collector.get(f"/v1/runs/{run_id}")
            if wanted(found):
                return found
        time.sleep(0.05)
    raise AssertionError(f"not seen: {found}")


def whose(run: dict[str, Any]) -> tuple[str | None, ...]:
    return (run["agent_name"], run["user_id"], run["session_id"])


def test_a_run_is_shown_with_its_child_money_and_content(collector: CollectorProcess) -> None:
    """The SDK and the collector agree on everything: ids, totals, labels, words."""
    with start(COMPLETE, collector) as process:
        out, _ = process.communicate(timeout=60)
    run_id, child_id = out.split()

    # Its end is told at once; what was said comes with its span.
    shown = wait_for(
        collector,
        run_id,
        lambda it: it["run"]["status"] == "completed" and it["run"]["output"] is not None,
    )
    child = wait_for(collector, child_id, lambda it: it["run"]["parent_run_id"] is not None)

    run = shown["run"]
    assert whose(run) == ("support", "ada", "s1")
    assert (run["input"], run["output"]) == ("tea?", "yes, tea")
    assert run["child_run_ids"] == [child_id]
    assert child["run"]["parent_run_id"] == run_id
    assert (run["model_calls"], run["tool_calls"], run["tool_calls_total"]) == (1, 1, 2)
    assert (run["input_tokens"], run["output_tokens"]) == (1000, 100)
    assert run["cost_usd_total"] == pytest.approx(0.50021)
    assert run["revenue_usd"] == 2.0
    assert run["quality"] == {"thumbs": 1.0}
    [search] = [step for step in shown["steps"] if step["tool_name"] == "search"]
    assert (search["arguments"], search["result"]) == ({"query": "tea"}, ["tea"])


def test_a_killed_application_leaves_a_lost_run_with_its_tail(
    collector: CollectorProcess,
) -> None:
    """kill -9: no span of the run was exported; events say what it did last, heartbeats stop."""
    with start(KILLED, collector) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        try:
            alive = wait_for(
                collector,
                run_id,
                lambda it: any(e["name"] == "agentrun.run.heartbeat" for e in it["events"]),
            )
        finally:
            process.send_signal(signal.SIGKILL)
    assert alive["run"]["status"] in ("initiated", "running")
    assert whose(alive["run"]) == ("support", "ada", "s1")

    shown = wait_for(collector, run_id, lambda it: it["run"]["ended_at"] is not None)

    assert (shown["run"]["status"], shown["run"]["stop_reason"]) == ("failed", "lost")
    assert whose(shown["run"]) == ("support", "ada", "s1")
    told = [
        (event["attributes"]["agentrun.step.name"], event["attributes"]["agentrun.step.phase"])
        for event in shown["events"]
        if event["name"] == "agentrun.run.step"
    ]
    assert ("agent.tool search", "ended") in told
    assert told[-1] == ("agent.tool hangs", "started")
