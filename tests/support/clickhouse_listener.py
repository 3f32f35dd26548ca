"""The HTTP/1.1 transport of the double: a thread per connection, and control over its end."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from threading import Condition
from typing import Any, Final

from collector.clickhouse_http.errors import ServerError
from tests.support.clickhouse_request import Request, Response, error_response

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 256 * 2**20
CHUNK_BYTES: Final = 64 * 2**10
CONNECTIONS_MAX: Final = 128
IDLE_SECS: Final = 60
STOP_SECS: Final = 10
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST instead of FIN."""

Respond = Callable[[Request], Response | None]
"""`None`: reset the connection without an answer."""


def bound(port: int) -> socket.socket:
    """Several sockets may be bound to one port as long as one listens."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens on `port` of the loopback interface; `serve_forever` accepts."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, port: int, respond: Respond, on_bug: Callable[[str], None]) -> None:
        super().__init__((HOST, port), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound(port)
        self.server_activate()
        self.respond = respond
        self._on_bug = on_bug
        self._open: set[socket.socket] = set()
        self._changed = Condition()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._changed:
            if len(self._open) >= CONNECTIONS_MAX:
                return False
            self._open.add(request)
            return True

    def shutdown_request(self, request: Any) -> None:
        request.close()
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the double."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self._on_bug(repr(error))

    def end(self) -> None:
        """Stop listening, reset what is open and wait for its threads."""
        self.shutdown()
        self.server_close()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    connection.shutdown(socket.SHUT_RDWR)
            if not self._changed.wait_for(lambda: not self._open, timeout=STOP_SECS):
                self._on_bug(f"{len(self._open)} connections did not end")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Listener
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `ClickHouseDouble.seen` is the log."""

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            error = ServerError(381, "HTTP_LENGTH_REQUIRED", "The request has no length")
            response: Response | None = error_response(error, "unknown")
        else:
            request = Request(
                method=self.command, target=self.path, headers=self.headers, body=body
            )
            response = self.server.respond(request)
        if response is None:
            self._reset()
            return
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "keep-alive")
        self.end_headers()
        if response.cut:
            self.wfile.write(_chunk(response.body)[: -(len(response.body) // 2 + 2)])
            self._reset()
            return
        parts = range(0, len(response.body), CHUNK_BYTES)
        chunks = [_chunk(response.body[start : start + CHUNK_BYTES]) for start in parts]
        self.wfile.write(b"".join((*chunks, b"0\r\n\r\n")))

    def _body(self) -> bytes | None:
        """`None` where the request does not say how long it is."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        if "Content-Length" not in self.headers:
            return b"" if self.command == "GET" else None
        return self._read(int(self.headers["Content-Length"]))

    def _chunks(self) -> bytes:
        whole = bytearray()
        while size := int(self.rfile.readline(1024).split(b";")[0] or b"-1", 16):
            if size < 0 or len(whole) + size > BODY_BYTES_MAX:
                raise ConnectionAbortedError("the client went away, or sends too much")
            whole += self._read(size)
            self._read(2)
        while self.rfile.readline(1024).strip():
            pass
        return bytes(whole)

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size) if size <= BODY_BYTES_MAX else b""
        if len(data) != size:
            raise ConnectionAbortedError("the client went away, or sends too much")
        return data

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
