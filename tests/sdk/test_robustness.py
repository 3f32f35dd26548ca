"""The SDK never breaks its host, whatever it is given and whatever happens around it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import otel_agentrun as agentrun
from otel_agentrun import emitter, values
from tests.sdk.conftest import Recorded

ROOT = Path(__file__).parents[2]


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BrokenModel:
    def model_dump(self) -> Any:
        raise RuntimeError("no dump")


@dataclasses.dataclass
class Order:
    item: str
    next: Any = None


circular: dict[str, Any] = {}
circular["self"] = circular
deep: list[Any] = []
for _ in range(5000):
    deep = [deep]

ODD = [
    None, b"bytes", float("nan"), float("inf"), 10**30, 10**5000, -(2**70), Broken(), BrokenModel(),
    Order("tea", Order("cup")), circular, deep, {1: 2, None: 3, (4,): 5}, {1, 2}, object, lambda: 0,
    "\ud800", "\x00", [1, "a", None], range(10**9), iter([1]), "x" * 10_000_000,
    {str(n): n for n in range(100_000)}, Exception("e"), type("S", (str,), {})("sub"), True,
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_any_value_can_be_recorded_and_exported(app: Recorded, value: Any) -> None:
    """Odd types, self-reference, depth, huge texts and integers that OTLP has no room for."""
    start = time.perf_counter()
    with agentrun.run("r", input=value, tags={"t": value}, attributes={"mine": value}) as run:
        run.set("late", value).state("k", value=value)
        with agentrun.tool("t", arguments={"a": value}) as step:
            step.result(value)
        with agentrun.model("m", provider="p", messages=value, tools=value) as call:
            call.response(value)
        with agentrun.retrieve("kb", query=value) as found:
            found.documents([value])
        with agentrun.plan() as plan:
            plan.generated(value)
        run.respond(value)

    assert len(app.spans) == 6
    assert encode_spans(app.spans).resource_spans
    assert time.perf_counter() - start < 10.0
    assert max(len(str(v)) for s in app.spans for v in (s.attributes or {}).values()) < 20_000


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(json_like)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_text_is_always_json_or_the_text_itself(value: Any) -> None:
    text = values.text(value, 500)
    if isinstance(value, str):
        assert text == value
    else:
        json.loads(text)
        assert len(text) < 20_000


def test_a_decorated_function_may_recurse_until_it_may_not(app: Recorded) -> None:
    @agentrun.tool
    def down(n: int) -> int:
        return down(n + 1)

    with pytest.raises(RecursionError), agentrun.run("r"):
        down(0)

    assert app.said("agent.run r")["agentrun.stop.reason"] in ("tool_failure", "max_iterations")
    assert agentrun.current_run() is None


def test_a_bug_of_ours_is_logged_once_and_costs_nothing_else(
    app: Recorded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("otel_agentrun.processor.AgentRunSpanProcessor._stamp", fail)
    with agentrun.run("r"):
        for _ in range(3):
            with agentrun.tool("t"):
                pass

    assert len(app.spans) == 4
    [message] = caplog.messages
    assert message.startswith("span_start_not_recorded error=RuntimeError at test_robustness.py:")


def test_a_full_queue_drops_and_counts(app: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "QUEUE_MAX", 2)
    monkeypatch.setattr(emitter, "INTERVAL_SECS", 0.2)
    assert app.installed.processor is not None
    sender = app.installed.processor._emitter
    assert sender is not None

    with agentrun.run("r"):
        for _ in range(50):
            with agentrun.tool("t"):
                pass

    assert sender.dropped > 0
    assert len(app.spans) == 51


def script(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An application in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "OTEL_AGENTRUN_DISABLED": "", **environment},
        check=False,
    )


UNREACHABLE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
}


def test_with_the_collector_unreachable_an_agent_runs_at_full_speed() -> None:
    """And its process ends soon: exporters give up."""
    done = script(
        "import time, otel_agentrun as agentrun\n"
        "agentrun.install(service_name='x')\n"
        "start = time.perf_counter()\n"
        "with agentrun.run('r') as run:\n"
        "    for _ in range(2000):\n"
        "        with agentrun.tool('t', arguments={'a': 1}): pass\n"
        "print(time.perf_counter() - start, run.totals.tool_calls)\n",
        **UNREACHABLE,
    )

    secs, calls = done.stdout.split()
    assert done.returncode == 0, done.stderr
    assert float(secs) < 2.0
    assert calls == "2000"


def test_a_process_that_ends_does_not_wait_for_a_collector_that_is_not_there() -> None:
    """OpenTelemetry alone tries again for 7 seconds after one span, for 30 after many."""
    done = script(
        "import atexit, threading, time, otel_agentrun as agentrun\n"
        "from otel_agentrun import leaving\n"
        "leaving.limit_exit.__defaults__ = (0.2,)\n"
        "end = []\n"
        "atexit.register(lambda: print(time.perf_counter() - end[0]))\n"
        "agentrun.install(service_name='x')\n"
        "with agentrun.run('r'):\n"
        "    for _ in range(2000):\n"
        "        with agentrun.tool('t'): pass\n"
        "assert 'agentrun-exit' in [thread.name for thread in threading.enumerate()]\n"
        "end.append(time.perf_counter())\n",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )

    assert done.returncode == 0, done.stderr
    # The thread of live events waits two seconds for its last batch.
    assert float(done.stdout) < 5.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reports_for_itself() -> None:
    """The parent's thread, queue and open runs stay with the parent."""
    done = script(
        "import os, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "import otel_agentrun as agentrun\n"
        "from opentelemetry.sdk._logs import LoggerProvider\n"
        "from opentelemetry.sdk._logs.export import *\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "logs = InMemoryLogRecordExporter()\n"
        "provider = LoggerProvider(shutdown_on_exit=False)\n"
        "provider.add_log_record_processor(SimpleLogRecordProcessor(logs))\n"
        "app = agentrun.install(tracer_provider=TracerProvider(), logger_provider=provider)\n"
        "with agentrun.run('parent'):\n"
        "    assert app.processor.force_flush()\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        logs.clear()\n"
        "        with agentrun.tool('in the child'): pass\n"
        "        assert app.processor.force_flush(5000)\n"
        "        names = [r.log_record.event_name for r in logs.get_finished_logs()]\n"
        # Its end, and its beginning too where the child was slow.
        "        assert set(names) == {'agentrun.run.step'}, names\n"
        "        assert not app.processor._emitter._beats\n"
        "        os._exit(0)\n"
        "    _, status = os.waitpid(pid, 0)\n"
        "print(os.waitstatus_to_exitcode(status))\n"
    )

    assert done.stdout.strip() == "0", done.stderr


