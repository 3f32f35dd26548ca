"""The collector's embedded store over ClickHouse's HTTP protocol, for reading: an ASGI application.

Statements run in threads of their own, a few at a time; further ones wait in a bounded line, so
that dashboards never take all of the machine from ingest.  A statement ends with its time, or when
its client goes away.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

import anyio
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from collector.api.security import origin_allowed, tenant
from collector.clickhouse_http.encoding import encoded
from collector.clickhouse_http.errors import ServerError, error_body, error_headers
from collector.clickhouse_http.reader import NAME, QueryReader, Result, new_token
from collector.clickhouse_http.request import (
    HttpQuery,
    answer_headers,
    read_http_query,
    url_parameters,
)
from collector.clickhouse_http.stats import ReadStats
from collector.errors import PermanentError, StoreError, UnauthenticatedError
from collector.receiver.auth import Keyring, Role, is_loopback
from collector.receiver.browser import check_host

log = logging.getLogger(__name__)

CHUNK_BYTES: Final = 256 << 10
KILL_AGAIN_SECS: Final = 0.3
REFUSALS: Final = frozenset({
    "ACCESS_DENIED", "AUTHENTICATION_FAILED", "INTO_OUTFILE_NOT_ALLOWED", "READONLY",
    "REQUIRED_PASSWORD", "SETTING_CONSTRAINT_VIOLATION", "TOO_MANY_SIMULTANEOUS_QUERIES",
})  # fmt: skip
RETRY_AFTER_SECS: Final = 1
BODY_TYPES: Final = {"JSON": "application/json", "CSV": "text/csv", "XML": "application/xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How much may happen at once."""

    queries_max: int = 2
    waiting_max: int = 32
    waiting_secs_max: float = 10.0
    body_bytes_max: int = 1 << 20


