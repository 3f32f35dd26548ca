"""One request to a backend, and what its answer means.

Source: OTLP specification 1.x, "Failures" and "Throttling" of OTLP/gRPC and OTLP/HTTP.  In two
points it loses less than that: what an operator can repair (a key that is refused, a wrong path)
is kept and tried again, and RESOURCE_EXHAUSTED without RetryInfo is tried again as well.
"""

from __future__ import annotations

import email.utils
import gzip
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import grpc
import urllib3
from google.protobuf.message import DecodeError
from google.rpc import (  # type: ignore[import-untyped]  # published without types
    error_details_pb2,
    status_pb2,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.forward.settings import Backend
from collector.model import Signal

DELAY_SECS_MAX: Final = 600.0
"""A backend that asks for more is asked again sooner: it may have made a mistake."""
MESSAGE_CHARS: Final = 300
DETAILS_KEY: Final = "grpc-status-details-bin"
MESSAGE_BYTES_MAX: Final = 16 << 20
"""Of an answer."""

RESPONSES: Final[Mapping[Signal, Any]] = {
    Signal.TRACES: ExportTraceServiceResponse,
    Signal.LOGS: ExportLogsServiceResponse,
}
METHODS: Final = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
GRPC_RETRY: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS",
     "RESOURCE_EXHAUSTED"}
)  # fmt: skip
GRPC_REFUSED: Final = frozenset(
    {"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"}
)
GRPC_DOUBTFUL: Final = frozenset({"INTERNAL", "UNKNOWN"})
HTTP_RETRY: Final = frozenset({408, 429, 502, 503, 504})
HTTP_REFUSED: Final = frozenset({301, 302, 307, 308, 401, 403, 404, 405, 407})


