"""A real collector in a process of its own, to be killed, stopped and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.warm import WarmProcess

START_SECS = 60.0
STOP_SECS = 30.0
PORTS = {
    "grpc": re.compile(r"OTLP/gRPC +\S*?:(\d+)"),
    "http": re.compile(r"OTLP/HTTP +http://\S*?:(\d+)"),
    "api": re.compile(r"API +http://\S*?:(\d+)/"),
    "reads": re.compile(r"ClickHouse +http://\S*?:(\d+) "),
}


class CollectorProcess:
    """`agentrun up` on free ports.  Use as a context manager; leaving it kills what is left."""

    def __init__(
        self, data_dir: Path, *, store: str = "", cold: bool = False, **settings: object
    ) -> None:
        """`settings` become AGENTRUN_… variables: `store_flush_secs=0.05`.  A `cold` one is the
        command itself, for measurements and tests of the start; others are forks (`warm`)."""
        self.data_dir = data_dir
        self._store = store
        self._cold = cold
        self._environment = {
            **os.environ,
            "AGENTRUN_RECEIVER_GRPC_ADDRESS": "127.0.0.1:0",
            "AGENTRUN_RECEIVER_HTTP_ADDRESS": "127.0.0.1:0",
            "AGENTRUN_API_ADDRESS": "127.0.0.1:0",
            "AGENTRUN_READ_ENDPOINT_ADDRESS": "127.0.0.1:0",
            "AGENTRUN_RECEIVER_DECODERS": "0",
            **{f"AGENTRUN_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[str] | WarmProcess | None = None
        self.ports: dict[str, int] = {}
        self.log = data_dir.parent / f"{data_dir.name}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> CollectorProcess:
        """Returns once it listens."""
        words = ["up", "--data-dir", str(self.data_dir)]
        if self._store:
            words += ["--store", self._store]
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            if self._cold:
                command = [sys.executable, "-m", "otel_agentrun", *words]
                self._process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
                )
            else:
                self._process = WarmProcess(
                    words, environment=self._environment, stdout=subprocess.PIPE, stderr=log
                )
        assert self._process.stdout is not None
        self.ports = {}
        for line in self._process.stdout:
            for name, pattern in PORTS.items():
                if found := pattern.search(line):
                    self.ports[name] = int(found[1])
            if "Ctrl-C" in line:
                return self
        self._end(signal.SIGKILL)
        raise AssertionError(f"the collector did not start:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        return self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(STOP_SECS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def get(self, path: str) -> Any:
        """JSON (or text of anything else) of the API."""
        url = f"http://127.0.0.1:{self.ports['api']}{path}"
        with urllib.request.urlopen(url, timeout=30) as response:
            body = response.read()
            if response.headers["Content-Type"].startswith("application/json"):
                return json.loads(body)
            return body.decode()

    def terms(self, signal_: str = "traces") -> dict[str, int]:
        """The terms of promise 2 as `/metrics` has them."""
        found: dict[str, int] = {}
        pattern = re.compile(
            rf'^agentrun_items_(\w+?)(?:_total)?{{.*signal="{signal_}".*}} (\S+)$', re.MULTILINE
        )
        for name, value in pattern.findall(self.get("/metrics")):
            found[name] = found.get(name, 0) + int(float(value))
        return found

    def settle(self, secs: float = 60.0, *, poll_secs: float = 0.05) -> dict[str, int]:
        """Wait until nothing is pending."""
        deadline = time.monotonic() + secs
        while (terms := self.terms())["pending"]:
            assert time.monotonic() < deadline, f"still pending: {terms}"
            time.sleep(poll_secs)
        return terms

    def __enter__(self) -> CollectorProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._end(signal.SIGKILL)


def query(store: str, sql: str) -> list[dict[str, Any]]:
    """Ask an embedded store that no process holds, in a process of its own (one engine each)."""
    code = (
        "import sys, json; from collector.store.client import Store\n"
        "print(json.dumps(Store.open(sys.argv[1]).query(sys.argv[2]), default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, store, sql], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
