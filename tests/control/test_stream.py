"""The control stream against `agentrun up` on an embedded store."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from otel_agentrun import control_pb2 as pb
from otel_agentrun import semconv
from tests.control.application import Application, an_open_run
from tests.e2e.otlp import a_record, logs
from tests.e2e.talk import Talk, eventually
from tests.support.process import CollectorProcess

KEYS = {
    "shop": "key-of-the-shop-0123456789",
    "bank": "key-of-the-bank-0123456789",
    "reads": "key-that-only-reads-012345",
    "shop-control": "key-controls-the-shop-0123",
    "admin": "key-of-the-admin-012345678",
}
CONFIG = f"""
auth:
  keys:
    - {{name: shop, key: {KEYS["shop"]}, roles: [ingest], workspace: shop}}
    - {{name: bank, key: {KEYS["bank"]}, roles: [ingest], workspace: bank}}
    - {{name: reads, key: {KEYS["reads"]}, roles: [read]}}
    - {{name: shop-control, key: {KEYS["shop-control"]}, roles: [control], workspace: shop}}
    - {{name: admin, key: {KEYS["admin"]}, roles: [admin]}}
store: {{flush_secs: 0.05}}
control: {{streams_max: 4}}
"""


@pytest.fixture(scope="module")
def open_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """Without keys."""
    folder = tmp_path_factory.mktemp("control")
    with CollectorProcess(folder / "data", store_flush_secs=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "agentrun.yaml").write_text(CONFIG)
    with CollectorProcess(folder / "data", config=folder / "agentrun.yaml") as running:
        yield running


def new_id() -> str:
    return uuid.uuid4().hex


def started(run_id: str) -> tuple[str, dict[str, str]]:
    return (
        semconv.RUN_STARTED_EVENT,
        {semconv.RUN_ID: run_id, semconv.GEN_AI_AGENT_NAME: "support"},
    )


# ------------------------------------------------------------------ up


def test_reports_are_confirmed_once_they_are_durable_and_become_the_run(
    open_collector: CollectorProcess,
) -> None:
    """The run is there before any span of it."""
    talk, run_id = Talk(open_collector), new_id()
    with Application(open_collector) as application:
        assert application.welcome()
        run = an_open_run(run_id)
        answer = application.confirmed(application.report(started(run_id), started=(run,)))
        assert answer.error == ""

    shown = talk.run(run_id)
    assert shown["run"]["status"] in ("initiated", "running")
    assert [event["name"] for event in shown["events"]] == [semconv.RUN_STARTED_EVENT]


def test_bytes_that_are_no_message_cost_one_message(open_collector: CollectorProcess) -> None:
    """Neither the stream nor the process; logs that cannot be read are never sent again."""
    with Application(open_collector) as application:
        application.welcome()
        application.send(b"\xff\xff\xff\xff")
        application.send(b"")
        refused = application.confirmed(application.report(body=b"\xff\xfe\xfd"))
        assert refused.error
        assert application.confirmed(application.report(started(new_id()))).error == ""
    metrics = Talk(open_collector).api("/metrics").body.decode()
    assert 'agentrun_control_dropped_total{reason="bad_message"} 2.0' in metrics


def test_what_sends_nothing_but_nonsense_is_disconnected(open_collector: CollectorProcess) -> None:
    with Application(open_collector) as application:
        application.welcome()
        for _ in range(100):
            application.send(os.urandom(20).replace(b"\n", b"\xff"))
        assert application.ended() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_begins_with_a_hello(open_collector: CollectorProcess) -> None:
    with Application(open_collector, says_hello=False) as application:
        application.report(started(new_id()))
        assert application.ended() is grpc.StatusCode.INVALID_ARGUMENT
        assert "Hello" in application.details


# ------------------------------------------------------------------ down


def test_a_stop_reaches_the_application_that_holds_the_run_and_is_acknowledged(
    open_collector: CollectorProcess,
) -> None:
    """`requested` until the application answers."""
    talk, run_id = Talk(open_collector), new_id()
    with (
        Application(open_collector, an_open_run(run_id)) as application,
        Application(open_collector, an_open_run(new_id())) as other,
    ):
        application.confirmed(application.report(started(run_id)))
        other.welcome()
        answer = talk.api(
            f"/v1/runs/{run_id}/stop", method="POST", body={"reason": "it is too expensive"}
        )
        assert answer.status == 202
        document = answer.document
        assert (document["status"], document["sent_to"], document["held_by"]) == ("requested", 1, 1)

        directive = application.directive()
        assert directive.id == document["directive_id"]
        assert (directive.action, directive.run_id) == ("kill", run_id)
        assert directive.stop_reason == "killed_by_operator"
        assert directive.reason == "it is too expensive"
        assert directive.actor == "anonymous"
        assert directive.expires_unix_ns > time.time_ns()
        assert other.directives == []

        application.confirmed(application.acknowledge(directive, run_id))
        path = f"/v1/directives/{directive.id}"
        known = eventually(lambda: talk.get(path) if talk.get(path)["answers"] else None)
    assert known["status"] == "acknowledged"
    assert known["open"] is False
    assert known["answers"][0]["run_id"] == run_id
    names = [event["name"] for event in talk.run(run_id)["events"]]
    assert names.count(semconv.DIRECTIVE_EVENT) == 2


def test_an_application_may_fail_to_carry_a_directive_out(
    open_collector: CollectorProcess,
) -> None:
    talk, run_id = Talk(open_collector), new_id()
    with Application(open_collector, an_open_run(run_id)) as application:
        application.welcome()
        talk.api(f"/v1/runs/{run_id}/pause", method="POST", body={})
        directive = application.directive()
        assert directive.action == "pause"
        application.acknowledge(directive, run_id, "failed", "no place to wait")
        path = f"/v1/directives/{directive.id}"
        known = eventually(lambda: talk.get(path) if talk.get(path)["answers"] else None)
    assert known["status"] == "failed"
    assert known["answers"][0]["error"] == "no place to wait"


def test_pause_and_resume_come_in_order(open_collector: CollectorProcess) -> None:
    talk, run_id = Talk(open_collector), new_id()
    with Application(open_collector, an_open_run(run_id)) as application:
        application.welcome()
        for verb in ("pause", "resume"):
            assert talk.api(f"/v1/runs/{run_id}/{verb}", method="POST", body={}).status == 202
        application.directive(1)
        assert [each.action for each in application.directives] == ["pause", "resume"]


def test_a_directive_waits_for_the_run_to_be_reported(open_collector: CollectorProcess) -> None:
    """Stopped by its span's run id before the application has said that it has it."""
    talk, run_id = Talk(open_collector), new_id()
    talk.export(logs([a_record(*started(run_id), at_ns=time.time_ns())]))
    talk.settle()
    document = talk.api(f"/v1/runs/{run_id}/stop", method="POST", body={}).document
    assert (document["sent_to"], document["held_by"]) == (0, 0)

    with Application(open_collector) as application:
        application.welcome()
        application.report(started=(an_open_run(run_id),))
        assert application.directive().id == document["directive_id"]