class ReadEndpoint:
    """`reader` is called at the first query: the store may not be open before."""

    def __init__(
        self,
        reader: Callable[[], QueryReader],
        *,
        keyring: Keyring,
        stats: ReadStats,
        admission: Admission,
        peers_verified: bool = False,
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
    ) -> None:
        self._reader = reader
        self._keyring = keyring
        self._stats = stats
        self._admission = admission
        self._peers_verified = peers_verified
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._origins = frozenset(allowed_origins)
        # Threads of its own: the pool of the API and of the receivers is never waited for.
        self._slots = anyio.CapacityLimiter(admission.queries_max)
        self._kills = anyio.CapacityLimiter(2)
        self._opened: QueryReader | None = None
        self._running: set[str] = set()
        self._stopping = False

    def stop(self) -> None:
        """Take no more queries and end those that run; their clients get the engine's error."""
        self._stopping = True
        if self._opened is not None:
            for token in self._running:
                self._opened.kill(token)

    def close(self) -> None:
        """Let go of the engine."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.engine.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        version = ""
        try:
            self._check_page(headers)
            path, method = scope["path"], scope["method"]
            if path in ("/ping", "/replicas_status"):
                await _send(send, 200, {"Content-Type": "text/plain"}, b"Ok.\n", method)
                return
            if path != "/":
                body = f"There is no handle {path[:100]}\n".encode()
                await _send(send, 404, {"Content-Type": "text/plain"}, body, method)
                return
            if method not in ("GET", "HEAD", "POST"):
                raise ServerError(48, "NOT_IMPLEMENTED", f"HTTP method {method[:20]}")
            query_string = scope["query_string"].decode("latin-1")
            self._authenticate(scope, headers, url_parameters(query_string))
            raw = await _body(receive, self._admission.body_bytes_max)
            query = read_http_query(
                "GET" if method == "HEAD" else method,
                query_string,
                headers,
                raw,
                compresses=True,
                bytes_max=self._admission.body_bytes_max,
            )
            if not query.text.strip() and method != "POST":
                await _send(send, 200, {"Content-Type": "text/plain"}, b"Ok.\n", method)
                return
            reader = await self._open()
            version = reader.engine.version
            await self._answer(reader, query, receive, send, method)
        except ServerError as error:
            outcome = "refused" if error.name in REFUSALS else "error"
            self._stats.failed(outcome, error.name)
            await _send_error(send, error, version, scope["method"])
        except StoreError as error:
            self._stats.failed("error", "store")
            unavailable = ServerError(210, "NETWORK_ERROR", f"{error} {error.hint}".strip())
            await _send_error(send, unavailable, version, scope["method"], status=503)

    async def _open(self) -> QueryReader:
        if self._stopping:
            raise ServerError(236, "ABORTED", "The collector is being stopped")
        if self._opened is None:
            opened = await anyio.to_thread.run_sync(self._reader, limiter=self._kills)
            if self._opened is not None:  # two first queries
                opened.engine.close()
            else:
                self._opened = opened
        return self._opened

    # ------------------------------------------------------------------ who asks

    def _check_page(self, headers: Headers) -> None:
        """Keep web pages out: rebound names, foreign origins, and what a page loads blindly."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            check_host(host, self._hosts)
        except PermanentError as error:
            raise ServerError(497, "ACCESS_DENIED", str(error)) from None
        foreign = origin is not None and not origin_allowed(origin, host, self._origins)
        blind = origin is None and headers.get("sec-fetch-site", "none") not in (
            "none",
            "same-origin",
        )
        if foreign or blind:
            message = f"requests from pages of {(origin or 'other sites')[:100]} are not allowed"
            raise ServerError(497, "ACCESS_DENIED", message)

    def _authenticate(self, scope: Scope, headers: Headers, parameters: dict[str, str]) -> None:
        """A key as password (Basic, `X-ClickHouse-Key`, `password=`) or bearer; any user name."""
        peer = scope.get("client") or ("", 0)
        try:
            principal = self._keyring.authenticate(
                _authorization(headers, parameters),
                peer_is_loopback=is_loopback(f"{peer[0]}:{peer[1]}"),
                peer_is_verified=self._peers_verified,
            )
        except UnauthenticatedError as error:
            raise ServerError(516, "AUTHENTICATION_FAILED", str(error)) from None
        if not principal.allows(Role.READ):
            message = f"API key `{principal.name}` lacks the role `read`."
            raise ServerError(497, "ACCESS_DENIED", message)
        if workspace := tenant(principal):
            raise ServerError(
                497,
                "ACCESS_DENIED",
                f"API key `{principal.name}` is bound to the workspace `{workspace}`, and tables"
                " hold the rows of all. Read through the API (`/v1/runs`), or use a key without"
                " a workspace.",
            )

    # ------------------------------------------------------------------ running

    async def _answer(
        self, reader: QueryReader, query: HttpQuery, receive: Receive, send: Send, method: str
    ) -> None:
        result: Result | None = None
        failure: ServerError | None = None
        body = b""
        token = new_token()
        ended = anyio.Event()

        def run() -> tuple[Result, bytes]:
            found = reader.run(query, token)
            # Compressed here, off the event loop.
            return found, encoded(found.answer.body, query.encoding)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, receive, reader, token, ended, tasks.cancel_scope)
            try:
                async with _slot(self._slots, self._stats, self._admission):
                    with anyio.CancelScope(shield=True):  # the thread goes on, and keeps its slot
                        self._stats.running += 1
                        self._running.add(token)
                        started = anyio.current_time()
                        try:
                            result, body = await anyio.to_thread.run_sync(
                                run, limiter=anyio.CapacityLimiter(1)
                            )
                        finally:
                            self._stats.running -= 1
                            self._running.discard(token)
                            self._stats.secs.observe(anyio.current_time() - started)
            except ServerError as error:
                failure = error
            finally:
                ended.set()
            gone = tasks.cancel_scope.cancel_called
            tasks.cancel_scope.cancel()
        if gone or (result is None and failure is None):
            self._stats.failed("gone", "client_gone")
            return
        if failure is not None:
            raise failure
        assert result is not None
        self._stats.queries["ok"] += 1
        found = result.answer
        summary = {
            "read_rows": found.read_rows,
            "read_bytes": found.read_bytes,
            "written_rows": 0,
            "written_bytes": 0,
            "total_rows_to_read": 0,
            "result_rows": found.read_rows,
            "result_bytes": len(found.body),
            "elapsed_ns": result.elapsed_ns,
        }
        headers = answer_headers(query, name=NAME, timezone=reader.engine.timezone, summary=summary)
        headers["X-ClickHouse-Format"] = result.format
        headers["Content-Type"] = next(
            (f"{kind}; charset=UTF-8" for name, kind in BODY_TYPES.items()
             if result.format.startswith(name)),
            headers["Content-Type"],
        )  # fmt: skip
        await _send(send, 200, headers, body, method)

    async def _watch(
        self,
        receive: Receive,
        reader: QueryReader,
        token: str,
        ended: anyio.Event,
        scope: anyio.CancelScope,
    ) -> None:
        """End the statement of a client that goes away."""
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
        with anyio.CancelScope(shield=True):
            # Again and again: it may not have begun when the client went.
            while not ended.is_set():
                try:
                    await anyio.to_thread.run_sync(reader.kill, token, limiter=self._kills)
                except ServerError as error:
                    log.warning("read_query_not_killed", extra={"error": str(error)})
                with anyio.move_on_after(KILL_AGAIN_SECS):
                    await ended.wait()


