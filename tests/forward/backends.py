"""OTLP backends over gRPC and HTTP that answer as they are told."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

REQUESTS: Final[dict[str, Any]] = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """One answer."""

    status: int = 0
    """gRPC code or HTTP status; 0 takes the request."""
    message: str = ""
    retry_secs: float | None = None
    rejected: int = 0
    wait_secs: float = 0.0


TAKES: Final = Says()


@dataclass
class Heard:
    """What a backend got, and what it says next."""

    answers: list[Says] = field(default_factory=list)
    """One by one; after the last the request is taken."""
    always: Says = TAKES
    requests: list[Any] = field(default_factory=list)
    """Those that were taken."""
    at: list[float] = field(default_factory=list)
    """When each attempt came (monotonic)."""
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, kind: str, body: bytes, headers: dict[str, str]) -> Says:
        with self.lock:
            self.at.append(time.monotonic())
            self.headers.append(headers)
            says = self.answers.pop(0) if self.answers else self.always
            if not says.status and not says.wait_secs:
                self.requests.append(REQUESTS[kind][0].FromString(body))
        if says.wait_secs:
            time.sleep(says.wait_secs)
        return says

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in list(self.requests)
            if isinstance(request, ExportTraceServiceRequest)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


def response(kind: str, says: Says) -> Any:
    found = REQUESTS[kind][1]()
    if says.rejected:
        name = {"traces": "rejected_spans", "logs": "rejected_log_records"}[kind]
        setattr(found.partial_success, name, says.rejected)
        found.partial_success.error_message = says.message
    return found


@contextmanager
def over_grpc(heard: Heard, port: int = 0) -> Iterator[int]:
    """Listens while the block runs; the port."""

    def export(kind: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def call(body: bytes, context: grpc.ServicerContext) -> bytes:
            given = {str(key): str(text) for key, text in context.invocation_metadata()}
            says = heard.hear(kind, body, given)
            if says.status:
                if says.retry_secs is not None:
                    status = status_pb2.Status(code=says.status, message=says.message)
                    delay = error_details_pb2.RetryInfo()
                    delay.retry_delay.FromNanoseconds(round(says.retry_secs * 1e9))
                    status.details.add().Pack(delay)
                    context.set_trailing_metadata(
                        (("grpc-status-details-bin", status.SerializeToString()),)
                    )
                code = next(each for each in grpc.StatusCode if each.value[0] == says.status)
                context.abort(code, says.message)
            return bytes(response(kind, says).SerializeToString())

        return call

    server = grpc.server(ThreadPoolExecutor(4))
    for kind, service in (("traces", "trace.v1.TraceService"), ("logs", "logs.v1.LogsService")):
        handler = grpc.unary_unary_rpc_method_handler(export(kind))
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    f"opentelemetry.proto.collector.{service}", {"Export": handler}
                ),
            )
        )
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        server.stop(0).wait(5)


@contextmanager
def over_http(heard: Heard, port: int = 0) -> Iterator[int]:
    """As `over_grpc`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            kind = self.path.rpartition("/")[2]
            says = heard.hear(kind, body, {k.lower(): v for k, v in self.headers.items()})
            status = status_pb2.Status(message=says.message)
            answer = status if says.status else response(kind, says)
            content = answer.SerializeToString()
            self.send_response(says.status or 200)
            if says.retry_secs is not None:
                self.send_header("Retry-After", f"{says.retry_secs:g}")
            self.send_header("Content-Length", str(len(content)))
            with contextlib.suppress(OSError):  # who waited for it has gone
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


OVER: Final = {"grpc": over_grpc, "http": over_http}
