"""Counters of the receivers: written from the event loop's thread, read by a metrics page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

Transport: TypeAlias = Literal["grpc", "http"]

NO_SIGNAL: Final = "none"
"""Label of requests that were refused before their path named a signal."""
LABELS_MAX: Final = 64
"""Distinct outcomes and exception names kept; further ones count as `other`."""


class RequestKey(NamedTuple):
    transport: Transport
    signal: str
    encoding: str
    """`protobuf`, `json`, or `none` when the media type is neither."""
    outcome: str
    """`ok`, `partial`, or the reason of the refusal."""


@dataclass(slots=True)
class ReceiverStats:
    """What both servers count, since the process started."""

    requests: Counter[RequestKey] = field(default_factory=Counter)
    """{request}"""
    wire_bytes: Counter[tuple[Transport, str]] = field(default_factory=Counter)
    """Bytes of bodies as sent, by (transport, signal)."""
    body_bytes: Counter[tuple[Transport, str]] = field(default_factory=Counter)
    """Bytes of bodies after inflating, by (transport, signal)."""
    grpc_calls: int = 0
    """{request} gRPC export calls begun.  What this has beyond finished and running requests was
    refused or dropped by the gRPC library before a handler saw it: over-long messages, clients that
    went away."""
    headers_ignored: int = 0
    """{header} that would have been mapped to attributes, but are malformed."""
    unexpected: Counter[str] = field(default_factory=Counter)
    """{request} that failed by a bug, by exception class."""
    in_flight: int = 0
    """{request} being served now."""
    in_flight_bytes: int = 0
    """Bytes of bodies held for them."""

    def count(self, transport: Transport, signal: str, encoding: str, outcome: str) -> None:
        key = RequestKey(transport, signal, encoding, outcome)
        if key not in self.requests and len(self.requests) >= LABELS_MAX * 8:
            key = key._replace(outcome="other")
        self.requests[key] += 1

    def count_unexpected(self, name: str) -> bool:
        """Count a failure by its exception class; True when it is the first of its class."""
        if name not in self.unexpected and len(self.unexpected) >= LABELS_MAX:
            name = "other"
        self.unexpected[name] += 1
        return self.unexpected[name] == 1
