"""`agentrun up` from start to end: what it refuses to start with, and how it stops."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.otlp import a_run, trace_id, traces
from tests.e2e.talk import Talk, agentrun
from tests.support.process import CollectorProcess

FREE = {
    "AGENTRUN_RECEIVER_GRPC_ADDRESS": "127.0.0.1:0",
    "AGENTRUN_RECEIVER_HTTP_ADDRESS": "127.0.0.1:0",
    "AGENTRUN_API_ADDRESS": "127.0.0.1:0",
    "AGENTRUN_RECEIVER_DECODERS": "0",
}


def up(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`agentrun up` that is expected to fail."""
    env = FREE | {f"AGENTRUN_{name.upper()}": value for name, value in settings.items()}
    return agentrun("up", *words, env=env, check=False)


def test_sigterm_writes_what_is_there_and_ends_with_0(tmp_path: Path) -> None:
    """As Ctrl-C does: the store has everything that was acknowledged, the journal is empty."""
    with CollectorProcess(tmp_path / "data", cold=True, store_flush_secs=60) as collector:
        Talk(collector).export(traces(a_run(trace_id("last words"))))
        journal = tmp_path / "data" / "journal"
        assert list(journal.glob("*.segment"))

        assert collector._end(signal.SIGTERM) == 0

        assert not list(journal.glob("*.segment"))
    shown = agentrun("runs", "show", trace_id("last words"), "--json",
                     "--store", f"chdb://{tmp_path}/data/store")  # fmt: skip
    assert '"status":"completed"' in shown.stdout


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("name", ["receiver_grpc_address", "receiver_http_address", "api_address"])
def test_a_taken_port_is_a_sentence_with_what_to_do(tmp_path: Path, taken: int, name: str) -> None:
    done = up("--data-dir", str(tmp_path / "data"), **{name: f"127.0.0.1:{taken}"})

    assert done.returncode == 1, "a supervisor may try again"
    assert f"127.0.0.1:{taken}" in done.stderr
    assert "another port" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_collectors_do_not_share_a_folder(tmp_path: Path) -> None:
    with CollectorProcess(tmp_path / "data", cold=True) as collector:
        done = up("--data-dir", str(tmp_path / "data"))

        assert done.returncode == 2
        assert f"in use by the process with id {collector.pid}" in done.stderr
        assert "another --data-dir" in done.stderr
        assert len(done.stderr.splitlines()) == 3
        assert Talk(collector).api("/healthz").status == 200


def test_all_mistakes_of_a_config_are_said_at_once(tmp_path: Path) -> None:
    """With file, line and column, why, and what to do; a supervisor need not restart on 2."""
    config = tmp_path / "agentrun.yaml"
    config.write_text(
        "receiver:\n"
        "  grpc: {address: 0.0.0.0:4317}\n"
        "  nesting_depth_max: 1\n"
        "runs: {boundary: week}\n"
        "stroe: {}\n"
        "redaction:\n"
        "  patterns: [{name: broken, regex: '(a'}]\n"
    )
    env = {"AGENTRUN_RECEIVER_HTTP_ADDRESS": "0.0.0.0:4318", "AGENTRUN_API_ADDRESS": "[::]:4319"}

    done = agentrun(
        "up", "--config", str(config), "--data-dir", str(tmp_path), check=False, env=env
    )

    assert done.returncode == 2
    for expected in (
        f"{config}:3:22: receiver.nesting_depth_max",
        f"{config}:4:18: runs.boundary",
        f"{config}:5:1: stroe",
        f"{config}:7:",
        *(
            f"{name}.address: expected a loopback address, as there are no `auth.keys`"
            for name in ("receiver.grpc", "receiver.http", "api")
        ),
    ):
        assert expected in done.stderr
    assert done.stderr.count("Fix: ") == 7
    assert not list(tmp_path.glob("journal")), "nothing was begun"


def test_any_address_with_a_key(tmp_path: Path) -> None:
    """Nothing but loopback without authentication: see the mistakes above."""
    keys = "[{name: shop, key: a-long-enough-key-for-tests, roles: [ingest, read]}]"
    with CollectorProcess(
        tmp_path / "data",
        cold=True,
        auth_keys=keys,
        receiver_grpc_address="0.0.0.0:0",
        receiver_http_address="0.0.0.0:0",
        api_address="0.0.0.0:0",
        store_flush_secs=0.05,
    ) as collector:
        talk = Talk(collector, key="a-long-enough-key-for-tests")
        talk.export(traces(a_run(trace_id("open"))))
        assert talk.run(trace_id("open"))["run"]["status"] == "completed"
        assert "a-long-enough-key" not in collector.log.read_text()
