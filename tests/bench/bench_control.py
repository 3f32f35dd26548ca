"""Control: how long after a breach an agent stops; `runs stop`, `/v1/authorize`, rules per step.

An application of its own process (`control_agents`), with the SDK and the control stream, and a
collector with an embedded store.  `--section stop|api|authorize|spans|rules` measures one part;
each takes less than a minute.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider

import otel_agentrun as agentrun
from otel_agentrun import semconv
from tests.bench.bench_sdk import micros
from tests.control.application import Application, an_open_run
from tests.e2e.otlp import TOOL, a_span, traces
from tests.e2e.talk import Talk
from tests.support.process import CollectorProcess

ROOT: Final = Path(__file__).parents[2]
RUNS: Final = 200
CALLS: Final = 1000
FINDINGS: Final = 100
LOAD_SPANS_PER_SEC: Final = 3000
LOAD_SECS: Final = 20
RULE_ROUNDS: Final = 60
RULES: Final = """
budgets:
  - {name: cents, measure: cost_usd, limit: 0.01, match: 'agent_name == "remote"',
     escalate: {kill: 1}}
  - {name: few-tools, measure: tool_calls, limit: 2, escalate: {kill: 1}}
policies: [{name: no-shell, policy: forbidden_tool, tools: ["shell*"], escalate: {kill: 1}}]
"""
LOCAL_RULES: Final = {
    "budgets": [
        {
            "name": "local-cents", "measure": "cost_usd", "limit": 0.01,
            "match": 'agent_name == "local"', "escalate": {"kill": 1},
        }
    ]
}  # fmt: skip


class Agents:
    """The application."""

    def __init__(self, collector: CollectorProcess, rules: Path) -> None:
        ports = collector.ports
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "tests.bench.control_agents",
                f"http://127.0.0.1:{ports['http']}", f"http://127.0.0.1:{ports['grpc']}",
                str(rules),
            ],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, agent: str, step_secs: float, costs_from: int = 2) -> str:
        """Begin one; its run id."""
        assert self._process.stdin is not None
        asked = {"agent": agent, "step_secs": step_secs, "costs_from": costs_from}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return str(self._heard()["run_id"])

    def stopped(self) -> dict[str, Any]:
        """How it ended."""
        return self._heard()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("Error: the application has ended.")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise SystemExit(f"Error: {found['error']}")
        return found


class Asker:
    """POSTs over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, path: str, **body: object) -> int:
        """Status of the answer: 200, 202 or 404."""
        self._connection.request(
            "POST", path, json.dumps(body), {"Content-Type": "application/json"}
        )
        response = self._connection.getresponse()
        said = response.read()
        assert response.status in (200, 202, 404), (response.status, said)
        return response.status


# ---------------------------------------------------------------------- sections


