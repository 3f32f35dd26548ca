"""OTLP/gRPC: the trace, logs and metrics services, and whatever else is served on that port."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import anyio
import grpc
from anyio.abc import TaskStatus

from collector.model import Signal
from collector.receiver.auth import is_loopback
from collector.receiver.decompress import grpc_coding
from collector.receiver.exchange import Exchange
from collector.receiver.headers import first, text_headers
from collector.receiver.responses import export_response
from collector.receiver.settings import GrpcSettings
from collector.receiver.status import Answer
from collector.receiver.tls import grpc_credentials

log: Final = logging.getLogger(__name__)

METHODS: Final[Mapping[str, Signal]] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": Signal.TRACES,
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": Signal.LOGS,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": Signal.METRICS,
}

STREAMS_MAX: Final = 256
"""Calls at once on one connection; further ones wait at the client."""
PING_MIN_MS: Final = 10_000
"""Clients may ping idle connections this often; the library's own 5 minutes closes them."""
KEEPALIVE_MS: Final = 60_000
"""A connection is asked for life after so much silence, and closed without an answer."""

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[bytes, Context], Awaitable[bytes]]


class ExportHandler(Handler):
    """The three Export methods on raw bytes: nothing is parsed here."""

    def __init__(self, exchange: Exchange, *, peer_is_verified: bool) -> None:
        self._exchange = exchange
        self._peer_is_verified = peer_is_verified
        self._handlers = {
            method: grpc.unary_unary_rpc_method_handler(self._unary(signal))
            for method, signal in METHODS.items()
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = self._handlers.get(handler_call_details.method)
        if handler is not None:
            self._exchange.stats.grpc_calls += 1
        return handler

    def _unary(self, signal: Signal) -> Unary:
        async def export(message: bytes, context: Context) -> bytes:
            try:
                return await self._export(signal, message, context)
            except Exception as error:
                answer = self._exchange.failed(error, "grpc", signal.value, "protobuf")
            return await _abort(context, answer)

        return export

    async def _export(self, signal: Signal, message: bytes, context: Context) -> bytes:
        exchange = self._exchange
        exchange.stats.wire_bytes["grpc", signal.value] += len(message)
        peer = context.peer()
        headers = text_headers(context.invocation_metadata() or ())
        principal = exchange.admit(
            first(headers, "authorization"),
            peer_is_loopback=is_loopback(peer),
            peer_is_verified=self._peer_is_verified,
        )
        with exchange.hold() as hold:
            hold.take(len(message))
            coding = grpc_coding(message)
            if coding is not None:
                message = await exchange.inflate(message, coding, hold)
            result = await exchange.export(
                "grpc",
                signal,
                message,
                encoding="protobuf",
                peer=peer.partition(":")[2] or peer,
                principal=principal,
                headers=headers,
            )
        return export_response(signal, result, "protobuf")


async def _abort(context: Context, answer: Answer) -> bytes:
    """Ends the call: `abort` raises."""
    status = answer.status()
    await context.abort(answer.code, status.message, answer.grpc_trailers())
    raise AssertionError("abort returned")


class GrpcReceiver:
    """One listening port.  `extra_handlers` are served beside OTLP (the control service)."""

    def __init__(
        self,
        settings: GrpcSettings,
        exchange: Exchange,
        *,
        extra_handlers: Sequence[Handler] = (),
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._extra_handlers = tuple(extra_handlers)
        self._stop = anyio.Event()
        self._stopped = anyio.Event()
        self._serving = False
        self._grace_secs = 0.0

    async def serve(self, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`; reports the bound port.  Raises ConfigError (TLS), OSError (bind).

        When cancelled, calls in flight are dropped; their senders resend.
        """
        self._serving = True
        server = grpc.aio.server(options=self._options())
        tls = self._settings.tls
        verified = tls is not None and tls.client_ca_file is not None
        server.add_generic_rpc_handlers(
            (ExportHandler(self._exchange, peer_is_verified=verified), *self._extra_handlers)
        )
        try:
            port = self._bind(server)
            await server.start()
            log.info("receiver_started transport=grpc host=%s port=%d", self._settings.host, port)
            task_status.started(port)
            await self._stop.wait()
        finally:
            # Calls that come from now on are UNAVAILABLE.
            with anyio.CancelScope(shield=True):
                await server.stop(self._grace_secs)
            self._stopped.set()

    async def stop(self, grace_secs: float) -> None:
        """Refuse new calls, let those in flight end within `grace_secs`, close."""
        self._grace_secs = grace_secs
        self._stop.set()
        if self._serving:
            await self._stopped.wait()

    def _bind(self, server: grpc.aio.Server) -> int:
        host, port = self._settings.host, self._settings.port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        tls = self._settings.tls
        try:
            bound = (
                server.add_insecure_port(address)
                if tls is None
                else server.add_secure_port(address, grpc_credentials(tls))
            )
        except RuntimeError as error:
            raise OSError(_bind_message(address)) from error
        if bound == 0:
            raise OSError(_bind_message(address))
        return bound

    def _options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.max_receive_message_length", self._settings.limits.request_bytes_max),
            # Compressed messages are inflated by us: off the event loop, within a limit of its own,
            # and counted.  An extra handler gets them as they are; our own clients do not compress.
            ("grpc.per_message_decompression", 0),
            # A second collector on the port must fail to start, not take half of the traffic.
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", STREAMS_MAX),
            ("grpc.http2.min_ping_interval_without_data_ms", PING_MIN_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ]


def _bind_message(address: str) -> str:
    return (
        f"OTLP/gRPC cannot listen on {address}.\n"
        "  Why: the port is in use, needs privileges, or the address is not of this machine.\n"
        "  Fix: stop the other process (another collector?) or set another port."
    )
