"""OTLP/HTTP as an ASGI application: `POST /v1/{traces,logs,metrics}`, protobuf or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio
import grpc

from collector.errors import RetryableError, TooLargeError
from collector.model import Signal
from collector.receiver.auth import is_loopback
from collector.receiver.browser import check_host, check_origin
from collector.receiver.decompress import Coding
from collector.receiver.exchange import Exchange, Hold
from collector.receiver.headers import first, text_headers
from collector.receiver.intake import Encoding
from collector.receiver.responses import export_response
from collector.receiver.settings import HttpSettings
from collector.receiver.stats import NO_SIGNAL
from collector.receiver.status import Answer, Header, Refused, answer_for

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS: Final[Mapping[str, Signal]] = {
    "/v1/traces": Signal.TRACES,
    "/v1/logs": Signal.LOGS,
    "/v1/metrics": Signal.METRICS,
    # Where Langfuse's exporters post.
    "/api/public/otel/v1/traces": Signal.TRACES,
}
ENCODINGS: Final[Mapping[str, Encoding]] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
}
MEDIA_TYPES: Final[Mapping[Encoding, bytes]] = {
    encoding: media_type.encode() for media_type, encoding in ENCODINGS.items()
}
CODINGS: Final[Mapping[str, Coding | None]] = {
    "": None,
    "identity": None,
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
}

TIMEOUT: Final = 408

DISCARD_BYTES_MAX: Final = 64 * 1024 * 1024
DISCARD_SECS: Final = 2.0
"""What is read and thrown away of a refused body, so that the sender comes to read the answer: a
connection closed while it still writes looks to it like a network fault, and it would resend."""


class Disconnected(Exception):
    """The sender went away before its body was complete: nobody is left to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request without its body, found acceptable."""

    signal: Signal
    encoding: Encoding
    coding: Coding | None
    length: int
    """Announced bytes; 0 for a chunked body."""


class HttpApp:
    """The application; one per listening port."""

    def __init__(self, settings: HttpSettings, exchange: Exchange) -> None:
        self._settings = settings
        self._exchange = exchange
        tls = settings.tls
        self._peer_is_verified = tls is not None and tls.client_ca_file is not None
        # A key is nothing that a browser sends by itself, and a rebound name fails TLS.
        self._asks_host = exchange.is_anonymous and tls is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = text_headers(scope["headers"])
        signal = PATHS.get(scope["path"].rstrip("/"))
        label = NO_SIGNAL if signal is None else signal.value
        encoding = ENCODINGS.get(_media_type(headers))
        answer_encoding: Encoding = encoding or "json"
        unread = _Unread(receive)
        try:
            body = await self._serve(scope, headers, unread)
        except Disconnected:
            self._exchange.stats.count("http", label, encoding or "none", "disconnected")
        except asyncio.CancelledError:
            # The grace period of a shutdown is over.  uvicorn made this task for this request alone
            # and it ends here; raising would make uvicorn answer 500, which nobody resends.
            answer = answer_for(RetryableError("The collector is shutting down.", "stopping"))
            self._exchange.stats.count("http", label, encoding or "none", answer.outcome)
            await _respond(send, answer, answer_encoding, close=True)
        except Exception as error:
            answer = self._exchange.failed(error, "http", label, encoding or "none")
            # Nothing to read away: who expects "100 Continue" reads this answer before it sends
            # anything, and who was too slow sends nothing.
            waits = not unread.begun and "expect" in dict(headers)
            is_silent = waits or answer.http_code == TIMEOUT
            rest_is_read = not is_silent and await unread.discard()
            await _respond(send, answer, answer_encoding, close=not rest_is_read)
        else:
            await _send(send, 200, ((b"content-type", MEDIA_TYPES[answer_encoding]),), body)

    async def _serve(self, scope: Scope, headers: list[tuple[str, str]], unread: _Unread) -> bytes:
        """The body of a 200 answer.  Raises what `answer_for` knows, or Disconnected."""
        host, port = scope["client"] or ("", 0)
        peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        check_origin(first(headers, "origin"), self._settings.allowed_origins)
        if self._asks_host:
            check_host(first(headers, "host"), self._settings.allowed_hosts)
        principal = self._exchange.admit(
            first(headers, "authorization"),
            peer_is_loopback=is_loopback(peer),
            peer_is_verified=self._peer_is_verified,
        )
        head = self._head(scope, headers)
        with self._exchange.hold() as hold:
            body = await self._body(head, unread, hold)
            if head.coding is not None:
                body = await self._exchange.inflate(body, head.coding, hold)
            result = await self._exchange.export(
                "http",
                head.signal,
                body,
                encoding=head.encoding,
                peer=peer,
                principal=principal,
                headers=headers,
            )
        return export_response(head.signal, result, head.encoding)

    def _head(self, scope: Scope, headers: list[tuple[str, str]]) -> Head:
        """Raises Refused, TooLargeError."""
        signal = PATHS.get(scope["path"].rstrip("/"))
        if signal is None:
            raise Refused(_not_found(scope["path"]))
        if scope["method"] != "POST":
            raise Refused(_wrong_method(scope["method"]))
        media_type = _media_type(headers)
        encoding = ENCODINGS.get(media_type)
        if encoding is None:
            raise Refused(_wrong_media_type(media_type))
        coding = (first(headers, "content-encoding") or "").strip().lower()
        if coding not in CODINGS:
            raise Refused(_wrong_coding(coding))
        length = first(headers, "content-length") or "0"
        head = Head(
            signal=signal,
            encoding=encoding,
            coding=CODINGS[coding],
            length=int(length) if length.isdecimal() else 0,
        )
        if head.length > self._settings.limits.request_bytes_max:
            raise self._too_large(f"of {head.length} bytes")
        return head

    async def _body(self, head: Head, unread: _Unread, hold: Hold) -> bytes:
        """The body as sent.  Raises TooLargeError, OverloadedError, Refused (too slow),
        Disconnected."""
        pieces: list[bytes] = []
        size = 0
        with anyio.move_on_after(self._settings.body_secs) as limit:
            async for piece in unread:
                size += len(piece)
                if size > self._settings.limits.request_bytes_max:
                    raise self._too_large("sent in chunks")
                hold.take(len(piece))
                pieces.append(piece)
        self._exchange.stats.wire_bytes["http", head.signal.value] += size
        if limit.cancelled_caught:
            raise Refused(_too_slow(self._settings.body_secs))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _too_large(self, what: str) -> TooLargeError:
        return TooLargeError(
            f"A request {what} is over the limit of {self._settings.limits.request_bytes_max} bytes"
            " (`request_bytes_max`). Send smaller batches, or compress."
        )


class _Unread:
    """The part of a body that has not been read yet."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True
        self.begun = False

    def __aiter__(self) -> _Unread:
        return self

    async def __anext__(self) -> bytes:
        """Raises Disconnected."""
        self.begun = True
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._more = False
                raise Disconnected
            self._more = message.get("more_body", False)
            if message["body"]:
                piece: bytes = message["body"]
                return piece
        raise StopAsyncIteration

    async def discard(self) -> bool:
        """Read the rest without keeping it, up to a limit; True when the body is at its end."""
        size = 0
        try:
            with anyio.move_on_after(DISCARD_SECS):
                async for piece in self:
                    size += len(piece)
                    if size > DISCARD_BYTES_MAX:
                        break
        except Disconnected:
            return False
        return not self._more


