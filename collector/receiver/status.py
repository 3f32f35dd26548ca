"""How errors are answered over OTLP: gRPC codes, HTTP codes and `google.rpc.Status`.

Source: OTLP specification 1.x, sections "Failures" and "OTLP/HTTP Throttling";
google/rpc/status.proto, google/rpc/error_details.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, TypeAlias

import grpc
from google.protobuf import json_format
from google.rpc import (  # type: ignore[import-untyped]  # published without types
    error_details_pb2,
    status_pb2,
)

from collector.errors import (
    ForbiddenError,
    OverloadedError,
    PermanentError,
    RetryableError,
    TooLargeError,
    UnauthenticatedError,
)
from collector.receiver.intake import Encoding

Header: TypeAlias = tuple[bytes, bytes]

MESSAGE_CHARS_MAX: Final = 1000
"""gRPC clients take 8 KiB of trailers by default, and the message is in them twice."""
UNEXPECTED_RETRY_SECS: Final = 5.0
DETAILS_KEY: Final = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A refusal of a whole request."""

    code: grpc.StatusCode
    http_code: int
    message: str
    outcome: str
    """Bounded label for counters."""
    retry_secs: float | None = None
    """When to resend; `None` is "do not"."""
    headers: tuple[Header, ...] = ()
    """HTTP headers beyond Retry-After."""

    def status(self) -> status_pb2.Status:
        code: int = self.code.value[0]
        status = status_pb2.Status(code=code, message=self.message[:MESSAGE_CHARS_MAX])
        if self.retry_secs is not None:
            delay = error_details_pb2.RetryInfo()
            delay.retry_delay.FromNanoseconds(round(self.retry_secs * 1e9))
            status.details.add().Pack(delay)
        return status

    def http_headers(self) -> tuple[Header, ...]:
        if self.retry_secs is None:
            return self.headers
        # Whole seconds (RFC 9110), never 0: that would be "at once".
        return (*self.headers, (b"retry-after", b"%d" % max(1, ceil(self.retry_secs))))

    def http_body(self, encoding: Encoding) -> bytes:
        if encoding == "protobuf":
            return bytes(self.status().SerializeToString())
        return json_format.MessageToJson(self.status(), indent=None).encode()

    def grpc_trailers(self) -> Sequence[tuple[str, bytes]]:
        return ((DETAILS_KEY, self.status().SerializeToString()),)


class Refused(Exception):
    """Carries an Answer that no class of `collector.errors` stands for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


def answer_for(error: BaseException) -> Answer:
    """The answer to an error.

    What is not one of ours is a bug here, not a fault of the sender's: UNAVAILABLE / 503, the codes
    that make SDKs resend, so that nothing is lost by it; its text stays here, it may quote content.
    """
    code = grpc.StatusCode
    match error:
        case Refused():
            return error.answer
        case UnauthenticatedError():
            challenge = ((b"www-authenticate", b'Bearer realm="otel-agentrun"'),)
            return _permanent(error, code.UNAUTHENTICATED, 401, challenge)
        case ForbiddenError():
            return _permanent(error, code.PERMISSION_DENIED, 403)
        case TooLargeError():
            return _permanent(error, code.RESOURCE_EXHAUSTED, 413)
        case PermanentError():
            return _permanent(error, code.INVALID_ARGUMENT, 400)
        case OverloadedError():
            return _retryable(error, code.RESOURCE_EXHAUSTED, 429)
        case RetryableError():
            return _retryable(error, code.UNAVAILABLE, 503)
        case _:
            return Answer(
                code=code.UNAVAILABLE,
                http_code=503,
                message=f"Internal error ({type(error).__name__}). Resend later;"
                " the collector's log and metrics have more.",
                outcome="unexpected",
                retry_secs=UNEXPECTED_RETRY_SECS,
            )


def _permanent(
    error: PermanentError, code: grpc.StatusCode, http: int, headers: tuple[Header, ...] = ()
) -> Answer:
    return Answer(
        code=code, http_code=http, message=str(error), outcome=error.reason, headers=headers
    )


def _retryable(error: RetryableError, code: grpc.StatusCode, http: int) -> Answer:
    return Answer(
        code=code,
        http_code=http,
        message=str(error),
        outcome=error.reason,
        retry_secs=error.retry_secs,
    )
