"""Who may answer for a run and read the ledger, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from collector.accounting import Accounting
from collector.api.app import create_app
from collector.api.decision_metrics import Decisions
from collector.api.health import Health
from collector.api.local import LocalOperations
from collector.api.metrics import Metrics
from collector.api.updates import Updates
from collector.api.values import ConflictError, Document
from collector.ledger.query import LedgerQuery
from collector.receiver.auth import KeyEntry, Keyring, Role, key_digest
from tests.api.fakes import a_run

RUN = "t1"


class Approvals:
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def list(self, **given: Any) -> list[Document]:
        self.calls.append(given)
        return [{"approval_id": "ap-1"}]

    def answer(self, run_id: str, **given: Any) -> Document:
        self.calls.append({"run_id": run_id, **given})
        if given["approval_id"] == "late":
            raise ConflictError("too late", "Ask again.")
        return {"approval_id": "ap-1", "state": "approved" if given["approve"] else "refused"}


class Ledger:
    def __init__(self) -> None:
        self.queries: list[LedgerQuery] = []

    def entries(self, query: LedgerQuery) -> list[Document]:
        self.queries.append(query)
        return []

    def verify(self) -> Document:
        return {"ok": True, "entries": 0, "chains": []}


class Runs:
    """One run, of the workspace `shop`."""

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        found = run_id == RUN and workspace in ("", "shop")
        return {"run": a_run(RUN, workspace="shop")} if found else None


@pytest.fixture
def parts() -> tuple[TestClient, Approvals, Ledger]:
    approvals, ledger = Approvals(), Ledger()
    runs: Any = Runs()
    metrics = Metrics(
        Accounting(),
        decisions=Decisions(
            approvals=lambda: {"pending": 2},
            webhooks=lambda: {"delivered": 3},
            ledger_entries=lambda: 4,
        ),
    )
    keys = [
        KeyEntry(name="ann", sha256=key_digest("ann-key"), roles=frozenset({Role.CONTROL})),
        KeyEntry(name="eve", sha256=key_digest("eve-key"), roles=frozenset({Role.READ})),
        KeyEntry(
            name="shop",
            sha256=key_digest("shop-key"),
            roles=frozenset({Role.CONTROL}),
            workspace="shop",
        ),
    ]
    app = create_app(
        LocalOperations(runs, runs, approvals=approvals, ledger=ledger),
        health=Health({}),
        metrics=metrics,
        updates=Updates(),
        keyring=Keyring(keys),
        allowed_hosts=("testserver",),
    )
    return TestClient(app), approvals, ledger


def key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-key"}


def test_answering_takes_the_role_control(parts: tuple[TestClient, Approvals, Ledger]) -> None:
    """The actor is the key's name, whatever is sent; a reader can only look."""
    client, approvals, _ = parts
    path = f"/v1/runs/{RUN}/approve"

    assert client.post(path, json={}, headers=key("eve")).status_code == 403
    answered = client.post(path, json={"reason": "fine"}, headers=key("ann"))

    assert answered.json()["state"] == "approved"
    assert approvals.calls == [
        {
            "run_id": RUN, "approve": True, "approval_id": "", "comment": "fine",
            "actor": "ann", "workspace": "",
        }
    ]  # fmt: skip
    refused = client.post(f"/v1/runs/{RUN}/refuse", json={"approval": "ap-1"}, headers=key("shop"))
    assert refused.json()["state"] == "refused"
    assert approvals.calls[-1]["workspace"] == "shop"


def test_a_late_answer_is_a_409(parts: tuple[TestClient, Approvals, Ledger]) -> None:
    client, _, _ = parts

    late = client.post(f"/v1/runs/{RUN}/approve", json={"approval": "late"}, headers=key("ann"))

    assert late.status_code == 409
    assert late.json()["error"] == {"code": "conflict", "message": "too late", "hint": "Ask again."}


def test_approvals_are_listed_within_the_workspace(
    parts: tuple[TestClient, Approvals, Ledger],
) -> None:
    client, approvals, _ = parts

    assert client.get("/v1/approvals?state=pending&run=t1", headers=key("shop")).status_code == 200

    assert approvals.calls == [{"state": "pending", "run_id": "t1", "workspace": "shop"}]


def test_a_workspace_reads_the_ledger_of_its_runs_only(
    parts: tuple[TestClient, Approvals, Ledger],
) -> None:
    """Entries have no workspace of their own."""
    client, _, ledger = parts

    assert client.get("/v1/ledger", headers=key("shop")).status_code == 403
    assert client.get("/v1/ledger?run=other", headers=key("shop")).status_code == 404
    assert client.get(f"/v1/ledger?run={RUN}", headers=key("shop")).status_code == 200
    assert client.get("/v1/ledger/verify", headers=key("shop")).status_code == 403
    assert client.get("/v1/ledger/verify", headers=key("eve")).json()["ok"] is True
    assert client.get("/v1/ledger?since=yesterday", headers=key("eve")).status_code == 400
    assert [query.run_id for query in ledger.queries] == [RUN]


def test_decisions_are_counted(parts: tuple[TestClient, Approvals, Ledger]) -> None:
    client, _, _ = parts

    text = client.get("/metrics", headers=key("eve")).text

    assert 'agentrun_approvals{state="pending"} 2.0' in text
    assert 'agentrun_webhook_deliveries_total{outcome="delivered"} 3.0' in text
    assert "agentrun_ledger_entries_total 4.0" in text
