"""The API over a fake store, through ASGI: routes, roles, errors, OpenAPI."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families

from collector.accounting import Accounting
from collector.api.app import create_app
from collector.api.health import Finding, Health, Status, failure, probe
from collector.api.metrics import Metrics
from collector.api.updates import Updates
from collector.errors import OverloadedError, StoreError
from collector.model import Signal
from collector.receiver.auth import KeyEntry, Keyring, Role, key_digest
from collector.receiver.stats import ReceiverStats
from tests.api.fakes import NOON_NS, FakeOperations, a_run, a_step

pytestmark = pytest.mark.anyio
LOOPBACK = "http://127.0.0.1:4319"
JSON = {"content-type": "application/json"}
KEYS = Keyring(
    KeyEntry(name=name, sha256=key_digest(f"key-{name}"), roles=frozenset(roles), workspace=where)
    for name, roles, where in [
        ("reader", [Role.READ], ""),
        ("sender", [Role.INGEST], ""),
        ("boss", [Role.ADMIN], "acme"),
        ("tenant", [Role.READ, Role.CONTROL], "acme"),
    ]
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def operations() -> FakeOperations:
    runs = [
        a_run("t1", minutes_ago=5, workspace="acme"),
        a_run("t2", minutes_ago=1, workspace="other", agent_name="billing"),
    ]
    return FakeOperations(
        documents={run["run_id"]: run for run in runs}, steps={"t1": [a_step("s1")]}
    )


def an_app(operations: FakeOperations, **settings: Any) -> FastAPI:
    settings = {
        "health": Health({"journal": probe("journal", lambda: None, "writable")}),
        "metrics": Metrics(Accounting()),
        "updates": Updates(),
        "now_ns": lambda: NOON_NS,
        **settings,
    }
    return create_app(operations, **settings)


Client = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def client_of() -> AsyncIterator[Client]:
    clients: list[httpx.AsyncClient] = []

    def make(app: FastAPI, key: str = "", peer: str = "127.0.0.1") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer key-{key}"} if key else {}
        transport = httpx.ASGITransport(app, client=(peer, 50_000))
        clients.append(httpx.AsyncClient(transport=transport, base_url=LOOPBACK, headers=headers))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    return error


async def test_runs_are_listed_newest_first_and_shown_with_steps(
    operations: FakeOperations, client_of: Client
) -> None:
    client = client_of(an_app(operations))

    listed = await client.get("/v1/runs", params={"since": "2h", "tag": "team=a=b", "limit": "10"})
    assert [run["run_id"] for run in listed.json()] == ["t2", "t1"]
    (query,) = operations.queries
    assert query.since_ns == NOON_NS - 7_200_000_000_000
    assert query.tags == {"team": "a=b"}

    shown = (await client.get("/v1/runs/t1")).json()
    assert set(shown) == {"run", "steps", "events"}
    assert [step["span_id"] for step in shown["steps"]] == ["s1"]


async def test_a_bad_filter_is_a_400_that_names_it(
    operations: FakeOperations, client_of: Client
) -> None:
    response = await client_of(an_app(operations)).get("/v1/runs?agnet=x&limit=lots")

    assert response.status_code == 400
    error = error_of(response)
    assert "'agnet'" in error["message"]
    assert "'lots'" in error["message"]
    assert not operations.queries


async def test_unknown_things_are_404_in_the_same_shape(
    operations: FakeOperations, client_of: Client
) -> None:
    client = client_of(an_app(operations))

    assert error_of(await client.get("/v1/runs/nope"))["code"] == "not_found"
    assert error_of(await client.get("/v2/other"))["code"] == "not_found"
    response = await client.put("/v1/runs", headers=JSON, content="{}")
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_allowed"


async def test_a_store_that_is_down_is_503_with_what_to_do(
    operations: FakeOperations, client_of: Client
) -> None:
    operations.down = True
    response = await client_of(an_app(operations)).get("/v1/runs")

    assert response.status_code == 503
    assert error_of(response) == {
        "code": "store_unavailable",
        "message": "ClickHouse does not answer",
        "hint": "Start it, or check `store.url`.",
    }


async def test_a_bug_is_a_500_that_tells_nothing_and_stops_nothing(client_of: Client) -> None:
    """One bad request never stops the process (promise 6), nor does it print our insides."""

    class Broken(FakeOperations):
        def run(self, run_id: str) -> None:
            raise ZeroDivisionError("inside")

    app = an_app(Broken())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=LOOPBACK) as client:
        response = await client.get("/v1/runs/t1")
        assert response.status_code == 500
        assert error_of(response)["code"] == "internal"
        assert "inside" not in response.text
        assert (await client.get("/healthz")).status_code == 200


async def test_deleting_erases_by_id_or_by_filter_and_never_everything(
    operations: FakeOperations, client_of: Client
) -> None:
    """S4.25: by run, user, session, time."""
    client = client_of(an_app(operations))
    deliberate = {"x-agentrun-request": "1"}

    gone = await client.delete("/v1/runs/t1", headers=deliberate)
    assert gone.json()["runs"] == 1
    assert (await client.delete("/v1/runs/t1", headers=deliberate)).status_code == 404
    assert (await client.delete("/v1/runs", headers=deliberate)).status_code == 400
    await client.delete("/v1/runs?user=u-1&until=7d", headers=deliberate)
    selector, actor = operations.deleted[-1]
    assert selector.user == "u-1"
    assert selector.until_ns == NOON_NS - 7 * 86_400_000_000_000
    assert actor == "anonymous"


async def test_feedback_is_recorded(operations: FakeOperations, client_of: Client) -> None:
    """S3.20: explicit feedback for runs, whenever they ended."""
    client = client_of(an_app(operations))
    body = {"run_id": "t1", "name": "rating", "score": 4.5, "comment": "helped"}

    response = await client.post("/v1/feedback", json=body)

    assert response.status_code == 201
    ((feedback, actor),) = operations.judged
    assert (feedback.run_id, feedback.score, feedback.comment) == ("t1", 4.5, "helped")
    assert actor == "anonymous"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"run_id": "t1", "name": "x", "scor": 1}', "scor"),
        ('{"run_id": "t1", "name": "x", "score": "high"}', "score"),
        ('{"run_id": "t1", "name": "x"}', "score, label and comment"),
        ('{"run_id": ', "JSON"),
        ("[]", "body"),
    ],
)
async def test_bad_feedback_is_a_400_that_says_why(
    operations: FakeOperations, client_of: Client, body: str, said: str
) -> None:
    response = await client_of(an_app(operations)).post("/v1/feedback", headers=JSON, content=body)

    assert response.status_code == 400
    assert said in error_of(response)["message"]
    assert not operations.judged


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"host": "evil.example"}, 403, "forbidden"),
        ({"host": "127.0.0.1.evil.example"}, 403, "forbidden"),
        ({"host": ""}, 403, "forbidden"),
        ({"host": "[bad"}, 403, "forbidden"),
        ({"origin": "https://evil.example"}, 403, "forbidden"),
        ({"origin": "null"}, 403, "forbidden"),
        ({"origin": "http://127.0.0.1:3000"}, 403, "forbidden"),
        ({"content-type": "text/plain"}, 415, "content_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "content_type"),
        ({"content-type": "text/plain; application/json"}, 415, "content_type"),
    ],
)
async def test_a_web_page_cannot_write_to_a_collector_on_the_same_machine(
    operations: FakeOperations,
    client_of: Client,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """DESIGN section 10: a rebound name, a foreign page, or a plain form."""
    body = b'{"run_id": "t1", "name": "rating", "score": 1}'
    client = client_of(an_app(operations))
    response = await client.post("/v1/feedback", content=body, headers={**JSON, **headers})

    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert not operations.judged


@pytest.mark.parametrize("host", ["localhost:4319", "[::1]:4319", "10.1.2.3", "agentrun.corp:80"])
async def test_names_of_the_collector_are_answered(
    operations: FakeOperations, client_of: Client, host: str
) -> None:
    """Addresses cannot be rebound; other names are configured."""
    client = client_of(an_app(operations, allowed_hosts=["agentrun.corp"]))
    headers = {"host": host, "origin": f"http://{host}"}
    assert (await client.get("/v1/runs", headers=headers)).status_code == 200


async def test_reads_are_protected_from_rebinding_too_and_no_cors_header_is_sent(
    operations: FakeOperations, client_of: Client
) -> None:
    client = client_of(an_app(operations))
    response = await client.get("/v1/runs", headers={"host": "rebound.example"})
    assert response.status_code == 403
    preflight = await client.options(
        "/v1/runs/t1",
        headers={"origin": "https://evil.example", "access-control-request-method": "DELETE"},
    )
    assert preflight.status_code == 403
    for each in (response, preflight, await client.get("/v1/runs")):
        assert not [name for name in each.headers if name.startswith("access-control")]


async def test_roles_decide_what_a_key_may_do(
    operations: FakeOperations, client_of: Client
) -> None:
    app = an_app(operations, keyring=KEYS)
    deliberate = {"x-agentrun-request": "1"}
    body = {"run_id": "t1", "name": "rating", "score": 1}

    async def statuses(key: str) -> tuple[int, ...]:
        client = client_of(app, key)
        return (
            (await client.get("/v1/runs")).status_code,
            (await client.get("/metrics")).status_code,
            (await client.post("/v1/feedback", json=body)).status_code,
            (await client.delete("/v1/runs?user=u", headers=deliberate)).status_code,
        )

    assert await statuses("") == (401, 401, 401, 401)
    assert await statuses("wrong") == (401, 401, 401, 401)
    assert await statuses("reader") == (200, 200, 403, 403)
    assert await statuses("sender") == (403, 403, 201, 403)
    assert await statuses("boss") == (200, 200, 201, 200)
    assert operations.deleted[-1][1] == "boss"


async def test_without_keys_only_this_machine_is_answered(
    operations: FakeOperations, client_of: Client
) -> None:
    client = client_of(an_app(operations), peer="192.0.2.7")
    response = await client.get("/v1/runs")
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_tenant_sees_its_own_workspace_and_nothing_else(
    operations: FakeOperations, client_of: Client
) -> None:
    """Another workspace's run is not even confirmed to exist."""
    app = an_app(operations, keyring=KEYS)
    tenant, boss = client_of(app, "tenant"), client_of(app, "boss")

    assert [run["run_id"] for run in (await tenant.get("/v1/runs")).json()] == ["t1"]
    assert (await tenant.get("/v1/runs/t1")).status_code == 200
    hidden, absent = await tenant.get("/v1/runs/t2"), await tenant.get("/v1/runs/t9")
    assert hidden.status_code == absent.status_code == 404
    assert error_of(hidden)["message"].replace("t2", "t9") == error_of(absent)["message"]
    body = {"run_id": "t2", "name": "rating", "score": 1}
    assert (await tenant.post("/v1/feedback", json=body)).status_code == 404
    assert not operations.judged
    assert (await boss.get("/v1/runs/t2")).status_code == 200