def test_steps_during_interpreter_shutdown_do_no_harm() -> None:
    done = script(
        "import atexit, otel_agentrun as agentrun\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        with agentrun.run('late'):\n"
        "            with agentrun.tool('t'): pass\n"
        "late = Late()\n"
        "atexit.register(lambda: agentrun.run('exit').__enter__())\n"
        "agentrun.install(tracer_provider=None)\n"
        "generator = agentrun.run(lambda: (yield 1))()\n"
        "next(generator)\n",
        OTEL_TRACES_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_needed_to_run_without_telemetry() -> None:
    """Not installed, or OTEL_SDK_DISABLED: every call works and does nothing."""
    code = (
        "import otel_agentrun as agentrun\n"
        "installed = agentrun.install()\n"
        "@agentrun.tool\n"
        "def f(x): return x\n"
        "with agentrun.run('r', input='x') as run:\n"
        "    assert f(1) == 1\n"
        "    run.payment(1).respond('y').route('z').pause().resume()\n"
        "    assert agentrun.current_run() is run\n"
        "    print(repr(run.run_id), run.totals.steps, installed)\n"
    )

    done = script(code, OTEL_SDK_DISABLED="true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("'' 0 Installation(tracer_provider=None"), done.stdout
    bare = script(code.replace("agentrun.install()", "None"))
    assert bare.returncode == 0, bare.stderr


def test_wrong_use_of_it_is_told_to_the_caller(app: Recorded) -> None:
    """What a programmer must fix raises; what the world does, does not."""
    make: Callable[[], Any] = lambda: agentrun.model("m")  # type: ignore[call-arg]  # noqa: E731
    with pytest.raises(TypeError, match="provider"):
        make()
