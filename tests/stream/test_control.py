"""The control stream of an application: reports up, directives down, and every kind of outage."""

from __future__ import annotations

import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otel_agentrun as agentrun
from otel_agentrun import control, lifecycle, runtime, semconv
from otel_agentrun.directives import Directed
from otel_agentrun.stopping import RunStopped, RunStoppedError
from tests.receiver.test_tls import an_authority
from tests.stream.collector import Collector, wait_for
from tests.stream.conftest import Application

ROOT = Path(__file__).parents[2]
Start = Callable[..., Application]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def loop_until_stopped(secs: float = 10.0) -> int:
    """An agent that goes on and on; how many steps it made."""
    deadline, steps = time.monotonic() + secs, 0
    while time.monotonic() < deadline:
        with agentrun.tool("search"):
            time.sleep(0.005)
        steps += 1
    raise AssertionError("nobody stopped it")


def steps(told: Collector | Application) -> list[str]:
    """Names of the steps that ended; a start is told of too where it is a batch earlier."""
    found = told.events if isinstance(told, Collector) else told.logged
    said = [each.attributes for each in found(semconv.RUN_STEP_EVENT)]
    return [
        each[semconv.STEP_NAME].removeprefix("agent.tool ")
        for each in said
        if each[semconv.STEP_PHASE] == "ended"
    ]


# ------------------------------------------------------------------ reports


def test_it_says_hello_with_the_runs_that_are_open(start_app: Start) -> None:
    with Collector() as collector:
        app = start_app(
            collector.port, headers={"Authorization": "Bearer k"}, service_name="ignored"
        )
        with agentrun.run("support", workspace="acme") as run:
            wait_for(lambda: app.control.is_connected)

            [hello] = collector.hellos
            assert hello.application_id == app.control.application_id
            assert (hello.can_stop, hello.can_pause) == (True, True)
            [told] = hello.runs
            assert (told.run_id, told.agent, told.workspace) == (run.run_id, "support", "acme")
            assert told.started_unix_ns > 0
        assert collector.metadata[0]["authorization"] == "Bearer k"


def test_nothing_is_connected_before_the_first_run(start_app: Start) -> None:
    """A server that forks its workers after `install()` has no connection to inherit."""
    with Collector() as collector:
        app = start_app(collector.port)
        time.sleep(0.1)
        assert collector.hellos == []

        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)


def test_steps_are_known_within_fifty_milliseconds(start_app: Start) -> None:
    """DESIGN: reports within 20 ms, however long a span processor batches (5 s)."""
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            for _ in range(15):
                with agentrun.tool("search"):
                    pass
                time.sleep(0.03)
            wait_for(lambda: len(steps(collector)) == 15)

    took = [(t.arrived_ns - t.at_ns) / 1e6 for t in collector.events(semconv.RUN_STEP_EVENT)]
    assert statistics.median(took) < 50, took
    assert app.logged(semconv.RUN_STEP_EVENT) == []  # once, not twice


def test_runs_that_begin_and_end_are_announced(start_app: Start) -> None:
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("outer"):
            wait_for(lambda: app.control.is_connected)
            with agentrun.run("inner", workspace="acme") as inner:
                wait_for(
                    lambda: (
                        [s.run_id for r in collector.reports for s in r.started] == [inner.run_id]
                    )
                )
            wait_for(lambda: inner.run_id in [e for r in collector.reports for e in r.ended])

    assert [r.sequence for r in collector.reports] == list(range(1, len(collector.reports) + 1))


def test_a_flush_waits_for_the_confirmation(start_app: Start) -> None:
    """A function that is frozen once it has answered flushes before."""
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            for _ in range(3):
                with agentrun.tool("search"):
                    pass
                assert app.installed.flush(5)
                assert not app.control._unconfirmed
            assert steps(collector) == ["search"] * 3
            collector.confirms = False
            with agentrun.tool("search"):
                pass
            assert not app.installed.flush(0.1)