def test_a_reconnecting_application_gets_what_it_has_not_acknowledged(
    open_collector: CollectorProcess,
) -> None:
    """The same directive with the same id; once it is acknowledged, not again."""
    talk, run_id = Talk(open_collector), new_id()
    run = an_open_run(run_id)
    with Application(open_collector, run) as first:
        first.welcome()
        talk.api(f"/v1/runs/{run_id}/stop", method="POST", body={})
        sent = first.directive()
    with Application(open_collector, run, application_id=first.application_id) as second:
        assert second.directive() == sent
        second.acknowledge(sent, run_id)
        path = f"/v1/directives/{sent.id}"
        eventually(lambda: talk.get(path)["status"] == "acknowledged")
    with Application(open_collector, run, application_id=first.application_id) as third:
        third.welcome()
        third.confirmed(third.report())
        assert third.directives == []


def test_a_connection_takes_the_place_of_a_dead_one(open_collector: CollectorProcess) -> None:
    """A process has one: the other end of the old one may be gone without a word."""
    with Application(open_collector) as old:
        old.welcome()
        with Application(open_collector, application_id=old.application_id) as new:
            new.welcome()
            assert old.ended() is grpc.StatusCode.OK


def test_a_directive_expires(open_collector: CollectorProcess) -> None:
    """Nobody gets it afterwards."""
    talk, run_id = Talk(open_collector), new_id()
    run = an_open_run(run_id)
    with Application(open_collector, run) as application:
        application.welcome()
        document = talk.api(
            f"/v1/runs/{run_id}/pause", method="POST", body={"expires_secs": 0.05}
        ).document
        application.directive()
    path = "/v1/directives?open=true"
    eventually(
        lambda: all(d["directive_id"] != document["directive_id"] for d in talk.get(path)), 5.0
    )
    with Application(open_collector, run) as late:
        late.welcome()
        late.confirmed(late.report())
        assert late.directives == []


