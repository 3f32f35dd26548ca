"""Real servers on 127.0.0.1, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not on the test's terminal."""


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """The client is gone: not on the test's terminal."""


@contextmanager
def wsgi(app: Callable[..., Any]) -> Iterator[str]:
    """URL of a WSGI application."""
    server = make_server("127.0.0.1", 0, app, ThreadingServer, QuietHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextmanager
def asgi(app: Callable[..., Any]) -> Iterator[str]:
    """URL of an ASGI application."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", lifespan="auto", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "uvicorn did not start"
            threading.Event().wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
