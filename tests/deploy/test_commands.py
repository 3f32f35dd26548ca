"""The commands of images, compose files and pages, run on this machine as they stand there.

The entry point, the settings and the secrets are the deployed ones; what differs is where: free
ports of loopback, a folder of this test, and the double of a ClickHouse server.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import COMPOSE, COMPOSE_FILES, DEPLOY, compose, instructions
from tests.support.clickhouse_process import ClickHouseProcess
from tests.support.process import PORTS, STOP_SECS

PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yaml"
ENTRYPOINT = [sys.executable, str(DEPLOY / "entrypoint.py")]
RUN_SECS = 60.0
READS = re.compile(r"ClickHouse +http://\S*?:(\d+)")
FREE_PORTS = {
    f"AGENTRUN_{name}_ADDRESS": "127.0.0.1:0"
    for name in ("RECEIVER_GRPC", "RECEIVER_HTTP", "API", "READ_ENDPOINT")
}
PROGRAMS = {
    "agentrun": [sys.executable, "-m", "otel_agentrun"],
    "agentrun-health": [sys.executable, str(DEPLOY / "healthcheck.py")],
    "agentrun-entrypoint": ENTRYPOINT,
    "python": [sys.executable],
}
"""What the image has under these names."""


def here(words: list[str]) -> list[str]:
    """A command of the image, with the programs of this checkout."""
    found = [*PROGRAMS[words[0]], *words[1:]]
    if words[0] == "agentrun-entrypoint":
        found = [*ENTRYPOINT, *here(words[1:])]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A collector as compose.yaml starts it."""

    file: str
    process: subprocess.Popen[str]
    ports: dict[str, int]
    secrets: Path
    log: Path

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command of the image, beside the collector."""
        return subprocess.run(
            here(list(words)),
            env=environment(self.secrets)
            | {
                "AGENTRUN_HEALTH_URL": f"http://127.0.0.1:{self.ports['api']}",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.ports['http']}",
            }
            | env,
            capture_output=True,
            text=True,
            timeout=RUN_SECS,
            check=False,
        )


def environment(secrets: Path) -> dict[str, str]:
    """Of a container: nothing of ours but what the image sets."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    root = str(DEPLOY.parent)
    return {**kept, "AGENTRUN_SECRETS_FOLDER": str(secrets), "PYTHONPATH": root}