async def test_a_large_body_is_refused_before_it_is_read(
    operations: FakeOperations, client_of: Client
) -> None:
    client = client_of(an_app(operations))
    body = b'{"run_id": "' + b"x" * (1 << 20) + b'"}'

    declared = await client.post("/v1/feedback", headers=JSON, content=body)
    assert declared.status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield body

    undeclared = await client.post("/v1/feedback", headers=JSON, content=chunks())
    assert undeclared.status_code in (400, 413)
    assert not operations.judged


async def test_readyz_says_what_is_wrong_and_what_to_do(
    operations: FakeOperations, client_of: Client
) -> None:
    """503 as soon as one check fails; the hint is that of the error."""

    def canary() -> None:
        raise StoreError("table default.agent_runs is missing", "Run `agentrun schema apply`.")

    health = Health(
        {
            "journal": probe("journal", lambda: None, "writable"),
            "store": probe("store", canary, "canary written and read back"),
        }
    )
    response = await client_of(an_app(operations, health=health)).get("/readyz")

    assert response.status_code == 503
    journal, store = response.json()["checks"]
    assert journal == {"check": "journal", "status": "ok", "message": "writable", "hint": None}
    assert store["hint"] == "Run `agentrun schema apply`."


async def test_probes_answer_without_a_key_but_show_no_details(
    operations: FakeOperations, client_of: Client
) -> None:
    """A scheduler has no key and asks under an address of its own choosing."""
    app = an_app(operations, keyring=KEYS)
    client = client_of(app, peer="192.0.2.7")
    headers = {"host": "pod-7.internal"}

    assert (await client.get("/healthz", headers=headers)).json() == {"status": "ok"}
    assert (await client.get("/readyz", headers=headers)).json() == {"ready": True, "checks": None}
    assert (await client_of(app, "reader").get("/readyz")).json()["checks"]