def stop_times(collector: CollectorProcess, agents: Agents) -> None:
    """From the breaching step's end to RunStopped."""
    warm_up(agents)
    for agent, where in (("local", "a rule in the application"), ("remote", "the collector's")):
        for step_secs, runs in ((0.01, RUNS), (0.05, RUNS // 2)):
            found = []
            for _ in range(runs):
                agents.start(agent, step_secs)
                found.append(agents.stopped())
            reasons = {(each["stop_reason"], each["connected"]) for each in found}
            assert reasons == {("budget_cost", True)}, reasons
            secs = [each["stopped"] - each["breached"] for each in found]
            steps = [each["steps_past"] for each in found]
            usd = [each["usd_past"] for each in found]
            say(f"stop, {where}, steps of {step_secs * 1000:g} ms", secs)
            line(
                f"  steps past it: mean {fmean(steps):.2f}, most {max(steps)};"
                f" {fmean(usd):.3f} USD, most {max(usd):.2f} (0.02 a step)"
            )


def warm_up(agents: Agents) -> None:
    """The first run connects."""
    for agent in ("local", "remote") * 3:
        agents.start(agent, 0.05)
        agents.stopped()
        time.sleep(0.2)


def stops_by_api(collector: CollectorProcess, agents: Agents) -> None:
    """From the request to RunStopped, in an agent that takes a step every 10 ms."""
    warm_up(agents)
    asker = Asker(collector.ports["api"])
    answered, stopped = [], []
    for _ in range(RUNS):
        run_id = agents.start("endless", 0.01, costs_from=0)
        time.sleep(0.06)
        while True:  # a run is known once it has said that it began
            began = time.monotonic()
            if asker.post(f"/v1/runs/{run_id}/stop", reason="bench") == 202:
                break
            time.sleep(0.02)
        answered.append(time.monotonic() - began)
        stopped.append(agents.stopped()["stopped"] - began)
    say("POST .../stop, answered", answered)
    say("POST .../stop, the agent has stopped", stopped)


def authorizing(collector: CollectorProcess, agents: Agents) -> None:
    """Without and beside ingest."""
    run_id = agents.start("remote", 0.05)
    agents.stopped()
    live = uuid.uuid4().hex
    asker = Asker(collector.ports["api"])

    def ask(tool: str, run: str) -> Callable[[], float]:
        return lambda: timed(
            lambda: asker.post("/v1/authorize", kind="tool", run_id=run, tool=tool)
        )

    say("authorize, allow", times(ask("search", live), CALLS))
    say("authorize, block (stopped run)", times(ask("search", run_id), CALLS // 4))
    with load(collector):
        beside = f"beside {LOAD_SPANS_PER_SEC} spans/s"
        say(f"authorize, allow, {beside}", times(ask("search", live), CALLS, pause_secs=0.002))
        say(
            f"authorize, block, {beside}",
            times(ask("search", run_id), CALLS // 5, pause_secs=0.002),
        )


@contextmanager
def load(collector: CollectorProcess) -> Iterator[None]:
    """Spans at a steady rate, until the block ends or `LOAD_SECS` have passed."""
    process = subprocess.Popen(
        [
            sys.executable, "tests/bench/otlp_load.py",
            "--endpoint", f"127.0.0.1:{collector.ports['grpc']}",
            "--rate", str(LOAD_SPANS_PER_SEC), "--seconds", str(LOAD_SECS), "--concurrency", "2",
        ],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(3)  # it builds its runs first
        yield
        if process.poll() is not None:
            line("  (the load ended before)")
    finally:
        process.terminate()
        process.wait(15)


def by_hand(collector: CollectorProcess, agents: Agents) -> None:
    """The stages that the collector's part consists of."""
    asker, talk = Asker(collector.ports["api"]), Talk(collector)
    with Application(collector) as application:
        application.welcome()
        run_id = uuid.uuid4().hex
        application.report(started=(an_open_run(run_id),))

        def report() -> None:
            said = {semconv.RUN_ID: run_id}
            event = (semconv.RUN_HEARTBEAT_EVENT, said)
            application.confirmed(application.report(event))

        def direct() -> None:
            seen = len(application.directives)
            asker.post(f"/v1/runs/{run_id}/pause", reason="")
            application.directive(seen)

        def find() -> float:
            found = uuid.uuid4().hex
            application.confirmed(application.report(started=(an_open_run(found),)))
            seen = len(application.directives)
            now_ns = time.time_ns() - 4_000_000_000
            request = traces([a_span(found, n, TOOL, start_ns=now_ns) for n in (1, 2, 3)])
            return timed(lambda: (talk.export(request), application.directive(seen)))

        say("report up the stream, until it is durable", times(lambda: timed(report)))
        say("POST .../pause, until the application has it", times(lambda: timed(direct)))
        say("spans that break a rule, until a directive is there", times(find, FINDINGS))


def rules_per_step() -> None:
    """In the application: the processor with the default rules, and without any."""
    number = 0

    def tool() -> None:
        nonlocal number
        number += 1
        with agentrun.tool("search", arguments={"page": number}) as step:
            step.result(number)

    def model() -> None:
        with agentrun.model("gpt-4.1", provider="openai") as step:
            step.usage(input_tokens=100, output_tokens=10)

    kinds = {"model step": model, "tool step, arguments and result": tool}
    found: dict[tuple[str, str], float] = {}
    for _ in range(RULE_ROUNDS):
        for name, rules in (("none", None), ("default", {})):
            agentrun.uninstall()
            provider = TracerProvider(shutdown_on_exit=False)
            agentrun.install(
                tracer_provider=provider, live=False, control=False, guard=False, rules=rules
            )
            for kind, case in kinds.items():
                with agentrun.run("bench"):
                    took = micros(case)
                found[kind, name] = min(took, found.get((kind, name), took))
    agentrun.uninstall()
    for kind in kinds:
        none, default = found[kind, "none"], found[kind, "default"]
        line(
            f"{kind:<32} no rules {none:5.1f} µs, default rules {default:5.1f} µs:"
            f" {default - none:.1f} µs a step"
        )


# ---------------------------------------------------------------------- figures


def times(work: Callable[[], float], number: int = RUNS, *, pause_secs: float = 0.0) -> list[float]:
    found = []
    for _ in range(number):
        found.append(work())
        time.sleep(pause_secs)
    return found


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def say(what: str, secs: list[float]) -> None:
    took = sorted(each * 1000 for each in secs)
    p99 = took[min(len(took) - 1, len(took) * 99 // 100)]
    line(f"{what:<58} p50 {median(took):7.2f} ms  p99 {p99:7.2f} ms  most {took[-1]:7.2f} ms")


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


SECTIONS: Final = {
    "stop": stop_times,
    "api": stops_by_api,
    "authorize": authorizing,
    "spans": by_hand,
}


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--section", action="append", choices=(*SECTIONS, "rules"))
    wanted = parser.parse_args(words).section or [*SECTIONS, "rules"]
    if set(wanted) & SECTIONS.keys():
        with tempfile.TemporaryDirectory(prefix="agentrun-bench-") as folder:
            rules, local = Path(folder) / "rules.yaml", Path(folder) / "local.json"
            rules.write_text(RULES)
            local.write_text(json.dumps(LOCAL_RULES))
            with CollectorProcess(Path(folder) / "data", cold=True, rules_file=rules) as collector:
                agents = Agents(collector, local)
                try:
                    for name in wanted:
                        if name in SECTIONS:
                            SECTIONS[name](collector, agents)
                finally:
                    agents.close()
    if "rules" in wanted:
        rules_per_step()


if __name__ == "__main__":
    main(sys.argv[1:])