def _media_type(headers: Sequence[tuple[str, str]]) -> str:
    return (first(headers, "content-type") or "").partition(";")[0].strip().lower()


async def _respond(send: Send, answer: Answer, encoding: Encoding, *, close: bool) -> None:
    headers = (
        (b"content-type", MEDIA_TYPES[encoding]),
        *answer.http_headers(),
        *(((b"connection", b"close"),) if close else ()),
    )
    await _send(send, answer.http_code, headers, answer.http_body(encoding))


async def _send(send: Send, code: int, headers: tuple[Header, ...], body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": code, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def _not_found(path: str) -> Answer:
    return Answer(
        code=grpc.StatusCode.UNIMPLEMENTED,
        http_code=404,
        message=f"No such path: {path[:100]!r}. OTLP/HTTP takes POST on {', '.join(PATHS)};"
        " an exporter's endpoint without a path is the base URL alone.",
        outcome="not_found",
    )


def _wrong_method(method: str) -> Answer:
    return Answer(
        code=grpc.StatusCode.UNIMPLEMENTED,
        http_code=405,
        message=f"OTLP/HTTP takes POST, got {method}.",
        outcome="method",
        headers=((b"allow", b"POST"),),
    )


def _wrong_media_type(media_type: str) -> Answer:
    return Answer(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        http_code=415,
        message=f"Content-Type must be {' or '.join(ENCODINGS)}, got {media_type[:100]!r}.",
        outcome="media_type",
    )


def _wrong_coding(coding: str) -> Answer:
    return Answer(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        http_code=415,
        message=f"Content-Encoding must be gzip, deflate or absent, got {coding[:100]!r}.",
        outcome="coding",
        headers=((b"accept-encoding", b"gzip, deflate, identity"),),
    )


def _too_slow(secs: float) -> Answer:
    return Answer(
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
        http_code=TIMEOUT,
        message=f"The body did not arrive within {secs:g} s (`body_secs`).",
        outcome="slow_body",
    )
