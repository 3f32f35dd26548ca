"""Keys, roles, tenants, TLS and web pages, with `agentrun up` and a config file."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.otlp import START_NS, a_record, a_run, a_span, logs, trace_id, traces
from tests.e2e.talk import JSON, Talk
from tests.receiver.test_tls import Authority, Identity, an_authority
from tests.support.process import CollectorProcess

KEYS = {
    "shop": "key-of-the-shop-0123456789",
    "bank": "key-of-the-bank-0123456789",
    "send": "key-that-only-sends-012345",
    "admin": "key-of-the-admin-012345678",
    "control": "key-that-controls-01234567",
}
CONFIG = f"""
auth:
  keys:
    - {{name: shop, key: {KEYS["shop"]}, roles: [ingest, read], workspace: shop,
       department: sales, virtual_key: vk-1, environment: prod}}
    - {{name: bank, key: {KEYS["bank"]}, roles: [ingest, read], workspace: bank}}
    - {{name: send, key: {KEYS["send"]}, workspace: shop}}
    - {{name: control, key: {KEYS["control"]}, roles: [control], workspace: shop}}
    - {{name: admin, key: {KEYS["admin"]}, roles: [admin]}}
store: {{flush_secs: 0.05}}
api: {{allowed_origins: ["https://runs.example.com"], allowed_hosts: [runs.example.com]}}
"""
TLS = """
receiver:
  grpc: {{tls: {{cert_file: {cert}, key_file: {key}, client_ca_file: {ca}}}}}
  http: {{tls: {{cert_file: {cert}, key_file: {key}, client_ca_file: {ca}}}}}
api: {{tls: {{cert_file: {cert}, key_file: {key}, client_ca_file: {ca}}}}}
store: {{flush_secs: 0.05}}
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("access")
    (folder / "agentrun.yaml").write_text(CONFIG)
    with CollectorProcess(folder / "data", config=folder / "agentrun.yaml") as running:
        yield running


@pytest.fixture
def by(collector: CollectorProcess) -> dict[str, Talk]:
    return {name: Talk(collector, key=key) for name, key in KEYS.items()}


def settled_run(by: dict[str, Talk], run_id: str) -> dict[str, Any]:
    return by["admin"].run(run_id)


# ---------------------------------------------------------------------- keys and roles


def test_without_a_key_nothing_is_taken_or_told(collector: CollectorProcess) -> None:
    nobody = Talk(collector)
    with pytest.raises(grpc.RpcError) as refused:
        nobody.export(traces(a_run(trace_id("nobody"))))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert nobody.post(traces(a_run(trace_id("nobody")))).status == 401
    for path in ("/v1/runs", "/v1/events", "/metrics", "/v1/doctor"):
        assert nobody.api(path).status == 401
    assert Talk(collector, key="wrong-key-of-some-length").api("/v1/runs").status == 401
    assert nobody.api("/healthz").status == 200
    ready = nobody.api("/readyz")
    assert ready.status == 200
    assert ready.document == {"ready": True, "checks": None}


def test_roles_are_kept_apart(by: dict[str, Talk]) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        by["control"].export(traces(a_run(trace_id("not mine to send"))))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert by["control"].post(traces([])).status == 403
    by["send"].export(traces(a_run(trace_id("sent"))))
    assert by["send"].api("/v1/runs").status == 403
    assert by["control"].api("/v1/runs").status == 200
    for name in ("shop", "send", "control"):
        assert by[name].api(f"/v1/runs/{trace_id('sent')}", method="DELETE").status == 403
        assert by[name].api("/v1/doctor").status == 403
    body = {"run_id": trace_id("sent"), "name": "rating", "score": 1}
    settled_run(by, trace_id("sent"))
    assert by["send"].api("/v1/feedback", method="POST", body=body).status == 201
    assert by["control"].api("/v1/feedback", method="POST", body=body).status == 201
    assert by["bank"].api("/v1/feedback", method="POST", body=body).status == 404


# ---------------------------------------------------------------------- tenants


def test_a_key_s_own_values_win_over_the_sender(by: dict[str, Talk]) -> None:
    """Workspace, department, virtual key and environment: a tenant cannot be another one."""
    trace = trace_id("claims")
    claimed = {
        "agentrun.workspace": "bank",
        "agentrun.department": "risk",
        "agentrun.virtual_key": "vk-9",
        "deployment.environment.name": "dev",
    }
    by["shop"].export(traces(a_run(trace, claimed), resource={"service.name": "s", **claimed}))

    run = settled_run(by, trace)["run"]

    stamped = ("workspace", "department", "virtual_key", "environment")
    assert [run[name] for name in stamped] == ["shop", "sales", "vk-1", "prod"]


def test_what_a_key_does_not_say_the_sender_may(by: dict[str, Talk]) -> None:
    trace = trace_id("own department")
    by["bank"].export(traces(a_run(trace, {"agentrun.department": "risk"})))

    run = settled_run(by, trace)["run"]

    assert (run["workspace"], run["department"], run["virtual_key"]) == ("bank", "risk", None)


