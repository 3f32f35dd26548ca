"""The ClickHouse double in a process of its own, for tests whose collectors are processes too.

The same interface as `ClickHouseDouble`; it can be killed and started again on the same port and
folder, and it ends with this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from collector.clickhouse_http.errors import ServerError
from tests.support.clickhouse_faults import HEALTHY, Faults
from tests.support.clickhouse_http import PASSWORD, USER, Seen, store_url

ROOT: Final = Path(__file__).parent.parent.parent
STOP_SECS: Final = 15


class ClickHouseProcess:
    """Owns the process.  A context manager; or call `stop`."""

    def __init__(self, path: str | os.PathLike[str], *, port: int = 0) -> None:
        """Start it on the folder `path`; returns once it listens."""
        self.path = os.fspath(path)
        self._lock = threading.Lock()
        self._process = self._start(port)
        self.port: int = self._read()["port"]

    def url(self, database: str = "", user: str = USER, password: str = PASSWORD) -> str:
        """The URL of a store on this server."""
        return store_url(self.port, database, user, password)

    def inject(self, faults: Faults) -> None:
        """Replace the faults in force; `HEALTHY` ends them."""
        self._ask("inject", **asdict(faults))

    @contextlib.contextmanager
    def broken(self, faults: Faults) -> Iterator[None]:
        """The faults, for the time of a block."""
        self.inject(faults)
        try:
            yield
        finally:
            self.inject(HEALTHY)

    def execute(self, sql: str, database: str = "") -> str:
        """Run a statement past all faults; its result as tab-separated lines."""
        text: str = self._ask("execute", sql=sql, database=database)["text"]
        return text

    def seen(self, database: str = "") -> list[Seen]:
        """The newest statements that arrived, oldest first; of one database or all."""
        return [Seen(**one) for one in self._ask("seen", database=database)["seen"]]

    def bugs(self) -> list[str]:
        """Errors of the double itself; where there are any, a test proves nothing."""
        return list(self._ask("bugs")["bugs"])

    def kill(self) -> None:
        """As `kill -9` does: no answer, no end of anything."""
        self._process.kill()
        self._end()

    def restart(self) -> None:
        """Start again after `kill`, on the same port and folder."""
        self._process = self._start(self.port)
        self._read()

    def stop(self) -> None:
        """End it and wait."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._end()

    def __enter__(self) -> ClickHouseProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, port: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.clickhouse_http"),
                *("--path", self.path, "--port", str(port)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(STOP_SECS)

    def _ask(self, do: str, **arguments: Any) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            reply = self._read()
        if "error" in reply:
            code, name, message = reply["error"]
            raise ServerError(code, name, message)
        return reply

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the ClickHouse double ended with {self._process.wait(STOP_SECS)}")
        return json.loads(line)
