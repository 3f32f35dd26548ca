"""`agentrun runs stop / pause / resume` and the routes they use, as people and scripts do."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_agentrun import semconv
from tests.control.application import Application, a_request, an_open_run
from tests.e2e.otlp import a_run, traces
from tests.e2e.talk import Talk, agentrun, eventually
from tests.support.process import CollectorProcess


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    folder = tmp_path_factory.mktemp("commands")
    with CollectorProcess(folder / "data", store_flush_secs=0.05) as running:
        yield Talk(running)


def new_id() -> str:
    return uuid.uuid4().hex


def begin(talk: Talk, run_id: str) -> None:
    """A run that only an event tells of."""
    talk.export(a_request((semconv.RUN_STARTED_EVENT, {semconv.RUN_ID: run_id})))
    talk.settle()


def test_stop_waits_for_the_acknowledgment(talk: Talk) -> None:
    run_id = new_id()
    with Application(talk.collector, an_open_run(run_id)) as application:
        application.welcome()

        def answer() -> None:
            application.acknowledge(application.directive(), run_id)

        thread = threading.Thread(target=answer)
        thread.start()
        done = talk.agentrun("runs", "stop", run_id, "--reason", "enough", "--wait", "10")
        thread.join()
    assert done.stdout == f"Run {run_id}: stopped.\n"
    assert application.directive().reason == "enough"
    assert application.directive().actor == "anonymous"


def test_a_command_that_nobody_answers_fails_in_time(talk: Talk) -> None:
    """Exit status 1, and what could be the matter."""
    run_id = new_id()
    with Application(talk.collector, an_open_run(run_id)) as application:
        application.welcome()
        began = time.monotonic()
        done = talk.agentrun("runs", "pause", run_id, "--wait", "0.3", check=False)
    assert done.returncode == 1
    assert "requested" in done.stdout
    assert "no application has answered within 0.3 s" in done.stderr
    assert time.monotonic() - began < 10


def test_without_a_connected_application_it_says_so(talk: Talk) -> None:
    """The directive is recorded, and waits; `--json` has the same in fields."""
    run_id = new_id()
    begin(talk, run_id)
    said = talk.agentrun("runs", "stop", run_id).stdout
    assert f"Stop of run {run_id} requested" in said
    assert "No connected application has said that it holds this run" in said
    document = json.loads(talk.agentrun("runs", "resume", run_id, "--json").stdout)
    assert (document["action"], document["held_by"]) == ("resume", 0)


def test_wide_stops_from_the_command_line(talk: Talk) -> None:
    agent = f"agent-{new_id()[:8]}"
    with Application(talk.collector, an_open_run(new_id(), agent=agent)) as application:
        application.welcome()
        said = talk.agentrun("runs", "stop", "--agent", agent).stdout
        assert f"Stop of runs of agent {agent} requested" in said
        assert "No connected" not in said
        assert application.directive().agent == agent


@pytest.mark.parametrize("words", [(), ("r1", "--all"), ("--agent", "a", "--workspace", "b")])
def test_one_scope_has_to_be_named(talk: Talk, words: tuple[str, ...]) -> None:
    done = talk.agentrun("runs", "stop", *words, check=False)
    assert done.returncode == 2
    assert "exactly one" in done.stderr


def test_runs_that_are_not_there_or_over_cannot_be_directed(talk: Talk) -> None:
    unknown = talk.api(f"/v1/runs/{new_id()}/stop", method="POST", body={})
    assert unknown.status == 404
    done = talk.agentrun("runs", "stop", "no-such-run", check=False)
    assert done.returncode == 1
    assert "no run 'no-such-run'" in done.stderr

    run_id = new_id()
    talk.export(traces(a_run(run_id)))
    talk.run(run_id)
    over = talk.api(f"/v1/runs/{run_id}/stop", method="POST", body={})
    assert over.status == 409
    assert "completed" in over.document["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/stop", {}),
        ("/v1/stop", {"agent": "a", "all": True}),
        ("/v1/stop", {"agent": 3}),
        ("/v1/runs/r/stop", {"reason": "x" * 5000}),
        ("/v1/runs/r/stop", {"expires_secs": -1}),
        ("/v1/runs/r/stop", {"unknown": 1}),
    ],
)
def test_orders_that_make_no_sense_are_refused(
    talk: Talk, path: str, body: dict[str, object]
) -> None:
    assert talk.api(path, method="POST", body=body).status == 400


def test_directives_are_listed_newest_first(talk: Talk) -> None:
    run_id = new_id()
    begin(talk, run_id)
    for verb in ("pause", "resume"):
        talk.api(f"/v1/runs/{run_id}/{verb}", method="POST", body={})
    actions = [d["action"] for d in talk.get("/v1/directives") if d["run_id"] == run_id]
    assert actions == ["resume", "pause"]


def test_what_the_store_alone_was_told_reaches_the_application_later(tmp_path: Path) -> None:
    """`--store` while no collector holds it: the directive waits there for one."""
    collector = CollectorProcess(tmp_path / "data", store_flush_secs=0.05)
    run_id = new_id()
    with collector:
        begin(Talk(collector), run_id)
        assert collector.stop() == 0
        store = f"chdb://{tmp_path / 'data' / 'store'}"
        done = agentrun("--store", store, "runs", "stop", run_id, "--json")
        document = json.loads(done.stdout)
        assert document["status"] == "requested"
        collector.start()
        path = f"/v1/directives/{document['directive_id']}"
        eventually(lambda: Talk(collector).api(path).status == 200)
        with Application(collector, an_open_run(run_id)) as application:
            assert application.directive().id == document["directive_id"]


def test_control_can_be_switched_off(tmp_path: Path) -> None:
    """No stream, and nobody can direct a run; the rest works."""
    with CollectorProcess(tmp_path / "data", control_enabled="false") as collector:
        talk = Talk(collector)
        answer = talk.api("/v1/stop", method="POST", body={"all": True})
        assert answer.status == 400
        assert "control.enabled" in answer.document["error"]["hint"]
        with Application(collector) as application:
            assert application.ended().name == "UNIMPLEMENTED"
