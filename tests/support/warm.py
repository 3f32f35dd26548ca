"""Commands by fork: processes of `agentrun` that begin with what they need already imported.

Imports are most of what a start costs, and the tests start hundreds.  One process per process of
pytest loads them once and forks for each command; the child is a process like any other, with its
own id, environment, folder and output, and may be killed.  What a command does at its start is
otherwise as ever.  `tests/cli/test_process.py` and `tests/e2e/test_up.py` start the real thing.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parent.parent.parent
STARTS_THREADS: Final = "chdb"
"""The engine starts threads when it is imported, and threads do not survive a fork."""
MODULES: Final = (
    *("anyio._backends._asyncio", "clickhouse_connect.driver", "fastapi.routing", "grpc.aio"),
    *("pyarrow.compute", "rich.console", "rich.table", "uvicorn.main", "uvloop"),
    *("collector.api.app", "collector.api.local", "collector.api.metrics", "collector.api.server"),
    *("collector.cli.backend", "collector.cli.main", "collector.cli.rendering"),
    *("collector.clickhouse_http.native", "collector.clickhouse_http.request"),
    *("collector.config", "collector.control.control", "collector.control.server"),
    *("collector.control.webhooks", "collector.dashboards.stats", "collector.decoding"),
    *("collector.forward.forwarding", "collector.intake", "collector.ledger.pruning"),
    *("collector.ledger.reader", "collector.pipeline", "collector.receiver.grpc_server"),
    *("collector.receiver.http_server", "collector.rules.bench", "collector.rules.file"),
    *("collector.rules.shared_budgets", "collector.runs.assembler", "collector.runs.judge"),
    *("collector.store.control_events", "collector.store.documents", "collector.store.drawn"),
    *("collector.store.erase", "collector.store.link", "collector.store.recall"),
    *("collector.store.writer", "otel_agentrun.dialects", "otel_agentrun.__main__"),
)
"""What `agentrun up` imports, but the engine and the few modules around it."""


class WarmProcess:
    """`agentrun` with these words; of `subprocess.Popen` what the tests use."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdout: int | IO[Any],
        stderr: IO[Any],
    ) -> None:
        """`stdout` is a file, or `subprocess.PIPE`.  Returns once the process is there."""
        read = write = -1
        if isinstance(stdout, int):
            read, write = os.pipe()
        output = write if isinstance(stdout, int) else stdout.fileno()
        self._talk, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_forks(), [b"!"], [output, stderr.fileno(), theirs.fileno()])
        request = {"words": words, "environment": dict(environment), "folder": os.getcwd()}
        self._talk.sendall(json.dumps(request).encode() + b"\n")
        self._replies = self._talk.makefile("r")
        self.pid = int(self._replies.readline())
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        if write >= 0:
            os.close(write)
            self.stdout = os.fdopen(read, encoding="utf-8")

    def poll(self) -> int | None:
        """The exit code as `Popen` has it; `None` as long as it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, secs: float) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            # Not `select.select`: a process with an engine in it has more than 1024 files open.
            poller = select.poll()
            poller.register(self._talk, select.POLLIN)
            if not poller.poll(round(secs * 1000)):
                raise subprocess.TimeoutExpired("agentrun", secs)
            self.returncode = int(self._replies.readline())
            self._replies.close()
            self._talk.close()
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def run(
    words: Sequence[str], environment: Mapping[str, str], secs: float
) -> subprocess.CompletedProcess[str]:
    """The command and what it printed.  Raises subprocess.TimeoutExpired, and has killed it."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = WarmProcess(words, environment=environment, stdout=out, stderr=err)
        try:
            code = process.wait(secs)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


@functools.cache
def _forks() -> socket.socket:
    """The end of the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


def main() -> None:
    """Fork for each request; returns, in a child, when its command is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever runs the tests
    for name in MODULES:
        importlib.import_module(name)
    assert STARTS_THREADS not in sys.modules, f"{STARTS_THREADS} must not be imported here"
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv[1]))
    while True:
        _, fds, _, _ = socket.recv_fds(control, 1, 3)
        if not fds:
            return
        if os.fork() == 0:
            control.close()
            _keep(*fds)
            return
        for each in fds:
            os.close(each)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(stdout: int, stderr: int, talk: int) -> None:
    """Fork once more, tell the id of that child, wait for it and tell its exit code."""
    with open(talk, "r+b", buffering=0) as file:
        request = json.loads(file.readline())
        pid = os.fork()
        if pid:
            os.close(stdout)
            os.close(stderr)
            file.write(b"%d\n" % pid)
            file.write(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)
    for given, number in ((stdout, 1), (stderr, 2)):
        os.dup2(given, number)
        os.close(given)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["agentrun", *request["words"]]
    from otel_agentrun.__main__ import main as agentrun

    agentrun()


if __name__ == "__main__":
    main()