def test_tls_with_certificates_on_both_sides(
    start_app: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables of OTLP name the files."""
    authority = an_authority(tmp_path, "ca")
    server, client = authority.issue("server"), authority.issue("client")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(authority.file))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(client.cert))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(client.key))
    trust = grpc.ssl_server_credentials(
        [(server.key.read_bytes(), server.cert.read_bytes())],
        authority.file.read_bytes(),
        require_client_auth=True,
    )
    with Collector(trust=trust) as collector:
        app = start_app(collector.port, scheme="https")
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)


def test_a_stream_that_cannot_be_is_refused_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with pytest.raises(ValueError, match="leave out live=False"):
        agentrun.install(tracer_provider=provider, control=True, live=False)
    monkeypatch.setattr("otel_agentrun.installation.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'otel-agentrun\[control\]'"):
        agentrun.install(tracer_provider=provider, control="http://127.0.0.1:1")


def test_without_grpcio_there_is_none_and_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otel_agentrun.installation.find_spec", lambda name: None)
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    installed = agentrun.install(tracer_provider=TracerProvider(shutdown_on_exit=False))
    try:
        assert installed.logger_provider is not None
        assert installed.control is None
        assert caplog.text == ""
    finally:
        agentrun.uninstall()


def test_an_application_with_log_records_of_its_own_keeps_its_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its processors and exporters would not see what goes up a stream."""
    monkeypatch.delenv("OTEL_AGENTRUN_CONTROL", raising=False)
    installed = agentrun.install(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        logger_provider=LoggerProvider(shutdown_on_exit=False),
    )
    try:
        assert installed.control is None
    finally:
        agentrun.uninstall()


# ------------------------------------------------------------------ directives


@pytest.mark.parametrize("scope", ["run_id", "agent", "workspace", "everything"])
def test_a_directive_stops_a_looping_run(start_app: Start, scope: str) -> None:
    """And is acknowledged, with the run that it stopped."""
    with Collector() as collector:
        app = start_app(collector.port)
        with (  # noqa: PT012
            pytest.raises(RunStoppedError) as stopped,
            agentrun.run("support", workspace="acme") as run,
        ):
            wait_for(lambda: app.control.is_connected)
            target = {
                "run_id": run.run_id, "agent": "support", "workspace": "acme", "everything": True,
            }  # fmt: skip
            collector.direct(
                id="d1", action="kill", reason="enough", actor="ada",
                stop_reason="killed_by_operator", at_unix_ns=time.time_ns(),
                **{scope: target[scope]},
            )  # fmt: skip
            loop_until_stopped()
        wait_for(lambda: collector.events(semconv.DIRECTIVE_EVENT))

    assert (stopped.value.stop_reason, stopped.value.actor) == ("killed_by_operator", "ada")
    [answer] = collector.events(semconv.DIRECTIVE_EVENT)
    assert answer.attributes["agentrun.directive.status"] == "acknowledged"
    assert answer.attributes["agentrun.directive.id"] == "d1"
    assert answer.attributes["agentrun.run.id"] == run.run_id


def test_pause_and_resume(start_app: Start) -> None:
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("support") as run:
            wait_for(lambda: app.control.is_connected)
            collector.direct(id="d1", action="pause", run_id=run.run_id, reason="look at it")
            wait_for(lambda: runtime.active().verdicts.active)
            collector.direct(id="d2", action="resume", run_id=run.run_id)
            wait_for(lambda: not runtime.active().verdicts.active)
        wait_for(lambda: len(collector.events(semconv.DIRECTIVE_EVENT)) == 2)

    told = [each.attributes for each in collector.events(semconv.DIRECTIVE_EVENT)]
    assert [each["agentrun.directive.status"] for each in told] == ["acknowledged"] * 2


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"action": "kill", "run_id": "f" * 32}, "no such run is open in this process"),
        ({"action": "dance", "agent": "support"}, "knows no action 'dance'"),
        ({"action": "kill", "agent": "support", "expires_unix_ns": 1}, "expired"),
        ({"action": "approve", "agent": "support", "approval_id": "a"}, "waits for this approval"),
    ],
)
def test_what_cannot_be_done_is_answered_with_why(
    start_app: Start, fields: dict[str, str], error: str
) -> None:
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            collector.direct(id="d1", **fields)
            wait_for(lambda: collector.events(semconv.DIRECTIVE_EVENT))

    [answer] = collector.events(semconv.DIRECTIVE_EVENT)
    assert answer.attributes["agentrun.directive.status"] == "failed"
    assert error in answer.attributes["error.message"]


def test_a_directive_concerns_nobody_else(start_app: Start) -> None:
    """Not other agents and workspaces, nor runs that began after it was given."""
    with Collector() as collector:
        app = start_app(collector.port)
        before_ns = time.time_ns() - 10**9
        with agentrun.run("support", workspace="acme") as run:
            wait_for(lambda: app.control.is_connected)
            now_ns = time.time_ns()
            for number, fields in enumerate(
                (
                    {"agent": "other", "at_unix_ns": now_ns},
                    {"workspace": "other", "at_unix_ns": now_ns},
                    {"everything": True, "at_unix_ns": before_ns},
                    {"everything": True, "at_unix_ns": now_ns, "workspace_limit": "other"},
                )
            ):
                collector.direct(id=f"d{number}", action="kill", **fields)
            collector.direct(
                id="last", action="kill", run_id=run.run_id, workspace_limit="other"
            )  # fmt: skip
            wait_for(lambda: collector.events(semconv.DIRECTIVE_EVENT))
            assert not runtime.active().verdicts.active
            with agentrun.tool("search"):
                pass

    [answer] = collector.events(semconv.DIRECTIVE_EVENT)
    assert answer.attributes["agentrun.directive.id"] == "last"
    assert answer.attributes["agentrun.directive.status"] == "failed"