def test_a_hanging_check_is_reported_and_not_started_twice() -> None:
    """A dead NFS mount must not make `/readyz` hang, nor pile up threads."""
    started = []

    def hang() -> Finding:
        started.append(1)
        time.sleep(0.5)
        return Finding(check="store", status=Status.OK, message="late")

    health = Health({"store": hang}, timeout_secs=0.05, keep_secs=0)
    for _ in range(3):
        (finding,) = health.findings()
        assert finding.status is Status.FAIL
        assert "no answer" in finding.message
    assert len(started) == 1


def test_answers_are_kept_for_a_moment_and_stopping_is_not_ready() -> None:
    """Probes from many sides cost one canary."""
    asked = []
    health = Health({"store": probe("store", lambda: asked.append(1), "ok")}, keep_secs=60)
    for _ in range(5):
        assert health.findings()[0].status is Status.OK
    assert len(asked) == 1

    health.stop()
    assert "shutting down" in health.findings()[0].message


def test_each_kind_of_failure_has_a_hint() -> None:
    for error in (OSError(28, "No space left"), OverloadedError("journal full"), ValueError("x")):
        finding = failure("journal", error)
        assert finding.status is Status.FAIL
        assert finding.hint
        assert finding.message


async def test_metrics_carry_promise_2_by_signal_and_reason(
    operations: FakeOperations, client_of: Client
) -> None:
    """Parsed by Prometheus' own parser; the terms add up within one scrape."""
    accounting = Accounting()
    accounting.accepted(Signal.TRACES, 100)
    accounting.recovered(Signal.TRACES, 7)
    accounting.stored(Signal.TRACES, 60)
    accounting.deduplicated(Signal.TRACES, 3)
    accounting.dead_lettered(Signal.TRACES, "row_refused", 2)
    accounting.refused(Signal.TRACES, "bad_id", 4)
    accounting.values(Signal.TRACES, cut=1, redacted=9)
    receiver = ReceiverStats()
    receiver.count("grpc", "traces", "protobuf", "ok")
    accounting.flushed(0.02)
    accounting.error("store", "down", at_ns=NOON_NS)

    def broken() -> float:
        raise RuntimeError("gone")

    metrics = Metrics(
        accounting,
        gauges={"agentrun_journal_bytes": lambda: 4096, "agentrun_open_runs": broken},
        receiver=receiver,
    )
    response = await client_of(an_app(operations, metrics=metrics)).get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    value = {
        (sample.name, *(label for _, label in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert value["agentrun_items_received_total", "traces"] == 104
    assert value["agentrun_items_refused_total", "bad_id", "traces"] == 4
    assert value["agentrun_items_dead_lettered_total", "row_refused", "traces"] == 2
    left = sum(value[f"agentrun_items_{t}_total", "traces"] for t in ("received", "recovered"))
    right = sum(value[f"agentrun_items_{t}_total", "traces"] for t in ("stored", "deduplicated"))
    assert left == right + 4 + 2 + value["agentrun_items_pending", "traces"]
    assert value["agentrun_items_received_total", "logs"] == 0
    assert value["agentrun_values_redacted_total", "traces"] == 9
    assert value["agentrun_receiver_requests_total", "protobuf", "ok", "traces", "grpc"] == 1
    assert value["agentrun_store_flush_seconds_count",] == 1
    assert value["agentrun_store_flush_seconds_bucket", "0.01"] == 0
    assert value["agentrun_store_flush_seconds_bucket", "0.025"] == 1
    assert value["agentrun_last_error_timestamp_seconds", "store"] == NOON_NS / 1e9
    assert value["agentrun_journal_bytes",] == 4096
    assert ("agentrun_open_runs",) not in value


async def test_openapi_documents_every_route_and_the_run(
    operations: FakeOperations, client_of: Client
) -> None:
    """Every route has a summary, a typed answer, and every filter is a parameter."""
    app = an_app(operations)
    schema = (await client_of(app).get("/openapi.json")).json()

    routes = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    assert routes >= {
        ("/v1/runs", "get"),
        ("/v1/runs", "delete"),
        ("/v1/runs/{run_id}", "get"),
        ("/v1/runs/{run_id}", "delete"),
        ("/v1/feedback", "post"),
        ("/v1/events", "get"),
        ("/metrics", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
    }
    served = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert served
    assert served <= routes
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert operation["description"]
    parameters = {each["name"] for each in schema["paths"]["/v1/runs"]["get"]["parameters"]}
    assert {"agent", "task_type", "stop_reason", "since", "until", "tag", "limit"} <= parameters
    run = schema["components"]["schemas"]["Run"]["properties"]
    assert {"run_id", "cost_usd", "cost_usd_total", "model_calls_total", "revision"} <= set(run)
    assert "arguments" in schema["components"]["schemas"]["Step"]["properties"]