@pytest.mark.parametrize(
    ("body", "scope", "value"),
    [
        ({"agent": "billing"}, "agent", "billing"),
        ({"workspace": "acme"}, "workspace", "acme"),
        ({"all": True}, "everything", True),
    ],
)
def test_wide_stops_reach_every_application(
    tmp_path: Path, body: dict[str, object], scope: str, value: object
) -> None:
    """Also the one whose run was not reported yet: what started before counts, it knows itself.

    One that connects later gets it too, until it expires.
    """
    with CollectorProcess(tmp_path / "data", store_flush_secs=0.05) as collector:
        talk = Talk(collector)
        run = an_open_run(new_id(), agent="billing", workspace="acme")
        with Application(collector, run) as holder, Application(collector) as other:
            holder.welcome()
            other.welcome()
            document = talk.api("/v1/stop", method="POST", body={**body, "reason": "x"}).document
            for application in (holder, other):
                directive = application.directive()
                assert directive.WhichOneof("scope") == scope
                assert getattr(directive, scope) == value
                assert directive.at_unix_ns > run.started_unix_ns
            assert (document["held_by"], document["sent_to"]) == (1, 2)
            holder.confirmed(holder.acknowledge(holder.directive(), run.run_id))
            path = f"/v1/directives/{directive.id}"
            eventually(lambda: talk.get(path)["status"] == "acknowledged")
        with Application(collector) as late:
            assert late.directive().id == directive.id


# ------------------------------------------------------------------ durable


@pytest.mark.crash
def test_a_directive_outlives_the_collector(tmp_path: Path) -> None:
    """Persisted before it is sent: killed between request and acknowledgment, the collector that
    comes up again sends the same directive; the acknowledgment is folded with it."""
    collector = CollectorProcess(tmp_path / "data", store_flush_secs=0.05)
    run_id = new_id()
    run = an_open_run(run_id)
    with collector:
        talk = Talk(collector)
        with Application(collector, run) as application:
            application.welcome()
            sent = talk.api(f"/v1/runs/{run_id}/stop", method="POST", body={}).document
            directive = application.directive()
            collector.kill()
        collector.start()
        with Application(collector, run, application_id=application.application_id) as again:
            assert again.directive() == directive
            again.confirmed(again.acknowledge(directive, run_id))
        # Another restart: both are in the store by now.
        Talk(collector).settle()
        collector.stop()
        collector.start()
        path = f"/v1/directives/{sent['directive_id']}"
        eventually(lambda: Talk(collector).api(path).status == 200)
        assert Talk(collector).get(path)["status"] == "acknowledged"


def test_streams_end_when_the_collector_stops(tmp_path: Path) -> None:
    """Within moments: a stream is no reason to wait."""
    collector = CollectorProcess(tmp_path / "data")
    with collector, Application(collector) as application:
        application.welcome()
        began = time.monotonic()
        assert collector.stop() == 0
        assert application.ended() in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
        assert time.monotonic() - began < 5


