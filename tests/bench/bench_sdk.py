"""What a step costs an application, over a plain span: `python -m tests.bench.bench_sdk`.

Prints microseconds per step, the best of several rounds, all cases in turn in one process, so that
a busy machine slows them alike.  Exporters end in nothing.  Beside it, in the same process, the
decorators of traceloop-sdk and langfuse where they are installed (`--with PYTHON` measures in
another interpreter that has them, with this checkout on its path).
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_agentrun as agentrun
from otel_agentrun import runtime
from otel_agentrun.content import Mode
from otel_agentrun.log_wire import Event, LogEncoder

ROOT: Final = Path(__file__).parents[2]
ROUNDS: Final = 40
STEPS: Final = 250
"""Short rounds: some of them are not disturbed, however busy the machine is."""
LIVE_ROUNDS: Final = 7
LIVE_STEPS: Final = 1500
"""Long enough that the thread that sends events had its turn in each."""
PAUSE_SECS: Final = 0.001

Case = Callable[[], object]


class NoSpans(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class NoLogs(LogRecordExporter):
    """Encodes what it gets, as an exporter does."""

    def export(self, batch: Sequence[Any]) -> Any:
        from opentelemetry.sdk._logs.export import LogRecordExportResult

        encode_logs(batch).SerializeToString()
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def provider() -> TracerProvider:
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(NoSpans()))
    return made


def plain() -> dict[str, Case]:
    tracer = provider().get_tracer("bench")
    attributes = {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function", "session.id": "s", "user.id": "u",
        "agentrun.request.id": "q", "agentrun.run.id": "r", "agentrun.step.id": 1,
    }  # fmt: skip

    def bare() -> None:
        with tracer.start_as_current_span("search"):
            pass

    def same() -> None:
        with tracer.start_as_current_span("search", attributes=attributes):
            pass

    return {"plain span": bare, "plain span, 8 attributes": same}


class Stream:
    """A control stream that ends in nothing; what it takes is encoded as for a real one."""

    def __init__(self) -> None:
        self._encoder = LogEncoder({"service.name": "bench"}, "otel_agentrun")

    def start(self) -> None:
        """It is there."""

    def take(self, events: Sequence[Event]) -> bool:
        return bool(self._encoder.encode(events))

    def flush(self, secs: float) -> bool:
        return True

    def close(self, secs: float) -> list[Event]:
        return []


def ours(content: Mode, *, live: bool, stream: bool = False) -> dict[str, Case]:
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(BatchLogRecordProcessor(NoLogs()))
    agentrun.uninstall()
    traces = provider()
    agentrun.install(
        tracer_provider=traces, logger_provider=logs, content=content, live=live, control=False
    )
    if stream:
        emitter = runtime.active().emitter
        assert emitter is not None
        emitter.stream = Stream()
    run = agentrun.run("bench", session="s", user="u", request_id="q")
    run.__enter__()

    def step() -> None:
        with agentrun.tool("search"):
            pass

    @agentrun.tool
    def search(query: str, limit: int) -> list[str]:
        return ["tea", "cup"]

    http = traces.get_tracer("http")

    def foreign() -> None:
        with http.start_as_current_span("GET"):
            pass

    name = content + (", live" if live else "") + (", stream" if stream else "")
    return {
        f"tool(), {name}": step,
        f"@tool with arguments and result, {name}": lambda: search("tea please", 10),
        f"another's span in the run, {name}": foreign,
    }


def traceloop() -> dict[str, Case]:
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import tool

    Traceloop.init(app_name="bench", exporter=NoSpans(), disable_batch=False)

    @tool(name="search")  # type: ignore[untyped-decorator]  # not installed where types are checked
    def search(query: str, limit: int) -> list[str]:
        return ["tea", "cup"]

    return {"traceloop-sdk @tool": lambda: search("tea please", 10)}


def langfuse() -> dict[str, Case]:
    from langfuse import Langfuse, observe

    Langfuse(public_key="pk-x", secret_key="x", host="http://127.0.0.1:9", span_exporter=NoSpans())

    @observe(as_type="tool")  # type: ignore[untyped-decorator]  # as above
    def search(query: str, limit: int) -> list[str]:
        return ["tea", "cup"]

    return {"langfuse @observe": lambda: search("tea please", 10)}


def micros(case: Case, steps: int = STEPS) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        case()
    return (time.perf_counter() - start) / steps * 1e6


def micros_live(case: Case) -> float:
    return micros(case, LIVE_STEPS)


def micros_apart(case: Case) -> float:
    """The same where the application waits between steps, as it does for models and tools."""
    clock = time.perf_counter
    took = []
    for _ in range(STEPS):
        time.sleep(PAUSE_SECS)
        start = clock()
        case()
        took.append(clock() - start)
    return median(took) * 1e6


def micros_cpu(case: Case) -> float:
    """CPU of the whole process: also of the thread that sends events, until all are sent."""
    start = time.process_time()
    for _ in range(LIVE_STEPS):
        case()
    emitter = runtime.active().emitter
    if emitter is not None:
        emitter.flush(10)
    return (time.process_time() - start) / LIVE_STEPS * 1e6


def measure(
    cases: dict[str, Case], micros: Callable[[Case], float] = micros, rounds: int = ROUNDS
) -> dict[str, float]:
    """Best of the rounds; a round takes every case once."""
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, case in cases.items():
            best[name] = min(best[name], micros(case))
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with", dest="python", help="an interpreter with the other SDKs")
    python = parser.parse_args().python
    if python:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [python, "-m", "tests.bench.bench_sdk"]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False
        ).returncode
    logging.disable(logging.CRITICAL)
    groups: list[Callable[[], dict[str, Case]]] = [
        lambda: ours("off", live=False),
        lambda: ours("full", live=False),
        lambda: ours("redacted", live=False),
        lambda: ours("redacted", live=True),
        lambda: ours("redacted", live=True, stream=True),
        traceloop,
        langfuse,
    ]
    say(f"{'':52} {'µs':>8} {'over a plain span':>18}")
    first = True
    for group in groups:
        try:
            cases = group()
        except ImportError as missing:
            say(f"# {group.__name__}: left out, {missing}")
            continue
        # Each group beside plain spans: the machine may be busier than it was a second ago.
        live = any(", live" in name for name in cases)
        beside = {**plain(), **cases}
        found = measure(beside, micros_live, LIVE_ROUNDS) if live else measure(beside)
        base = found["plain span"]
        for name, value in found.items():
            if first or not name.startswith("plain span"):
                say(f"{name:52} {value:8.1f} {value - base:+18.1f}")
        first = False
    say(f"# and {PAUSE_SECS * 1000:g} ms apart")
    for live, stream in ((False, False), (True, False), (True, True)):
        cases = {**plain(), **ours("redacted", live=live, stream=stream)}
        found = measure(cases, micros_apart, LIVE_ROUNDS)
        for name, value in found.items():
            say(f"{name:52} {value:8.1f} {value - found['plain span']:+18.1f}")
    say("# CPU of all threads, events encoded and sent")
    for live, stream in ((False, False), (True, False), (True, True)):
        for name, value in measure(
            ours("redacted", live=live, stream=stream), micros_cpu, LIVE_ROUNDS
        ).items():
            say(f"{name:52} {value:8.1f}")
    agentrun.uninstall()
    return 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Others' exporters keep threads that wait for a server.
    code = main()
    sys.stdout.flush()
    os._exit(code)
