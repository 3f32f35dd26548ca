"""The OTLP/HTTP port: `HttpApp` on uvicorn, inside our own task group."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn
from anyio.abc import TaskStatus

from collector.receiver.exchange import Exchange
from collector.receiver.http_app import HttpApp
from collector.receiver.http_protocol import BoundedProtocol
from collector.receiver.settings import HttpSettings
from collector.receiver.tls import ssl_context

log: Final = logging.getLogger(__name__)

KEEP_ALIVE_SECS: Final = 75
"""Exporters send every 5 s by default; uvicorn's own 5 s would close under their hands."""
BACKLOG: Final = 1024
ABORT_SECS: Final = 1.0


class EmbeddedServer(uvicorn.Server):
    """uvicorn without its signal handlers, saying when it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the root task group."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    async def abort(self) -> None:
        """Close whatever is still open; requests in flight get time to say so to their senders."""
        for server in getattr(self, "servers", ()):
            server.close()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ABORT_SECS)
        for connection in list(self.server_state.connections):
            connection.transport.close()


class HttpReceiver:
    """One listening port."""

    def __init__(self, settings: HttpSettings, exchange: Exchange) -> None:
        self._settings = settings
        self._app = HttpApp(settings, exchange)
        self._stopped = anyio.Event()
        self._server: EmbeddedServer | None = None

    async def serve(self, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`; reports the bound port.  Raises ConfigError (TLS), OSError (bind).

        When cancelled, requests in flight are dropped; their senders resend.
        """
        try:
            with self._listen() as listener:
                port: int = listener.getsockname()[1]

                def started() -> None:
                    log.info(
                        "receiver_started transport=http host=%s port=%d",
                        self._settings.host,
                        port,
                    )
                    task_status.started(port)

                self._server = EmbeddedServer(self._config(), started)
                try:
                    await self._server.serve(sockets=[listener])
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._server.abort()
        finally:
            self._stopped.set()

    async def stop(self, grace_secs: float) -> None:
        """Refuse new connections, let requests in flight end within `grace_secs`, close."""
        if self._server is None:
            return
        # uvicorn hands it to `asyncio.wait_for`, which takes fractions.
        self._server.config.timeout_graceful_shutdown = grace_secs  # type: ignore[assignment]
        self._server.should_exit = True
        await self._stopped.wait()

    def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        try:
            family, *_, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            return socket.create_server(
                address[:2], family=socket.AddressFamily(family), backlog=BACKLOG
            )
        except OSError as error:
            raise OSError(
                f"OTLP/HTTP cannot listen on {host}:{port}: {error}.\n"
                "  Why: the port is in use, needs privileges, or the address is not of this"
                " machine.\n"
                "  Fix: stop the other process (another collector?) or set another port."
            ) from error

    def _config(self) -> uvicorn.Config:
        protocol = type("Protocol", (BoundedProtocol,), {"head_secs": self._settings.head_secs})
        config = uvicorn.Config(
            self._app,
            http=protocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECS,
        )
        config.load()
        if self._settings.tls is not None:
            config.ssl = ssl_context(self._settings.tls)
        return config