def test_flag_warn_and_throttle_are_told_to_the_application_once(
    start_app: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A directive comes again after a reconnection; it is answered again and not done again."""
    seen: list[Directed] = []
    lifecycle.on("directive")(seen.append)
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("support") as run, caplog.at_level(logging.WARNING):
            wait_for(lambda: app.control.is_connected)
            for _ in range(2):
                collector.direct(id="d1", action="throttle", run_id=run.run_id, reason="slow down")
            wait_for(lambda: len(collector.events(semconv.DIRECTIVE_EVENT)) == 2)

    [directed] = seen
    assert (directed.action, directed.run_ids) == ("throttle", (run.run_id,))
    assert "run_directed action=throttle" in caplog.text


# ------------------------------------------------------------------ outages


def test_what_was_not_confirmed_arrives_again_over_the_next_stream(start_app: Start) -> None:
    """Also what happened in between: a restart of the collector loses nothing."""
    with Collector(confirms=False) as first:
        app = start_app(first.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            with agentrun.tool("before"):
                pass
            wait_for(lambda: steps(first))
            first.stop()
            wait_for(lambda: not app.control.is_connected)
            with agentrun.tool("between"):
                pass
            with Collector(first.port) as second:
                wait_for(lambda: app.control.is_connected)
                wait_for(lambda: len(steps(second)) == 2)
                assert steps(second) == ["before", "between"]
                assert [run.agent for run in second.hellos[0].runs] == ["support"]
                assert second.hellos[0].application_id == first.hellos[0].application_id
                wait_for(lambda: not app.control._unconfirmed)
    assert app.logged(semconv.RUN_STEP_EVENT) == []


def test_with_no_next_stream_it_leaves_as_log_records(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "GRACE_SECS", 0.2)
    with Collector(confirms=False) as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            with agentrun.tool("before"):
                pass
            wait_for(lambda: steps(collector))
            collector.stop()
            wait_for(lambda: steps(app))
            with agentrun.tool("after"):
                pass
            wait_for(lambda: steps(app) == ["before", "after"])


def test_at_the_end_what_is_not_confirmed_leaves_as_log_records(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_agentrun.emitter.EXIT_SECS", 0.3)
    with Collector(confirms=False) as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            with agentrun.tool("search"):
                pass
        began = time.monotonic()
        agentrun.uninstall()
        assert time.monotonic() - began < 2

    assert steps(app) == ["search"]
    assert len(app.logged(semconv.RUN_ENDED_EVENT)) == 1


def test_without_a_collector_events_leave_as_log_records_at_full_speed(
    start_app: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        app = start_app(free_port())
        with agentrun.run("support"):
            began = time.perf_counter()
            for _ in range(200):
                with agentrun.tool("search"):
                    pass
            took = time.perf_counter() - began
            wait_for(lambda: len(steps(app)) == 200)
            wait_for(lambda: "control_not_connected" in caplog.text)
            time.sleep(0.5)  # several attempts

    assert took < 1
    assert caplog.text.count("control_not_connected") == 1


@pytest.mark.parametrize("code", sorted(control.REFUSALS, key=str))
def test_a_server_that_refuses_is_left_alone(
    start_app: Start, code: grpc.StatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    """Another OTLP receiver, or a wrong key: said once, not tried again at once."""
    with Collector(refuses=code) as collector, caplog.at_level(logging.WARNING):
        app = start_app(collector.port)
        with agentrun.run("support"), agentrun.tool("search"):
            wait_for(lambda: "control_not_connected" in caplog.text)
        wait_for(lambda: app.logged(semconv.RUN_STEP_EVENT))

    assert f"reason={code.name}" in caplog.text


def test_a_peer_that_went_silent_is_given_up(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reset, no answer: as behind a firewall that forgot the connection."""
    monkeypatch.setattr(control, "PING_SECS", 0.1)
    monkeypatch.setattr(control, "DEAD_SECS", 0.4)
    with Collector(confirms=False) as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            wait_for(lambda: len(collector.hellos) >= 2)


def test_a_quiet_stream_asks_whether_the_other_side_is_there(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PING_SECS", 0.05)
    with Collector() as collector:
        app = start_app(collector.port)
        with agentrun.run("support"):
            wait_for(lambda: app.control.is_connected)
            wait_for(lambda: sum(not report.logs for report in collector.reports) >= 3)
            assert len(collector.hellos) == 1


# ------------------------------------------------------------------ processes


FORKING = """
import os, sys, time
import otel_agentrun as agentrun
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
app = agentrun.install(
    tracer_provider=TracerProvider(), logger_provider=LoggerProvider(), control=sys.argv[1]
)

def work(name):
    with agentrun.run(name) as run:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with agentrun.tool("search"):
                time.sleep(0.005)
        raise SystemExit("not stopped")

if sys.argv[2] == "connected":
    with agentrun.run("parent"):
        while not app.control.is_connected:
            time.sleep(0.005)
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        try:
            work(f"child{number}")
        except agentrun.RunStoppedError:
            sys.exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
try:
    work("parent")
except agentrun.RunStoppedError:
    print("stopped", codes, flush=True)
"""


@pytest.mark.parametrize(("before", "support"), [("fresh", "0"), ("connected", "1")])
def test_forked_children_have_a_stream_of_their_own(before: str, support: str) -> None:
    """gunicorn and Celery fork after `install()`; in the middle of it all a process can fork where
    gRPC is told to support that."""
    with Collector() as collector:
        command = [sys.executable, "-c", FORKING, f"http://127.0.0.1:{collector.port}", before]
        env = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": support}
        with subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                names: set[str] = set()

                def all_there() -> bool:
                    names.update(run.agent for hello in collector.hellos for run in hello.runs)
                    names.update(run.agent for r in collector.reports for run in r.started)
                    return {"child0", "child1"} <= names

                wait_for(all_there)
                for agent in ("child0", "child1"):
                    collector.direct(id=agent, action="kill", agent=agent)
                wait_for(lambda: len(collector.events(semconv.DIRECTIVE_EVENT)) == 2)
                wait_for(
                    lambda: (
                        collector.direct(id="p", action="kill", agent="parent")
                        or time.sleep(0.05)
                        or process.poll() is not None
                    )
                )
                out, _ = process.communicate(timeout=10)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)

    assert out == "stopped [0, 0]\n"
    assert len({hello.application_id for hello in collector.hellos}) == 3


FORKED_LATE = """
import os, sys, time
import otel_agentrun as agentrun
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
kept = InMemoryLogRecordExporter()
logs = LoggerProvider()
logs.add_log_record_processor(SimpleLogRecordProcessor(kept))
app = agentrun.install(
    tracer_provider=TracerProvider(), logger_provider=logs, control=sys.argv[1]
)
with agentrun.run("parent"):
    while not app.control.is_connected:
        time.sleep(0.005)
codes = []
for number in range(3):
    child = os.fork()
    if child == 0:
        with agentrun.run("child"), agentrun.tool("search"):
            pass
        app.processor.force_flush(5000)
        sys.exit(0 if kept.get_finished_logs() and not app.control.is_connected else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with agentrun.run("parent"):
    print(codes, app.control.is_connected)
"""


def test_a_child_of_a_process_that_talks_sends_log_records_and_lives() -> None:
    """gRPC would crash it: its threads are the parent's.  Turned off, as it is by default."""
    with Collector() as collector:
        done = subprocess.run(
            [sys.executable, "-c", FORKED_LATE, f"http://127.0.0.1:{collector.port}"],
            cwd=ROOT, env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.stdout == "[0, 0, 0] True\n", done.stderr
    assert len(collector.hellos) == 1


ENDING = """
import sys
import otel_agentrun as agentrun
app = agentrun.install(control=sys.argv[1])
with agentrun.run("support"):
    while not app.control.is_connected:
        pass
    with agentrun.tool("last"):
        pass
"""


def test_a_process_that_ends_sends_its_last_reports_and_does_not_hang() -> None:
    with Collector() as collector:
        env = {**os.environ, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", ENDING, f"http://127.0.0.1:{collector.port}"],
            cwd=ROOT, env=env, timeout=30, check=False, capture_output=True, text=True,
        )  # fmt: skip
        took = time.monotonic() - began
        wait_for(lambda: collector.events(semconv.RUN_ENDED_EVENT))

    assert (done.returncode, done.stderr) == (0, "")
    assert took < 5
    assert steps(collector) == ["last"]


def test_gate_one_raises_run_stopped_inside(start_app: Start) -> None:
    """What the application sees inside of the run is no Exception: frameworks catch those."""
    with Collector() as collector:
        app = start_app(collector.port)
        with pytest.raises(RunStoppedError), agentrun.run("support") as run:  # noqa: PT012
            wait_for(lambda: app.control.is_connected)
            collector.direct(id="d1", action="kill", run_id=run.run_id)
            with pytest.raises(RunStopped):
                loop_until_stopped()
            with agentrun.tool("again"):
                raise AssertionError("it went on")
