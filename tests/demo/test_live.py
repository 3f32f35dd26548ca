"""`agentrun demo` as a command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from collector.config import Config
from collector.config.schema import ApiKey, AuthConfig, ListenerConfig, TlsConfig
from collector.demo.live import anywhere, demo, environment, run_application, with_key
from collector.errors import ConfigError, StoreError
from collector.receiver.auth import Role, key_digest
from collector.settings import keyring

DEMO = [sys.executable, "-m", "otel_agentrun", "demo"]
KEYS = """
auth:
  keys:
    - {name: reader, key: a-key-that-may-only-read-0123, roles: [read]}
"""
OF_OTHERS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_AGENTRUN_LIVE": "false",
    "http_proxy": "http://127.0.0.1:1",
}
"""What a person has set for applications of theirs."""
READER = ApiKey(name="reader", key_sha256=key_digest("r" * 32), roles=("read",))
TLS = ListenerConfig(
    address="127.0.0.1:0", tls=TlsConfig(cert_file=Path("cert.pem"), key_file=Path("key.pem"))
)


def test_once_prints_the_summary_and_leaves_nothing(tmp_path: Path) -> None:
    """From any folder, with keys of which none may send, and with variables for others."""
    config = tmp_path / "agentrun.yaml"
    config.write_text(KEYS)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "collector.py").write_text("raise SystemExit('not this one')")

    done = subprocess.run(
        [*DEMO, "--once", "--json"],
        env={**os.environ, **OF_OTHERS, "AGENTRUN_CONFIG": str(config), "PYTHONSAFEPATH": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    runs = json.loads(done.stdout)
    assert (runs[0]["agent_name"], runs[-1]["agent_name"]) == ("statement_agent", "greeter")
    assert sorted(run["status"] for run in runs) == ["completed"] * 11 + ["failed"] * 2
    assert sum(run["parent_run_id"] is not None for run in runs) == 2
    assert os.listdir(folder) == ["collector.py"]


def test_it_shows_the_runs_and_goes_on_until_it_is_told(tmp_path: Path) -> None:
    """What `make run` does; the store keeps the runs."""
    ports = ("RECEIVER_GRPC", "RECEIVER_HTTP", "API")
    with subprocess.Popen(
        [*DEMO, "--data-dir", str(tmp_path / "data")],
        env={**os.environ, **{f"AGENTRUN_{port}_ADDRESS": "127.0.0.1:0" for port in ports}},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    shown = "".join(lines)
    assert len(re.findall(r"^[0-9a-f]{32}", shown, re.MULTILINE)) == 13
    assert shown.index("statement_agent") < shown.index("greeter")
    assert shown.index("greeter") < shown.index("otel-agentrun is running.")
    assert (tmp_path / "data" / "store").is_dir()


def test_the_demo_has_a_key_of_its_own_where_keys_are_needed() -> None:
    """Only digests of the configured ones are known; it may do nothing but send."""
    config, key = with_key(replace(Config(), auth=AuthConfig(keys=(READER,))))

    principal = keyring(config).authenticate(f"Bearer {key}", peer_is_loopback=True)
    assert principal.roles == {Role.INGEST}
    assert config.auth.keys[0] is READER
    variables = environment(config.receiver.http, 4318, key)
    assert variables["OTEL_EXPORTER_OTLP_HEADERS"] == f"Authorization=Bearer%20{key}"


def test_without_keys_none_is_sent() -> None:
    config, key = with_key(Config())

    assert (config, key) == (Config(), "")
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in environment(config.receiver.http, 4318, key)


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:7"),
        ("0.0.0.0:4318", "http://127.0.0.1:7"),
        ("[::]:4318", "http://[::1]:7"),
        ("collector.example:4318", "http://collector.example:7"),
    ],
)
def test_it_sends_to_where_the_collector_listens(address: str, endpoint: str) -> None:
    """All interfaces are none that one can send to."""
    found = environment(ListenerConfig(address=address), 7, "")

    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint


def test_a_listener_with_tls_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    """Its certificate is for other names than this machine's; once, there is no need for it."""
    config = replace(Config(), data_dir=tmp_path / "data")
    config = replace(config, receiver=replace(config.receiver, http=TLS, grpc=TLS))

    with pytest.raises(ConfigError, match=r"receiver\.http\.tls: expected none .*\n  Why: .*\n"):
        demo(config, once=False, json=False)

    assert not config.data_dir.exists()
    assert anywhere(config, tmp_path).receiver.http == ListenerConfig(address="127.0.0.1:0")


def test_an_application_that_fails_is_told_of(tmp_path: Path) -> None:
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import os; os._exit(7)")

    with pytest.raises(StoreError, match="exit status 7"):
        run_application({**os.environ, "PYTHONPATH": str(tmp_path)})
