"""The control stream (schemas/control.proto): one bidirectional call per application process.

Up come reports, which are journaled like OTLP logs, and confirmed once they are durable; down go
directives.  Bytes that are no message cost one message; an application that takes too slowly loses
its connection and gets with the next one what it missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError

from collector.control.control import Control
from collector.control.messages import received, run_facts, welcome
from collector.control.sessions import Session
from collector.errors import (
    OverloadedError,
    PermanentError,
    RetryableError,
)
from collector.model import Signal
from collector.receiver.auth import Principal, is_loopback
from collector.receiver.exchange import Exchange
from collector.receiver.headers import first, text_headers
from collector.receiver.status import answer_for
from otel_agentrun import control_pb2 as pb
from otel_agentrun import semconv

__all__ = ["METHOD", "ControlHandler"]

log = logging.getLogger(__name__)

METHOD: Final = "/agentrun.control.v1.Control/Connect"
HELLO_SECS: Final = 10.0
"""A connection that does not say who it is takes a place."""
OUTBOX_MAX: Final = 10_000
"""Messages that wait for one application."""
BAD_MAX: Final = 100
"""Messages of one stream that could not be read; what sends more is no application of ours."""
NAME_CHARS_MAX: Final = 200

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler

Context = grpc.aio.ServicerContext[Any, Any]


class ControlHandler(Handler):
    """Served beside OTLP (`extra_handlers` of GrpcReceiver), on raw bytes."""

    def __init__(
        self,
        control: Control,
        exchange: Exchange,
        *,
        streams_max: int,
        peer_is_verified: bool = False,
    ) -> None:
        self._control = control
        self._exchange = exchange
        self._streams_max = streams_max
        self._peer_is_verified = peer_is_verified
        self._streams = 0
        self._handler = grpc.stream_stream_rpc_method_handler(self._connect)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handler if handler_call_details.method == METHOD else None

    async def _connect(self, messages: AsyncIterator[bytes], context: Context) -> None:
        try:
            principal = self._admit(context)
        except (PermanentError, RetryableError) as error:
            await self._end(context, error)
            return
        self._streams += 1
        self._control.stats.opened(1)
        try:
            await _Stream(self._control, self._exchange, principal, messages, context).run()
        except Exception as error:  # a bug costs its stream, and is logged
            await self._end(context, error)
        finally:
            self._streams -= 1
            self._control.stats.opened(-1)

    async def _end(self, context: Context, error: Exception) -> None:
        """Refuse or end a stream, and count it."""
        answer = answer_for(error)
        if answer.outcome == "unexpected":
            self._exchange.failed(error, "grpc", "control", "protobuf")
        self._control.stats.refuse(answer.outcome)
        await context.abort(answer.code, answer.status().message, answer.grpc_trailers())

    def _admit(self, context: Context) -> Principal:
        """Raises PermanentError, RetryableError."""
        headers = text_headers(context.invocation_metadata() or ())
        principal = self._exchange.admit(
            first(headers, "authorization"),
            peer_is_loopback=is_loopback(context.peer()),
            peer_is_verified=self._peer_is_verified,
        )
        if self._streams >= self._streams_max:
            raise OverloadedError(
                f"{self._streams} applications are connected, which is the limit"
                " (`control.streams_max`). Reports can be sent as OTLP logs meanwhile.",
                "streams",
                30.0,
            )
        return principal


class _Stream:
    """One call."""

    def __init__(
        self,
        control: Control,
        exchange: Exchange,
        principal: Principal,
        messages: AsyncIterator[bytes],
        context: Context,
    ) -> None:
        self._control = control
        self._exchange = exchange
        self._principal = principal
        self._messages = messages
        self._context = context
        self._headers = text_headers(context.invocation_metadata() or ())
        self._workspace = principal.stamps.get(semconv.WORKSPACE, "")
        self._bad = 0

    async def run(self) -> None:
        """Until either side ends it.  Raises PermanentError, RetryableError."""
        hello = await self._hello()
        session = Session(
            application_id=hello.application_id[:NAME_CHARS_MAX],
            service_name=hello.service_name[:NAME_CHARS_MAX],
            sdk_version=hello.sdk_version[:NAME_CHARS_MAX],
            key_name=self._principal.name,
            workspace=self._workspace,
            can_stop=hello.can_stop,
            can_pause=hello.can_pause,
            loop=asyncio.get_running_loop(),
            outbox=asyncio.Queue(OUTBOX_MAX),
        )
        session.put(welcome(self._control.collector_id))
        before = self._control.connected(
            session, [run_facts(run, self._workspace) for run in hello.runs]
        )
        if before is not None:
            before.loop.call_soon_threadsafe(before.put, None)
        log.info(
            "application_connected",
            extra={"service": session.service_name, "runs": len(hello.runs)},
        )
        reading = asyncio.create_task(self._read(session))
        writing = asyncio.create_task(self._write(session))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._control.sessions.close(session)
            for task in (reading, writing):
                task.cancel()
            ended = await asyncio.gather(reading, writing, return_exceptions=True)
        # Writing fails when the application is gone: nothing to be said about that.
        if isinstance(ended[0], Exception):
            raise ended[0]
        if session.overflowed:
            self._control.stats.drop("slow_application")
            raise OverloadedError(
                "The application does not take what it is sent. Connect again.", "slow", 1.0
            )

    async def _hello(self) -> pb.Hello:
        try:
            async with asyncio.timeout(HELLO_SECS):
                message = pb.Up.FromString(await anext(self._messages))
        except StopAsyncIteration:
            raise PermanentError("The stream ended before a Hello.", "no_hello") from None
        except TimeoutError:
            raise PermanentError(f"No Hello within {HELLO_SECS:g} seconds.", "no_hello") from None
        except DecodeError:
            raise PermanentError("The first message is no `Up`.", "no_hello") from None
        if message.WhichOneof("message") != "hello" or not message.hello.application_id:
            raise PermanentError("The first message must be a Hello with an id.", "no_hello")
        return message.hello

    async def _write(self, session: Session) -> None:
        while (message := await session.outbox.get()) is not None:
            await self._context.write(message)

    async def _read(self, session: Session) -> None:
        async for message in self._messages:
            try:
                up = pb.Up.FromString(message)
            except DecodeError:
                up = pb.Up()
            if up.WhichOneof("message") == "reports":
                await self._take(session, up.reports)
                continue
            self._control.stats.drop("bad_message")
            self._bad += 1
            if self._bad >= BAD_MAX:
                raise PermanentError(f"{BAD_MAX} messages are no reports.", "bad_messages")

    async def _take(self, session: Session, reports: pb.Reports) -> None:
        """Routing first, since a directive may wait for a run; then the journal."""
        started = [run_facts(run, self._workspace) for run in reports.started]
        if started or reports.ended:
            self._control.reported(session, started, reports.ended)
        error = ""
        while reports.logs:
            try:
                await self._journal(reports.logs)
                break
            except PermanentError as refused:
                self._exchange.failed(refused, "grpc", Signal.LOGS.value, "protobuf")
                error = str(refused)
                break
            except RetryableError as full:
                # What is not taken waits here, and the application's own buffer behind it.
                self._exchange.failed(full, "grpc", Signal.LOGS.value, "protobuf")
                await asyncio.sleep(full.retry_secs)
        session.put(received(reports.sequence, error))

    async def _journal(self, logs: bytes) -> None:
        peer = self._context.peer()
        with self._exchange.hold() as hold:
            hold.take(len(logs))
            await self._exchange.export(
                "grpc",
                Signal.LOGS,
                logs,
                encoding="protobuf",
                peer=peer.partition(":")[2] or peer,
                principal=self._principal,
                headers=self._headers,
            )