class Outcome(Enum):
    TAKEN = "taken"
    RETRY = "retry"
    """Later, the same again."""
    REFUSED = "refused"
    """As RETRY, and a person has to repair something."""
    DOUBTFUL = "doubtful"
    """A failure inside the backend: a few times again, then it is the data."""
    TOO_LARGE = "too_large"
    """In halves."""
    REJECTED = "rejected"
    """Never again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    outcome: Outcome
    rejected: int = 0
    """Items that the backend did not take of a request it took."""
    message: str = ""
    reason: str = ""
    """Bounded label: the status."""
    delay_secs: float | None = None
    """What the backend asked for."""


class Sender(Protocol):
    def send(self, signal: Signal, body: bytes) -> Answer:
        """One serialized export request.  Never raises for what a backend or network does."""

    def close(self) -> None: ...


def sender(backend: Backend) -> Sender:
    """Raises OSError for a file of certificates or headers that cannot be read."""
    return GrpcSender(backend) if backend.protocol == "grpc" else HttpSender(backend)


def headers_of(backend: Backend) -> dict[str, str]:
    """Raises OSError."""
    found = dict(backend.headers)
    for name, path in backend.header_files.items():
        found[name] = Path(path).read_text(encoding="utf-8").strip()
    return found


def _pem(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


class GrpcSender:
    def __init__(self, backend: Backend) -> None:
        parts = urlsplit(backend.endpoint)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        target = f"{host}:{parts.port or 4317}"
        self._timeout_secs = backend.timeout_secs
        self._metadata = tuple((name.lower(), text) for name, text in headers_of(backend).items())
        compression = (
            grpc.Compression.Gzip
            if backend.compression == "gzip"
            else grpc.Compression.NoCompression
        )
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            # How often to try again is decided by who sends; 120 s would be added to that.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if parts.scheme == "https":
            credentials = grpc.ssl_channel_credentials(
                _pem(backend.ca_file), _pem(backend.key_file), _pem(backend.cert_file)
            )
            self._channel = grpc.secure_channel(target, credentials, options, compression)
        else:
            self._channel = grpc.insecure_channel(target, options, compression)
        self._calls = {
            signal: self._channel.unary_unary(method, bytes, RESPONSES[signal].FromString)
            for signal, method in METHODS.items()
        }

    def send(self, signal: Signal, body: bytes) -> Answer:
        try:
            response = self._calls[signal](
                body, timeout=self._timeout_secs, metadata=self._metadata
            )
        except grpc.RpcError as error:
            return grpc_answer(error)
        return taken(response)

    def close(self) -> None:
        self._channel.close()


def grpc_answer(error: Any) -> Answer:
    code = error.code().name
    message = f"{code}: {error.details() or ''}"[:MESSAGE_CHARS]
    delay = None
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            delay = retry_info(value)
    reason = code.lower()
    if code == "RESOURCE_EXHAUSTED" and delay is None and "larger than max" in message:
        outcome = Outcome.TOO_LARGE
    elif code in GRPC_RETRY:
        outcome = Outcome.RETRY
    elif code in GRPC_REFUSED:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.DOUBTFUL if code in GRPC_DOUBTFUL else Outcome.REJECTED
    return Answer(outcome=outcome, message=message, reason=reason, delay_secs=delay)


def retry_info(details: bytes) -> float | None:
    """Seconds of a `google.rpc.RetryInfo` in serialized status details."""
    try:
        for detail in status_pb2.Status.FromString(details).details:
            found = error_details_pb2.RetryInfo()
            if detail.Unpack(found):
                return float(found.retry_delay.ToNanoseconds()) / 1e9
    except DecodeError:
        pass
    return None


class HttpSender:
    def __init__(self, backend: Backend) -> None:
        tls: dict[str, Any] = {}
        if backend.endpoint.startswith("https"):
            tls = {
                "cert_reqs": "CERT_REQUIRED",
                "ca_certs": backend.ca_file or None,
                "cert_file": backend.cert_file or None,
                "key_file": backend.key_file or None,
            }
            for path in (backend.ca_file, backend.cert_file, backend.key_file):
                _pem(path)  # says which one cannot be read
        self._pool = urllib3.PoolManager(
            1, retries=False, timeout=urllib3.Timeout(total=backend.timeout_secs), **tls
        )
        base = backend.endpoint.rstrip("/")
        self._urls = {signal: f"{base}/v1/{signal.value}" for signal in RESPONSES}
        self._gzip = backend.compression == "gzip"
        self._headers = headers_of(backend) | {"Content-Type": "application/x-protobuf"}
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"

    def send(self, signal: Signal, body: bytes) -> Answer:
        content = gzip.compress(body, 1) if self._gzip else body
        try:
            response = self._pool.request(
                "POST", self._urls[signal], body=content, headers=self._headers, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            return Answer(
                outcome=Outcome.RETRY, message=str(error)[:MESSAGE_CHARS], reason="connection"
            )
        return http_answer(response.status, response.headers, response.data, signal)

    def close(self) -> None:
        self._pool.clear()


def http_answer(status: int, headers: Mapping[str, str], body: bytes, signal: Signal) -> Answer:
    if 200 <= status < 300:
        try:
            return taken(RESPONSES[signal].FromString(body))
        except DecodeError:  # JSON, or an empty page of a proxy: the status is the answer
            return Answer(outcome=Outcome.TAKEN)
    message = f"HTTP {status}"
    try:
        message += f": {status_pb2.Status.FromString(body).message}" if body else ""
    except DecodeError:
        message += f": {body[:200].decode(errors='replace')}"
    if status in HTTP_RETRY:
        outcome = Outcome.RETRY
    elif status in HTTP_REFUSED:
        outcome = Outcome.REFUSED
    elif status == 413:
        outcome = Outcome.TOO_LARGE
    else:
        outcome = Outcome.DOUBTFUL if status >= 500 else Outcome.REJECTED
    return Answer(
        outcome=outcome,
        message=message[:MESSAGE_CHARS],
        reason=f"http_{status}",
        delay_secs=retry_after(headers.get("Retry-After", ""), time.time()),
    )


def retry_after(text: str, now: float) -> float | None:
    """Seconds of a Retry-After header: a number or a date (RFC 9110)."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError):
        return None


def taken(response: Any) -> Answer:
    """A success, which may be a partial one."""
    partial = response.partial_success
    rejected = getattr(partial, "rejected_spans", 0) or getattr(partial, "rejected_log_records", 0)
    return Answer(
        outcome=Outcome.TAKEN,
        rejected=max(0, rejected),
        message=partial.error_message[:MESSAGE_CHARS],
    )
