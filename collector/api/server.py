"""Serving the API inside the collector's task group (uvicorn without its process management)."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Iterator

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the root task group's business."""
        yield


async def serve_api(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    drain_secs: float = 2.0,
    before_stop: Callable[[], None] = lambda: None,
    name: str = "api",
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the bound port (`port` 0 picks one).

    When cancelled it calls `before_stop` (which ends followers of `/v1/events`), takes no more
    requests, and lets those in flight finish for at most `drain_secs`.  Raises OSError when the
    address cannot be bound.
    """
    listener = bind(host, port, name)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,  # the peer's address decides about loopback
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain_secs)),
        timeout_keep_alive=30,
    )
    config.load()
    if tls is not None:
        config.ssl = tls
    server = _Server(config)
    server.lifespan = config.lifespan_class(config)
    try:
        await server.startup(sockets=[listener])
        task_status.started(listener.getsockname()[1])
        await server.main_loop()
    finally:
        before_stop()
        with anyio.move_on_after(drain_secs + 1, shield=True):
            await server.shutdown(sockets=[listener])
        listener.close()


def bind(host: str, port: int, name: str = "api") -> socket.socket:
    """A listening socket.  Raises OSError that says what holds the port and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        fix = "use an address of this machine and a port above 1023"
        if error.errno == errno.EADDRINUSE:
            fix = "stop what listens there (another collector?), or set another port"
        raise OSError(
            f"{name}: cannot listen on {host}:{port}: {error.strerror}.\n  Fix: {fix}."
        ) from error
    listener.setblocking(False)
    return listener