def test_a_tenant_sees_its_own_runs_only(by: dict[str, Talk]) -> None:
    mine, yours = trace_id("of the shop"), trace_id("of the bank")
    by["shop"].export(traces(a_run(mine, {"session.id": "both"})))
    by["bank"].export(traces(a_run(yours, {"session.id": "both"})))
    settled_run(by, mine), settled_run(by, yours)

    def listed(name: str) -> set[str]:
        return {run["run_id"] for run in by[name].get("/v1/runs?session=both")}

    assert listed("admin") == {mine, yours}
    assert listed("shop") == {mine}
    assert listed("bank") == {yours}
    assert by["shop"].api(f"/v1/runs/{yours}").status == 404
    assert by["bank"].api(f"/v1/runs/{mine}").status == 404
    assert by["shop"].api("/v1/runs?workspace=bank").status == 400
    done = by["bank"].agentrun("runs", "list", "--session", "both", "--json")
    assert yours in done.stdout
    assert mine not in done.stdout


def test_one_run_id_in_two_workspaces_is_two_runs(by: dict[str, Talk]) -> None:
    """Two tenants that name a run alike are not joined: neither sees the other's."""
    for name in ("shop", "bank"):
        trace = trace_id(f"nightly of {name}")
        root = {"agentrun.run.id": f"nightly-{name}", "session.id": "nightly"}
        by[name].export(traces(a_run(trace, root, start_ns=START_NS)))
        settled_run(by, f"nightly-{name}")
        event = {"agentrun.run.id": f"nightly-{name}", "agentrun.payment.usd": 1.0}
        by[name].export(logs([a_record("agentrun.payment", event)]))
        assert settled_run(by, f"nightly-{name}")["run"]["cost_breakdown"]["payment"] == 1.0
    # The bank names the shop's run.
    event = {"agentrun.run.id": "nightly-shop", "agentrun.payment.usd": 50.0}
    by["bank"].export(logs([a_record("agentrun.payment", event)]))
    assert settled_run(by, "nightly-shop")["run"]["cost_breakdown"]["payment"] == 1.0


# ---------------------------------------------------------------------- web pages


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:4319"}, 200),
        ({"Host": "runs.example.com"}, 200),
        ({"Host": "evil.example.com"}, 403),
        ({"Origin": "https://runs.example.com"}, 200),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_web_pages_of_others_are_refused(
    by: dict[str, Talk], headers: dict[str, str], status: int
) -> None:
    """For reads too: a name that somebody else controls may be pointed at 127.0.0.1."""
    answer = by["admin"].api("/v1/runs?limit=1", headers=headers)
    assert answer.status == status
    assert "access-control-allow-origin" not in answer.headers


def test_what_changes_something_needs_json_or_a_header(by: dict[str, Talk]) -> None:
    """A form of another page can send neither."""
    path = f"/v1/runs/{trace_id('nothing')}"
    form = {"Content-Type": "text/plain"}
    assert by["admin"].api(path, method="DELETE", headers=form).status == 415
    given = {**form, "X-Agentrun-Request": "1"}
    assert by["admin"].api(path, method="DELETE", headers=given).status == 404
    body = {"run_id": "x", "name": "n", "score": 1}
    assert by["admin"].api("/v1/feedback", method="POST", body=body, headers=form).status == 415


# ---------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return an_authority(tmp_path_factory.mktemp("ca"), "ca")


def _talk(collector: CollectorProcess, authority: Authority, client: Identity | None) -> Talk:
    context = ssl.create_default_context(cafile=authority.file)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(),
        None if client is None else client.key.read_bytes(),
        None if client is None else client.cert.read_bytes(),
    )
    return Talk(collector, tls=context, credentials=credentials)


def test_client_certificates_admit_without_keys(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mTLS on all three ports, on every interface; who shows no certificate gets nowhere."""
    server, client = authority.issue("server"), authority.issue("client")
    config = tmp_path / "agentrun.yaml"
    config.write_text(TLS.format(cert=server.cert, key=server.key, ca=authority.file))
    with CollectorProcess(
        tmp_path / "data",
        config=config,
        receiver_grpc_address="0.0.0.0:0",
        receiver_http_address="0.0.0.0:0",
        api_address="0.0.0.0:0",
    ) as collector:
        known = _talk(collector, authority, client)
        known.export(traces([a_span(trace_id("by grpc"), 0, {"gen_ai.operation.name": "chat"})]))
        assert known.post(traces(a_run(trace_id("by http")))).status == 200
        assert known.run(trace_id("by http"))["run"]["status"] == "completed"
        assert known.run(trace_id("by grpc"))["run"]["model_calls"] == 1

        stranger = _talk(collector, authority, None)
        with pytest.raises(grpc.RpcError) as refused:
            stranger.export(traces(a_run(trace_id("stranger"))))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        for port in (lambda: stranger.post(traces([])), lambda: stranger.api("/v1/runs")):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                port()
        plain = Talk(collector)
        with pytest.raises((OSError, ValueError)):
            plain.post(b"{}", path="/v1/traces", media_type=JSON)
        assert known.api("/healthz").status == 200
        assert collector.stop() == 0
