"""The command as a process: exit codes, streams, speed, a real collector's API behind it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.accounting import Accounting
from collector.api.app import create_app
from collector.api.health import Health
from collector.api.metrics import Metrics
from collector.api.updates import Updates
from collector.receiver.auth import KeyEntry, Keyring, Role, key_digest
from tests.api.fakes import FakeOperations, a_run, a_step
from tests.api.serving import serving

KEY = "a-key-for-the-command-line"
ENV = {**os.environ, "AGENTRUN_API_KEY": KEY, "PYTHONPATH": os.getcwd()}
AGENTRUN = [sys.executable, "-m", "otel_agentrun"]


def agentrun(*words: str, env: dict[str, str] = ENV) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AGENTRUN, *words], capture_output=True, text=True, timeout=30, env=env, check=False
    )


@pytest.fixture(scope="module")
def updates() -> Updates:
    return Updates()


@pytest.fixture(scope="module")
def url(updates: Updates) -> Iterator[str]:
    operations = FakeOperations(
        documents={name: a_run(name) for name in ("t1", "t2")}, steps={"t1": [a_step("s1")]}
    )
    app = create_app(
        operations,
        health=Health({}),
        metrics=Metrics(Accounting()),
        updates=updates,
        keyring=Keyring(
            [KeyEntry(name="cli", sha256=key_digest(KEY), roles=frozenset([Role.ADMIN]))]
        ),
    )
    with serving(app, updates) as base:
        yield base


def test_runs_come_over_http_as_one_document(url: str) -> None:
    """The key comes from the environment, where `ps` does not show it."""
    listed = agentrun("runs", "list", "--collector", url, "--json")
    assert listed.returncode == 0, listed.stderr
    assert {run["run_id"] for run in json.loads(listed.stdout)} == {"t1", "t2"}
    assert listed.stderr == ""
    shown = json.loads(agentrun("runs", "show", "t1", "t2", "--collector", url, "--json").stdout)
    assert [each["run"]["run_id"] for each in shown] == ["t1", "t2"]
    assert agentrun("doctor", "--collector", url).returncode == 0


def test_the_collector_may_be_named_once_for_all(url: str) -> None:
    """An address other than the default would be an option of every command."""
    listed = agentrun("runs", "list", "--json", env={**ENV, "AGENTRUN_COLLECTOR": url})
    assert listed.returncode == 0, listed.stderr
    assert len(json.loads(listed.stdout)) == 2


def test_a_refused_key_is_a_sentence(url: str) -> None:
    refused = agentrun("runs", "list", "--collector", url, env={**ENV, "AGENTRUN_API_KEY": "no"})
    assert refused.returncode == 1
    assert "API key not known" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_collector_says_how_to_get_one() -> None:
    """The first thing a new user sees when nothing runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        failed = agentrun("runs", "list", "--collector", url, "--json")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "agentrun up" in failed.stderr
    assert "--store" in failed.stderr
    assert agentrun("runs", "no-such").returncode == 2
    assert agentrun("no-such-command").returncode == 2


def test_following_prints_a_line_per_update_and_ends_on_ctrl_c(url: str, updates: Updates) -> None:
    """A stream cannot be one document: each line is one."""
    with subprocess.Popen(
        [*AGENTRUN, "runs", "tail", "--collector", url, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=ENV,
    ) as process:
        try:
            deadline = time.monotonic() + 20
            while not updates.wanted:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            updates.publish([a_run("t1", status="running"), a_run("t1")])
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline())["status"] for _ in range(2)]
            assert seen == ["running", "completed"]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_schema_is_printed_for_a_cluster_and_applied_to_a_store(tmp_path: Path) -> None:
    """The embedded engine runs what was printed for one server; applying twice changes nothing."""
    printed = agentrun("schema", "print", "--cluster", "prod")
    assert printed.returncode == 0, printed.stderr
    assert "ON CLUSTER 'prod'" in printed.stdout
    assert "ON CLUSTER" not in agentrun("schema", "print").stdout

    store = f"chdb://{tmp_path}/store"
    first = agentrun("schema", "apply", "--store", store, "--json")
    assert first.returncode == 0, first.stderr
    assert "0001_raw" in json.loads(first.stdout)["applied"]
    again = agentrun("schema", "apply", "--store", store, "--json")
    assert json.loads(again.stdout) == {"applied": []}
    assert agentrun("schema", "apply", "--store", "bogus://x").returncode == 2


def test_a_bad_config_is_a_finding_and_a_refusal_to_start(tmp_path: Path) -> None:
    """Every problem with file and line; exit 2 from what needs the config, 1 from the doctor."""
    config = tmp_path / "agentrun.yaml"
    config.write_text("store:\n  urll: x\nlog:\n  level: loud\n", encoding="utf-8")

    examined = agentrun("doctor", "--config", str(config), "--store", "chdb://:memory:", "--json")
    assert examined.returncode == 1
    (finding,) = json.loads(examined.stdout)
    assert finding["check"] == "config"
    for part in ("agentrun.yaml:2:", "agentrun.yaml:4:"):
        assert part in finding["message"]
    for words in (["schema", "print"], ["schema", "apply", "--store", "chdb://:memory:"]):
        env = {**ENV, "AGENTRUN_CONFIG": str(config)}
        refused = agentrun(*words, env=env)
        assert refused.returncode == 2
        assert "agentrun.yaml:2:" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_help_is_there_at_once() -> None:
    """The command line must not load the store, FastAPI or rich to explain itself."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from collector.cli.main import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "heavy = {'fastapi', 'pyarrow', 'chdb', 'rich', 'grpc', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env=ENV,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_light_install_says_what_to_install(tmp_path: Path) -> None:
    """The package without the extra: exit 2 and the command that helps, whatever is missing."""
    for missing in ("click", "orjson"):
        folder = tmp_path / missing
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            f"import sys\nsys.modules[{missing!r}] = None\n", encoding="utf-8"
        )
        env = {**ENV, "PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()])}
        done = agentrun("runs", "list", env=env)
        assert done.returncode == 2
        assert "pip install otel-agentrun[collector]" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_service_runs_without_pandas() -> None:
    """chdb brings it, and pyarrow would import it: time at every start, memory in every process."""
    pytest.importorskip("pandas")
    code = (
        "import sys\n"
        "import collector.app, collector.collector, collector.decoding\n"
        "import pyarrow as pa\n"
        "pa.array(['']); pa.array([1]).to_pylist()\n"
        "print('pandas' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
