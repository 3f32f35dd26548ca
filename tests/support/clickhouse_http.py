"""A writable double of a ClickHouse server's HTTP interface over chDB, with faults to switch on.

It runs the real engine, so SQL, types, formats and most errors are ClickHouse's own; what it adds
is the transport: authentication, settings as parameters, INSERT bodies, compression, typed errors.
It keeps no session state (`session_id` is only locked) and knows no clusters, grants or external
tables.

In this process: `ClickHouseDouble`.  In a process of its own, where the collector is a process
too: `tests.support.clickhouse_process`, or by hand `python -m tests.support.clickhouse_http --path
DIR --port 0`, which prints its port, takes commands as JSON lines and ends with its input.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from collector.clickhouse_http.errors import ServerError
from tests.support.clickhouse_encoding import readable
from tests.support.clickhouse_engine import Answer, Engine
from tests.support.clickhouse_faults import HEALTHY, Faults, FaultState, Verdict, injected
from tests.support.clickhouse_listener import HOST, Listener, bound
from tests.support.clickhouse_request import (
    Query,
    Request,
    Response,
    answer_response,
    authenticate,
    error_response,
    gateway_response,
    plain_response,
    read_query,
)

USER: Final = "agentrun"
PASSWORD: Final = "p@ss:w/rd"  # must be percent-encoded in a URL, as real ones often must
USERS: Final[Mapping[str, str]] = {"default": "", USER: PASSWORD}
SEEN_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A statement that arrived, and what became of it."""

    sql: str
    database: str
    settings: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    """Rows that it stored."""
    code: int = 0
    """ClickHouse's error code; 0 without one."""
    answered: bool = True
    """False where the client was left without a whole answer."""


def store_url(port: int, database: str = "", user: str = USER, password: str = PASSWORD) -> str:
    """`clickhouse://user:password@127.0.0.1:port/database`."""
    secret = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"clickhouse://{secret}@{HOST}:{port}/{database}"


class ClickHouseDouble:
    """A server in threads of this process.  A context manager; or call `stop`."""

    def __init__(self, path: str | None = None, *, port: int = 0) -> None:
        """Open `path`, or share the engine that this process has open (else one in memory)."""
        self.engine = Engine(path)
        self._faults = FaultState()
        self._bugs: deque[str] = deque(maxlen=100)
        self._seen: deque[Seen] = deque(maxlen=SEEN_MAX)
        self._sessions: set[str] = set()
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        # Bound and never listening: while the server is down, nobody else gets its port.
        self._reserved = bound(port)
        self.port: int = self._reserved.getsockname()[1]
        self._listen()

    def url(self, database: str = "", user: str = USER, password: str = PASSWORD) -> str:
        """The URL of a store on this server."""
        return store_url(self.port, database, user, password)

    def inject(self, faults: Faults) -> None:
        """Replace the faults in force; `HEALTHY` ends them."""
        self._faults.set(faults)
        if faults.down:
            self._close()
        elif self._listener is None:
            self._listen()

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
        return self.engine.text(sql, database)

    def seen(self, database: str = "") -> list[Seen]:
        """The newest statements that arrived, oldest first; of one database or all."""
        with self._lock:
            return [one for one in self._seen if not database or one.database == database]

    def bugs(self) -> list[str]:
        """Errors of the double itself; where there are any, a test proves nothing."""
        return list(self._bugs)

    def stop(self) -> None:
        """End connections and threads, let go of the engine."""
        self._faults.set(HEALTHY)
        self._close()
        self._reserved.close()
        self.engine.close()

    def __enter__(self) -> ClickHouseDouble:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> None:
        self._listener = Listener(self.port, self._respond, self._bugs.append)
        accept = threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)
        accept.start()

    def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.end()

    def _respond(self, request: Request) -> Response | None:
        path = urlsplit(request.target).path
        if path in ("/ping", "/replicas_status"):
            return None if self._faults.hangs() else plain_response(200, "Ok.\n")
        if path != "/":
            return plain_response(404, f"There is no handle {path}\n")
        try:
            authenticate(request, USERS)
            query = read_query(request, compresses=self.engine.compresses)
            if not query.statement.sql.strip():
                if request.method == "GET":
                    return plain_response(200, "Ok.\n")
                raise ServerError(62, "SYNTAX_ERROR", "Syntax error: Empty query")
        except ServerError as error:
            return error_response(error, self.engine.version)
        return self._judged(query)

    def _judged(self, query: Query) -> Response | None:
        """Run the statement as the faults in force allow, and note it."""
        statement = query.statement
        verdict = self._faults.judge(
            statement, lambda: readable(statement.data or statement.sql, statement.format)
        )
        seen = Seen(
            sql=statement.sql.decode(errors="replace"),
            database=query.http.database,
            settings=query.http.settings,
        )
        response: Response | None = None
        if verdict.gateway_status:
            response = gateway_response(verdict.gateway_status)
        elif not verdict.hang and verdict.reset != "before":
            try:
                answer, response = self._run(query, verdict)
                seen = replace(seen, rows=answer.written_rows)
            except ServerError as error:
                seen = replace(seen, code=error.code)
                response = error_response(error, self.engine.version)
        if verdict.reset == "after":
            response = None
        with self._lock:
            answered = response is not None and not response.cut
            self._seen.append(replace(seen, answered=answered))
        return response

    def _run(self, query: Query, verdict: Verdict) -> tuple[Answer, Response]:
        if verdict.error:
            raise injected(verdict.error, self.engine.name_of(verdict.error))
        started_ns = time.perf_counter_ns()
        with self._session(query.http.session_id):
            answer = self.engine.run(
                query.statement,
                database=query.http.database,
                settings=query.http.settings,
                parameters=query.http.parameters,
                default_format=query.http.default_format,
            )
        elapsed_ns = time.perf_counter_ns() - started_ns
        response = answer_response(query, answer, self.engine.timezone, elapsed_ns)
        return answer, replace(response, cut=verdict.reset == "inside")

    @contextlib.contextmanager
    def _session(self, session_id: str) -> Iterator[None]:
        with self._lock:
            if session_id in self._sessions:
                message = f"Session {session_id} is locked by a concurrent client"
                raise ServerError(373, "SESSION_IS_LOCKED", message)
            if session_id:
                self._sessions.add(session_id)
        try:
            yield
        finally:
            with self._lock:
                self._sessions.discard(session_id)


def main() -> None:
    """Serve until standard input ends; each line of it is a command, each line out a reply."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.clickhouse_http")
    parser.add_argument("--path", required=True, help="folder of the embedded engine")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with ClickHouseDouble(options.path, port=options.port) as double:
        _reply({"port": double.port})
        for line in sys.stdin:
            try:
                _reply(_obey(double, **json.loads(line)))
            except ServerError as error:
                _reply({"error": [error.code, error.name, str(error)]})


def _obey(double: ClickHouseDouble, do: str, **arguments: Any) -> dict[str, Any]:
    match do:
        case "inject":
            double.inject(Faults(**arguments))
            return {}
        case "execute":
            return {"text": double.execute(**arguments)}
        case "seen":
            return {"seen": [asdict(one) for one in double.seen(**arguments)]}
        case "bugs":
            return {"bugs": double.bugs()}
    raise AssertionError(f"unknown command {do!r}")


def _reply(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