@pytest.fixture(scope="module", params=COMPOSE_FILES)
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """`docker compose up`, without Docker."""
    folder = tmp_path_factory.mktemp("deployed")
    secrets = folder / "secrets"
    subprocess.run(
        ["sh", str(COMPOSE / "make-secrets.sh"), str(secrets)], check=True, capture_output=True
    )
    collector = compose(request.param)["services"]["collector"]
    words = ["agentrun-entrypoint", *collector["command"]]
    mounted = next(v for v in collector["volumes"] if v.endswith(f":{words[-1]}:ro")).split(":")
    words[-1] = str(COMPOSE / mounted[0])
    with contextlib.ExitStack() as stack:
        if "AGENTRUN_STORE_URL" in collector["secrets"]:
            server = stack.enter_context(ClickHouseProcess(folder / "server"))
            (secrets / "AGENTRUN_STORE_URL").write_text(server.url("agentrun"), encoding="utf-8")
        else:
            (secrets / "AGENTRUN_STORE_URL").unlink()
        log = folder / "collector.log"
        errors = stack.enter_context(log.open("w"))
        process = stack.enter_context(
            subprocess.Popen(
                here(words),
                env=environment(secrets)
                | FREE_PORTS
                | {"AGENTRUN_DATA_DIR": str(folder / "data"), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        )
        try:
            yield Deployed(
                file=request.param,
                process=process,
                ports=ports(process, log),
                secrets=secrets,
                log=log,
            )
        finally:
            process.kill()


def ports(process: subprocess.Popen[str], log: Path) -> dict[str, int]:
    """From what a starting collector prints."""
    assert process.stdout is not None
    found: dict[str, int] = {}
    for line in process.stdout:
        for name, pattern in {**PORTS, "reads": READS}.items():
            if match := pattern.search(line):
                found[name] = int(match[1])
        if "Ctrl-C" in line:
            return found
    raise AssertionError(f"the collector did not start:\n{log.read_text()[-4000:]}")


def test_the_health_checks_say_that_it_is_well(deployed: Deployed) -> None:
    """The image's own, and that of the compose file."""
    (check,) = [rest for word, rest in instructions(DEPLOY / "Dockerfile") if word == "HEALTHCHECK"]
    image = json.loads(check.partition("CMD ")[2])
    service = compose(deployed.file)["services"]["collector"]["healthcheck"]["test"]
    assert service[0] == "CMD"
    for words in (image, service[1:]):
        done = deployed.run(*words)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_demo_runs_against_it_and_its_runs_are_listed(deployed: Deployed) -> None:
    """The demo container's command with its secret; then the command that the pages name."""
    demo = compose(deployed.file)["services"]["demo"]
    done = deployed.run("agentrun-entrypoint", *demo["command"])
    assert done.returncode == 0, done.stderr
    made = [json.loads(line)["run_id"] for line in done.stdout.splitlines()]
    assert len(made) > 5

    collector = f"http://127.0.0.1:{deployed.ports['api']}"
    words = ["agentrun-entrypoint", "agentrun", "runs", "show", *made, "--json"]
    for _ in range(50):
        shown = deployed.run(*words, "--collector", collector)
        if shown.returncode == 0:
            break
    assert shown.returncode == 0, shown.stderr
    assert [one["run"]["run_id"] for one in json.loads(shown.stdout)] == made


def test_grafana_reads_the_embedded_store_with_the_password_it_has(deployed: Deployed) -> None:
    """Over HTTP, as the provisioned datasource says; any other password is refused."""
    if deployed.file == "compose.yaml":
        assert "reads" not in deployed.ports, "Grafana asks the server itself"
        return
    (secret,) = (
        one["source"]
        for one in compose(deployed.file)["services"]["grafana"]["secrets"]
        if isinstance(one, dict) and one["target"] == "grafana_clickhouse_password"
    )
    password = (deployed.secrets / secret).read_text(encoding="utf-8")
    assert int(asked(deployed, "SELECT count() FROM agentrun.runs", password)) > 5
    with pytest.raises(urllib.error.HTTPError):
        asked(deployed, "SELECT 1", "no")


def asked(deployed: Deployed, sql: str, password: str) -> str:
    """The answer of the read endpoint."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{deployed.ports['reads']}/",
        data=sql.encode(),
        headers={"X-ClickHouse-User": "grafana", "X-ClickHouse-Key": password},
    )
    with urllib.request.urlopen(request, timeout=RUN_SECS) as answer:
        return str(answer.read().decode())


def test_prometheus_may_read_the_metrics_and_nobody_without_a_key(deployed: Deployed) -> None:
    """By the name and with the key of its scrape config, and fewer samples than it allows."""
    config = PROMETHEUS.read_text(encoding="utf-8")
    (job,) = yaml.safe_load(config)["scrape_configs"]
    url = f"http://127.0.0.1:{deployed.ports['api']}{job['metrics_path']}"
    key = (deployed.secrets / Path(job["authorization"]["credentials_file"]).name).read_text()
    host = {"Host": job["static_configs"][0]["targets"][0]}
    request = urllib.request.Request(url, headers=host | {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=RUN_SECS) as answer:
        samples = [line for line in answer.read().decode().splitlines() if line[:1] != "#"]
    assert any(line.startswith("agentrun_items_received_total{") for line in samples)
    assert len(samples) * 10 < job["sample_limit"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, headers=host), timeout=RUN_SECS)
    with refused.value:
        assert refused.value.code == 401


def test_a_real_prometheus_finds_the_collector_up(deployed: Deployed, tmp_path: Path) -> None:
    """The service's command and scrape config; only where things are, and how often, differs."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus (Debian: prometheus) is not installed")
    key = deployed.secrets / "READ_KEY"
    text = PROMETHEUS.read_text(encoding="utf-8")
    for old, new in {
        "collector:4319": f"127.0.0.1:{deployed.ports['api']}",
        "/run/secrets/READ_KEY": str(key),
        "scrape_interval: 15s": "scrape_interval: 1s",
        "scrape_timeout: 10s": "scrape_timeout: 1s",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    config = tmp_path / "prometheus.yaml"
    config.write_text(text, encoding="utf-8")
    service = compose(deployed.file)["services"]["prometheus"]
    flags = {
        "--config.file": str(config),
        "--storage.tsdb.path": str(tmp_path / "data"),
        "--web.listen-address": f"127.0.0.1:{free_port()}",
    }
    words = [word for word in service["command"] if word.split("=")[0] not in flags]
    words += [f"{flag}={value}" for flag, value in flags.items()]
    base = f"http://{flags['--web.listen-address']}"
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen([program, *words], stdout=log, stderr=log) as process,
    ):
        try:
            up = eventually(f"{base}/api/v1/query?query=up", '"1"]', process)
            (one,) = json.loads(up)["data"]["result"]
            assert one["metric"]["job"] == "otel-agentrun"
            eventually(
                f"{base}/api/v1/query?query=agentrun_items_received_total", "signal", process
            )
            (check,) = [word for word in service["healthcheck"]["test"] if "://" in word]
            eventually(check.replace("http://127.0.0.1:9090", base), "Ready", process)
        finally:
            process.terminate()
            process.wait(STOP_SECS)


def free_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


def eventually(url: str, wanted: str, process: subprocess.Popen[bytes]) -> str:
    """The answer, as soon as `wanted` is in it."""
    answer = ""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(url, timeout=RUN_SECS) as response,
        ):
            answer = str(response.read().decode())
            if wanted in answer:
                return answer
        time.sleep(0.1)
    raise AssertionError(f"{url}: no {wanted} in {answer!r}")


def test_who_has_no_key_is_refused(deployed: Deployed) -> None:
    """Listening for others means keys, also for the demo's agents and for people."""
    collector = f"http://127.0.0.1:{deployed.ports['api']}"
    none = deployed.run("agentrun", "runs", "list", "--collector", collector)
    assert none.returncode == 1
    assert "key" in none.stderr
    reader = (deployed.secrets / "READ_KEY").read_text(encoding="utf-8")
    listed = deployed.run(
        "agentrun", "runs", "list", "--json", "--collector", collector, AGENTRUN_API_KEY=reader
    )
    assert listed.returncode == 0, listed.stderr


def test_the_doctor_finds_nothing_wrong(deployed: Deployed) -> None:
    """With the operator's key, which the entry point takes from its secret."""
    collector = f"http://127.0.0.1:{deployed.ports['api']}"
    words = ("agentrun-entrypoint", "agentrun", "doctor", "--json", "--collector", collector)
    done = deployed.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {one["status"] for one in json.loads(done.stdout)} <= {"ok", "warn"}


def test_it_stops_in_time_when_it_is_told(deployed: Deployed) -> None:
    """`docker stop` sends SIGTERM and waits `stop_grace_period`; everything is stored by then."""
    grace = compose(deployed.file)["services"]["collector"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= 40
    deployed.process.send_signal(signal.SIGTERM)
    assert deployed.process.wait(STOP_SECS) == 0
    assert "Traceback" not in deployed.log.read_text(encoding="utf-8")
    assert deployed.run("agentrun-health").returncode == 1


def test_wrong_settings_end_with_2(tmp_path: Path) -> None:
    """What RestartPreventExitStatus relies on: a supervisor need not try again."""
    bad = tmp_path / "agentrun.yaml"
    bad.write_text("receiver: {grpc: {listen: 'x'}}\n", encoding="utf-8")
    done = subprocess.run(
        here(["agentrun-entrypoint", "agentrun", "up", "--config", str(bad)]),
        env=environment(tmp_path / "none"), capture_output=True, text=True, timeout=RUN_SECS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "receiver.grpc.listen" in done.stderr


def test_a_collector_starts_while_clickhouse_is_down(tmp_path: Path) -> None:
    """Pods of both start together: it takes spans, is alive, and not ready."""
    port = free_port()
    env = environment(tmp_path / "none") | {"AGENTRUN_DATA_DIR": str(tmp_path / "data")}
    env |= FREE_PORTS
    env["AGENTRUN_STORE_URL"] = f"clickhouse://agentrun:x@127.0.0.1:{port}/agentrun"
    log = tmp_path / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            here(["agentrun-entrypoint", "agentrun", "up"]),
            env=env, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=tmp_path,
        ) as process,
    ):  # fmt: skip
        try:
            api = ports(process, log)["api"]
            health = {"AGENTRUN_HEALTH_URL": f"http://127.0.0.1:{api}"} | environment(tmp_path)
            for words, status in ((["agentrun-health"], 0), (["agentrun-health", "readyz"], 1)):
                done = subprocess.run(
                    here(words), env=health, timeout=RUN_SECS, check=False, capture_output=True
                )
                assert done.returncode == status, words
        finally:
            process.kill()
