"""What both servers do with an export request around its transport: admit, hold, take, count."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from anyio import CapacityLimiter, to_thread

from collector.errors import OverloadedError, RetryableError
from collector.model import Signal
from collector.receiver.auth import Keyring, Principal, Role
from collector.receiver.decompress import Coding, inflate
from collector.receiver.headers import ingest_attributes
from collector.receiver.intake import Encoding, ExportResult, Intake
from collector.receiver.settings import Limits
from collector.receiver.stats import ReceiverStats, Transport
from collector.receiver.status import Answer, answer_for
from otel_agentrun.propagation import NO_HEADERS

log: Final = logging.getLogger(__name__)

INLINE_BYTES_MAX: Final = 4 * 1024
"""Compressed bodies up to this size are inflated on the event loop: at deflate's best ratio (1032)
they become 4 MiB in about 3 ms; a thread costs 0.1 ms."""
INFLATERS: Final = 2
"""Threads that inflate; also bounds bytes that are not yet counted as held."""
STOPPING_RETRY_SECS: Final = 2.0
FRAMES: Final = 4
"""Stack frames in the log line of an unexpected error."""


class Hold:
    """Bytes that one request keeps in memory, counted against all of them."""

    __slots__ = ("_bytes_max", "_stats", "held")

    def __init__(self, stats: ReceiverStats, bytes_max: int) -> None:
        self._stats = stats
        self._bytes_max = bytes_max
        self.held = 0

    def take(self, count: int) -> None:
        """Raises OverloadedError when all requests together would pass the limit.

        A request alone always passes: its own size has a limit already.
        """
        others = self._stats.in_flight_bytes - self.held
        if others and self._stats.in_flight_bytes + count > self._bytes_max:
            raise OverloadedError(
                f"The collector holds {others} bytes of other requests that wait for their"
                f" acknowledgment; with this one it would pass {self._bytes_max}"
                " (`inflight_bytes_max`). Resend later.",
                "inflight_bytes",
            )
        self._stats.in_flight_bytes += count
        self.held += count


class Exchange:
    """One per process, used by both servers; on one event loop."""

    def __init__(
        self,
        intake: Intake,
        keyring: Keyring,
        stats: ReceiverStats,
        limits: Limits,
        *,
        takes_headers: bool = True,
        more_headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """`takes_headers`: headers of a request are attributes of its spans; `more_headers` are
        those that the config names, besides the known ones."""
        self._intake = intake
        self._keyring = keyring
        self.stats = stats
        self.limits = limits
        self._inflaters = CapacityLimiter(INFLATERS)
        self._refusing = False
        self._takes_headers = takes_headers
        self._more_headers = more_headers

    @property
    def is_anonymous(self) -> bool:
        """Whether requests need no key."""
        return self._keyring.is_empty

    def refuse(self) -> None:
        """From here on answer UNAVAILABLE / 503; requests that were admitted go on."""
        self._refusing = True

    def admit(
        self, authorization: str | None, *, peer_is_loopback: bool, peer_is_verified: bool
    ) -> Principal:
        """Raises RetryableError while stopping, UnauthenticatedError, ForbiddenError."""
        if self._refusing:
            raise RetryableError(
                "The collector is shutting down. Resend later.", "stopping", STOPPING_RETRY_SECS
            )
        principal = self._keyring.authenticate(
            authorization, peer_is_loopback=peer_is_loopback, peer_is_verified=peer_is_verified
        )
        principal.require(Role.INGEST)
        return principal

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """Accounts for one request's memory until it is answered."""
        hold = Hold(self.stats, self.limits.inflight_bytes_max)
        self.stats.in_flight += 1
        try:
            yield hold
        finally:
            self.stats.in_flight -= 1
            self.stats.in_flight_bytes -= hold.held

    async def inflate(self, body: bytes, coding: Coding, hold: Hold) -> bytes:
        """Raises PermanentError, TooLargeError, OverloadedError."""
        bytes_max = self.limits.decompressed_bytes_max
        if len(body) <= INLINE_BYTES_MAX:
            plain = inflate(body, coding, bytes_max)
        else:
            plain = await to_thread.run_sync(
                inflate, body, coding, bytes_max, limiter=self._inflaters
            )
        hold.take(len(plain))
        return plain

    async def export(
        self,
        transport: Transport,
        signal: Signal,
        body: bytes,
        *,
        encoding: Encoding,
        peer: str,
        principal: Principal,
        headers: list[tuple[str, str]],
    ) -> ExportResult:
        """Hand over an inflated body.  Raises what `Intake.export` raises."""
        self.stats.body_bytes[transport, signal.value] += len(body)
        taken = headers if self._takes_headers else []
        ingest, ignored = ingest_attributes(taken, principal.stamps, self._more_headers)
        self.stats.headers_ignored += ignored
        result = await self._intake.export(
            signal, body, encoding=encoding, peer=peer, ingest=ingest
        )
        outcome = "partial" if result.refused else "ok"
        self.stats.count(transport, signal.value, encoding, outcome)
        return result

    def failed(self, error: Exception, transport: Transport, signal: str, encoding: str) -> Answer:
        """Count a failure and say how to answer it; a bug is logged once per exception class.

        The log line has the class and the innermost frames, not the text: that may quote content.
        """
        answer = answer_for(error)
        self.stats.count(transport, signal, encoding, answer.outcome)
        if answer.outcome == "unexpected" and self.stats.count_unexpected(type(error).__name__):
            frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
            log.error(
                "request_failed error=%s transport=%s signal=%s encoding=%s at=%s"
                " (further ones are only counted)",
                type(error).__name__,
                transport,
                signal,
                encoding,
                " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames)),
            )
        return answer