class _slot:
    """A place among the running statements.  Raises ServerError when there is none soon."""

    def __init__(
        self, slots: anyio.CapacityLimiter, stats: ReadStats, admission: Admission
    ) -> None:
        self._slots, self._stats, self._admission = slots, stats, admission

    async def __aenter__(self) -> None:
        if self._stats.waiting >= self._admission.waiting_max:
            raise self._busy()
        self._stats.waiting += 1
        try:
            with anyio.move_on_after(self._admission.waiting_secs_max) as waited:
                await self._slots.acquire_on_behalf_of(self)
        finally:
            self._stats.waiting -= 1
        if waited.cancelled_caught:
            raise self._busy()

    async def __aexit__(self, *_: object) -> None:
        self._slots.release_on_behalf_of(self)

    def _busy(self) -> ServerError:
        running = int(self._slots.total_tokens)
        return ServerError(
            202,
            "TOO_MANY_SIMULTANEOUS_QUERIES",
            f"Too many simultaneous queries: {running} run and {self._stats.waiting} wait."
            " Ask again later, or raise `read_endpoint.queries_max`",
        )


def _authorization(headers: Headers, parameters: dict[str, str]) -> str | None:
    """What the keyring takes; "" as password counts as none."""
    given = headers.get("authorization", "")
    if given:
        scheme, _, rest = given.partition(" ")
        if scheme.lower() == "basic":
            try:
                user_and_key = base64.b64decode(rest.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return given
            return given if user_and_key.partition(":")[2] else None
        return given
    key = headers.get("x-clickhouse-key", "") or parameters.get("password", "")
    return f"Bearer {key}" if key else None


async def _body(receive: Receive, bytes_max: int) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServerError(210, "NETWORK_ERROR", "The client went away")
        whole += message.get("body", b"")
        if len(whole) > bytes_max:
            message_text = f"The request is larger than {bytes_max} bytes"
            raise ServerError(307, "TOO_MANY_BYTES", message_text)
        if not message.get("more_body"):
            return bytes(whole)


async def _send_error(
    send: Send, error: ServerError, version: str, method: str, status: int = 0
) -> None:
    headers = error_headers(error)
    busy = error.name == "TOO_MANY_SIMULTANEOUS_QUERIES"
    if busy:
        headers["Retry-After"] = str(RETRY_AFTER_SECS)
    status = status or (429 if busy else error.status)
    await _send(send, status, headers, error_body(error, version), method)


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes, method: str) -> None:
    pairs: Iterable[tuple[bytes, bytes]] = [
        (name.lower().encode(), value.encode("latin-1", "replace"))
        for name, value in {**headers, "Content-Length": str(len(body))}.items()
    ]
    await send({"type": "http.response.start", "status": status, "headers": list(pairs)})
    if method == "HEAD":
        body = b""
    view = memoryview(body)
    for start in range(0, len(view), CHUNK_BYTES):
        chunk = bytes(view[start : start + CHUNK_BYTES])
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
