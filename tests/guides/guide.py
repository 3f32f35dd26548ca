"""One page of docs/guides: its blocks as files, run beside a real collector.

A block is named by a comment in front of it:

    <!-- app.py -->
    ```python
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from tests.support.process import CollectorProcess

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ROOT / "docs" / "guides"
BLOCK: Final = re.compile(r"^(?:<!-- (\S+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_SECS: Final = 60.0
RUN_ID: Final = re.compile(r"[0-9a-f]{32}(-[0-9a-f]{16})?")


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(name or "", language, text) of each, in order."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


@dataclass
class Guide:
    """Every block has to be used: run, read, or left out with a reason."""

    page: str
    folder: Path
    collector: CollectorProcess
    python: Path = Path(sys.executable)
    environment: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        found = blocks(PAGES / self.page)
        self.blocks: Mapping[str, str] = {name: text for name, _, text in found}
        assert "" not in self.blocks, f"{self.page}: a block without a name"
        assert len(self.blocks) == len(found), f"{self.page}: two blocks of one name"
        ports = self.collector.ports
        self.places = {f"localhost:{4318}": f"127.0.0.1:{ports['http']}"}
        self.places[f"localhost:{4319}"] = self.api.removeprefix("http://")
        self.environment = {
            **os.environ,
            # The folder itself, too: modules of the page import each other.
            "PYTHONPATH": f"{ROOT}:{self.folder}",
            "PATH": f"{self._commands()}:{self.python.parent}:{os.environ['PATH']}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports['http']}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            # To tell the runs of this page from those of others.
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={self.page}",
            **self.environment,
        }

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.collector.ports['api']}"

    def _commands(self) -> Path:
        """`python` and `agentrun` as an installed environment has them."""
        folder = self.folder / "bin"
        folder.mkdir()
        for name, line in {
            "python": f'exec {shlex.quote(str(self.python))} "$@"',
            "agentrun": f"exec {shlex.quote(sys.executable)} -m otel_agentrun"
            f' --collector {self.api} "$@"',
        }.items():
            (folder / name).write_text(f"#!/bin/sh\n{line}\n")
            (folder / name).chmod(0o755)
        return folder

    # ------------------------------------------------------------------ blocks

    def text(self, name: str) -> str:
        """A block with this collector's addresses in it."""
        self.used.add(name)
        text = self.blocks[name]
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def write(self, *names: str) -> None:
        """Blocks as files of these names."""
        for name in names:
            (self.folder / name).write_text(self.text(name), encoding="utf-8")

    def leave_out(self, name: str, reason: str) -> None:
        """A block that cannot run here."""
        assert reason
        assert name in self.blocks
        self.used.add(name)

    def installs(self, name: str) -> None:
        """A block that installs packages: this interpreter has all of them already."""
        words = shlex.split(self.text(name))
        wanted = [re.split(r"[\[=<>]", word)[0] for word in words[words.index("install") + 1 :]]
        code = (
            "import sys; from importlib.metadata import version; [version(n) for n in sys.argv[1:]]"
        )
        packages = [name for name in wanted if name != "otel-agentrun"]
        assert len(packages) < len(wanted)
        metadata.version("otel-agentrun")
        done = subprocess.run([self.python, "-c", code, *packages], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, name: str, *arguments: str, code: int = 0) -> str:
        """A Python block as a program; what it printed."""
        self.write(name)
        return self.call([str(self.python), name, *arguments], code=code)

    def shell(self, name: str, **values: str) -> str:
        """A block of a shell; `values` replace words such as RUN_ID.

        Whoever types it does so after what ran before it was stored.
        """
        self.collector.settle()
        text = self.text(name)
        for word, value in values.items():
            assert word in text
            text = text.replace(word, value)
        return self.call(["bash", "-eu", "-o", "pipefail", "-c", text])

    def call(self, command: list[str], *, code: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=RUN_SECS,
        )  # fmt: skip
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, name: str, port: int) -> Iterator[None]:
        """A block of a shell that starts a server on `port`, which is up inside of `with`."""
        command = ["bash", "-c", f"exec {self.text(name)}"]
        log = self.folder / "served.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output
            ) as process,
        ):
            try:
                deadline = time.monotonic() + RUN_SECS
                while not listens(port):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
                yield
            finally:
                process.terminate()
                process.wait(30)

    # ------------------------------------------------------------------ runs

    def runs(self, query: str = "") -> list[dict[str, Any]]:
        """Run documents of this page once everything that was sent is stored, newest first."""
        self.collector.settle()
        found: list[dict[str, Any]] = self.collector.get(
            f"/v1/runs?{query or f'environment={self.page}'}"
        )
        return found

    def show(self, run_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A run and its steps."""
        assert RUN_ID.fullmatch(run_id), run_id
        self.collector.settle()
        document = self.collector.get(f"/v1/runs/{run_id}")
        return document["run"], document["steps"]
