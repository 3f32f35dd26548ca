"""What a receiver hands an export request to: the pipeline, seen from the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from collector.errors import Refusal
from collector.model import Signal

__all__ = ["Encoding", "ExportResult", "Intake", "Refusal"]

Encoding: TypeAlias = Literal["protobuf", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What became of one export request that was acknowledged."""

    received: int
    """Items (spans, log records, data points) in the request, refused ones included."""
    refused: tuple[Refusal, ...] = ()

    @property
    def refused_count(self) -> int:
        return sum(refusal.count for refusal in self.refused)


class Intake(Protocol):
    """Takes one export request.  When `export` returns, the receiver acknowledges."""

    async def export(
        self,
        signal: Signal,
        body: bytes,
        *,
        encoding: Encoding,
        peer: str,
        ingest: Mapping[str, str],
    ) -> ExportResult:
        """Take the serialized `Export*ServiceRequest` in `body` (already inflated).

        `peer` is `host:port` of the sender; `ingest` holds the attributes that the API key and the
        request's headers stand for (see `otel_agentrun.propagation`), the key's own values winning.

        Raises PermanentError (nothing of the request can ever be taken), TooLargeError,
        OverloadedError, RetryableError.  Anything else is answered as "resend later".  The call is
        cancelled when a gRPC client goes away or its deadline passes: that sender was told nothing
        and resends, so the request may be kept or dropped, but only whole.
        """
        ...
