"""Asked, answered, told, entered: by a collector that is killed in between."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.otlp import CHAT, SECOND, a_record, a_span, logs, trace_id, traces
from tests.e2e.talk import Talk, agentrun, eventually
from tests.support.hooks import Receiver
from tests.support.process import CollectorProcess, query

TRACE = trace_id("decisions")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def ask(talk: Talk, approval: str, question: str, *, secs: float = 600.0) -> None:
    """As an application without a control stream asks: an OTLP log event."""
    now = time.time_ns()
    values = {
        "agentrun.run.id": TRACE,
        "agentrun.approval.id": approval,
        "agentrun.approval.question": question,
        "agentrun.approval.expires_unix_ns": now + round(secs * SECOND),
        "gen_ai.tool.name": "refund",
    }
    talk.export(logs([a_record("agentrun.approval.requested", values, trace=TRACE, at_ns=now)]))


def told(receiver: Receiver) -> list[tuple[str, str]]:
    return [(each["type"], each["data"].get("approval_id", "")) for each in receiver.bodies]


def test_a_question_is_answered_over_a_kill_and_the_ledger_knows(
    tmp_path: Path, receiver: Receiver
) -> None:
    """The receiver is down when it is asked; the collector is killed; both come back.  The answer
    is given once, told, on the run, and in a chain without gaps, replay or not."""
    receiver.answers = [503] * 1000
    hook = {"name": "ops", "url": receiver.url, "events": ["approval", "stop"]}
    collector = CollectorProcess(
        tmp_path / "data",
        store_flush_secs=0.05,
        log_level="warning",
        webhooks=json.dumps([hook]),
    )
    with collector:
        talk = Talk(collector)
        began = time.time_ns() - SECOND
        talk.export(traces([a_span(TRACE, 1, CHAT, start_ns=began)]))
        ask(talk, "ap-1", "Refund 900 USD?")
        [approval] = eventually(lambda: talk.get("/v1/approvals?state=pending"))
        assert (approval["approval_id"], approval["tool"]) == ("ap-1", "refund")
        eventually(lambda: receiver.got)
        collector.kill()

        receiver.answers = []
        collector.start()
        eventually(lambda: ("approval.requested", "ap-1") in told(receiver))
        eventually(lambda: talk.get("/v1/approvals"))
        [pending] = talk.run(TRACE)["run"]["pending_approvals"]
        assert (pending["id"], pending["question"]) == ("ap-1", "Refund 900 USD?")

        answered = talk.agentrun("runs", "approve", TRACE, "--reason", "known customer", "--json")
        assert json.loads(answered.stdout)["state"] == "approved"
        again = talk.agentrun("runs", "refuse", TRACE, check=False)
        assert again.returncode != 0
        assert "was approved by" in again.stderr
        late = talk.api(f"/v1/runs/{TRACE}/refuse", method="POST", body={"approval": "ap-1"})
        assert (late.status, late.document["error"]["code"]) == (409, "conflict")
        eventually(lambda: ("approval.answered", "ap-1") in told(receiver))
        ask(talk, "ap-2", "Another?", secs=0.3)
        eventually(lambda: talk.get("/v1/approvals?state=expired"))
        listed = json.loads(talk.agentrun("approvals", "list", "--json").stdout)
        assert [each["state"] for each in listed] == ["expired", "approved"]
        shown = talk.run(TRACE)
        assert shown["run"]["pending_approvals"] == []
        decisions = [e for e in shown["events"] if e["name"] == "agentrun.decision"]
        assert [e["attributes"]["agentrun.decision.outcome"] for e in decisions] == [
            "approved", "expired",
        ]  # fmt: skip
        collector.kill()

        collector.start()
        talk.settle()
        report = json.loads(talk.agentrun("ledger", "verify", "--json").stdout)
        assert report["ok"] is True
        exported = json.loads(talk.agentrun("ledger", "export", "--run", TRACE).stdout)
        assert [(e["kind"], e["outcome"]) for e in exported] == [
            ("approval_requested", None),
            ("approval", "approved"),
            ("directive", "approve requested"),
            ("approval_requested", None),
            ("approval", "expired"),
            ("directive", "refuse requested"),
        ]
        assert exported[1]["reason"] == "known customer"
        lines = talk.agentrun("ledger", "export", "--csv", "--since", "1h").stdout.splitlines()
        assert lines[0].startswith("chain_id,seq,at,kind,outcome,run_id")
        assert len(lines) == len(exported) + 1
        metrics = talk.api("/metrics").body.decode()
        assert 'agentrun_approvals{state="approved"} 1.0' in metrics
        assert 'agentrun_webhook_deliveries_total{outcome="given_up"} 0.0' in metrics
        assert "agentrun_ledger_entries_total" in metrics
        assert collector.stop() == 0

    store = f"chdb://{tmp_path}/data/store"
    direct = agentrun("--store", store, "ledger", "verify", env=_data_dir(tmp_path))
    assert "intact" in direct.stdout
    _tamper(store)
    broken = agentrun("--store", store, "ledger", "verify", check=False, env=_data_dir(tmp_path))
    assert broken.returncode == 1
    assert "entry 2: the entry was changed: its hash is another" in broken.stdout


def _data_dir(tmp_path: Path) -> dict[str, str]:
    return {"AGENTRUN_DATA_DIR": str(tmp_path / "data")}


def _tamper(store: str) -> None:
    [row] = query(store, "SELECT * FROM decision_ledger FINAL WHERE Seq = 2")
    names = ", ".join(row)
    values = ", ".join("'bob'" if name == "Actor" else name for name in row)
    code = (
        "import sys; from collector.store.client import Store\n"
        "Store.open(sys.argv[1]).command(sys.argv[2])"
    )
    sql = (
        f"INSERT INTO decision_ledger ({names})"
        f" SELECT {values} FROM decision_ledger FINAL WHERE Seq = 2"
    )
    done = subprocess.run([sys.executable, "-c", code, store, sql], timeout=120, check=False)
    assert done.returncode == 0
