"""Control: how long a report, a directive and an answer to `/v1/authorize` take, over real ports.

python -m tests.bench.bench_control
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otel_agentrun import semconv
from tests.control.application import Application, an_open_run
from tests.e2e.otlp import TOOL, a_span, traces
from tests.e2e.talk import Talk
from tests.support.process import CollectorProcess

CALLS: Final = 300
FINDINGS: Final = 30
RULES: Final = """
budgets: [{name: few-tools, measure: tool_calls, limit: 2, escalate: {kill: 1}}]
policies: [{name: no-shell, policy: forbidden_tool, tools: ["shell*"], escalate: {kill: 1}}]
"""


class Asker:
    """POSTs over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, path: str, **body: object) -> None:
        self._connection.request(
            "POST", path, json.dumps(body), {"Content-Type": "application/json"}
        )
        response = self._connection.getresponse()
        response.read()
        assert response.status in (200, 202), response.status


def say(what: str, work: Callable[[], float], times: int = CALLS) -> None:
    """`work` gives the seconds of one."""
    took = sorted(work() * 1000 for _ in range(times))
    p99 = took[min(len(took) - 1, len(took) * 99 // 100)]
    sys.stdout.write(f"{what:<58} p50 {statistics.median(took):7.2f} ms  p99 {p99:7.2f} ms\n")
    sys.stdout.flush()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agentrun-bench-") as folder:
        rules = Path(folder) / "rules.yaml"
        rules.write_text(RULES)
        with CollectorProcess(Path(folder) / "data", rules_file=rules) as collector:
            measure(collector)


def measure(collector: CollectorProcess) -> None:
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

        say("authorize: allow", lambda: timed(lambda: ask(asker, run_id, "search")))
        say("authorize: block (recorded)", lambda: timed(lambda: ask(asker, run_id, "shell")))
        say("report up the stream, until it is durable", lambda: timed(report))
        say("POST .../pause, until the application has it", lambda: timed(direct))
        say("spans that break a rule, until the application has it", find, FINDINGS)


def ask(asker: Asker, run_id: str, tool: str) -> None:
    asker.post("/v1/authorize", kind="tool", run_id=run_id, tool=tool)


if __name__ == "__main__":
    main()