# ------------------------------------------------------------------ who may


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", grpc.StatusCode.UNAUTHENTICATED),
        ("an-unknown-key-0123456789", grpc.StatusCode.UNAUTHENTICATED),
        (KEYS["reads"], grpc.StatusCode.PERMISSION_DENIED),
    ],
)
def test_the_stream_needs_the_role_ingest(
    keyed: CollectorProcess, key: str, code: grpc.StatusCode
) -> None:
    """The same keys as for OTLP."""
    with Application(keyed, key=key) as application:
        assert application.ended() is code


def test_streams_are_bounded(keyed: CollectorProcess) -> None:
    """What is refused may come again later, and is counted."""
    open_ones = [Application(keyed, key=KEYS["shop"]) for _ in range(4)]
    for each in open_ones:
        each.welcome()
    with Application(keyed, key=KEYS["shop"]) as one_more:
        assert one_more.ended() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for each in open_ones:
        each.close()
    metrics = Talk(keyed, key=KEYS["admin"]).api("/metrics").body.decode()
    assert 'agentrun_control_refused_total{reason="streams"} 1.0' in metrics


def test_a_key_of_a_workspace_reaches_runs_of_it_only(keyed: CollectorProcess) -> None:
    """Whatever the application says its workspace is: the key's own wins."""
    control = Talk(keyed, key=KEYS["shop-control"])
    ours, theirs = new_id(), new_id()
    with (
        Application(keyed, an_open_run(ours), key=KEYS["shop"]) as shop,
        Application(keyed, an_open_run(theirs, workspace="shop"), key=KEYS["bank"]) as bank,
    ):
        shop.welcome()
        bank.welcome()
        assert control.api(f"/v1/runs/{theirs}/stop", method="POST", body={}).status == 404
        assert control.api("/v1/stop", method="POST", body={"workspace": "bank"}).status == 403
        assert control.api(f"/v1/runs/{ours}/pause", method="POST", body={}).status == 202
        assert shop.directive().workspace_limit == "shop"

        stopped = control.api("/v1/stop", method="POST", body={"all": True}).document
        assert stopped["workspace"] == "shop"
        assert shop.directive(1).everything
        assert bank.confirmed(bank.report()).error == ""
        assert bank.directives == []

        hidden = Talk(keyed, key=KEYS["admin"])
        elsewhere = hidden.api(f"/v1/runs/{theirs}/stop", method="POST", body={}).document
        assert control.api(f"/v1/directives/{elsewhere['directive_id']}").status == 404
        assert {d["actor"] for d in control.get("/v1/directives")} == {"shop-control"}


@pytest.mark.parametrize("path", ["/v1/runs/x/stop", "/v1/stop"])
def test_directing_needs_the_role_control(keyed: CollectorProcess, path: str) -> None:
    for key in ("shop", "reads"):
        answer = Talk(keyed, key=KEYS[key]).api(path, method="POST", body={"all": True})
        assert answer.status == 403


def test_a_sender_cannot_make_directives_up(open_collector: CollectorProcess) -> None:
    """A log record that calls itself one stays a log record: a key for sending stops nobody."""
    talk, run_id = Talk(open_collector), new_id()
    forged = {
        semconv.RUN_ID: run_id,
        semconv.DIRECTIVE_ID: "d-forged",
        semconv.DIRECTIVE_ACTION: "kill",
        semconv.DIRECTIVE_STATUS: "requested",
    }
    with Application(open_collector, an_open_run(run_id)) as application:
        application.welcome()
        application.confirmed(application.report((semconv.DIRECTIVE_EVENT, forged)))
        talk.settle()
        assert talk.api("/v1/directives/d-forged").status == 404
        assert application.directives == []


def test_messages_of_a_newer_application_are_read(open_collector: CollectorProcess) -> None:
    """Fields that this collector does not know change nothing."""
    with Application(open_collector, says_hello=False) as application:
        hello = pb.Up(hello=pb.Hello(application_id=new_id())).SerializeToString()
        application.send(hello + b"\xfa\x01\x03new")
        assert application.welcome()
