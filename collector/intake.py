"""The way of a request up to its acknowledgment: decode, redact, journal."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import pyarrow.compute as pc

from collector import records
from collector.accounting import Accounting
from collector.decoding import DecodePool, Prepared
from collector.errors import PermanentError, Refusal, RetryableError
from collector.journal.journal import Journal
from collector.journal.segment import RecordKind
from collector.model import LOGS, SPANS, Signal
from collector.normalized import Normalized
from collector.pacing import Pace
from collector.receiver.intake import Encoding, ExportResult
from collector.runs.run import DeadLetter
from collector.tombstones import erased_rows, may_hold_erased

DEAD_LETTERS_MAX: Final = 1000
"""Letters about undecodable requests that wait for the next flush; older ones give way."""
ERROR_CHARS: Final = 500


class JournalIntake:
    """Acknowledges what is in the journal.  Implements `collector.receiver.intake.Intake`."""

    def __init__(self, pool: DecodePool, journal: Journal, accounting: Accounting) -> None:
        self._pool = pool
        self._journal = journal
        self._accounting = accounting
        self._pace = Pace(lambda: self.behind(), accounting.held)
        self.behind: Callable[[], int] = int
        """Spans that a working store has yet to take."""
        self.erased: frozenset[str] = frozenset()
        """Traces and runs that were erased: spans and log records of them are refused."""
        self.normalized = Normalized()
        """Steps of requests that are on their way through the journal."""
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_MAX)

    async def export(
        self,
        signal: Signal,
        body: bytes,
        *,
        encoding: Encoding,
        peer: str,
        ingest: Mapping[str, str],
    ) -> ExportResult:
        """See the protocol."""
        await self._pace.wait()
        try:
            prepared = await self._pool.prepare(signal, body, encoding, ingest)
        except PermanentError as error:
            self.dead_letters.append(_letter(signal, body, peer, error))
            raise
        if signal is Signal.METRICS:
            self._accounting.refused(signal, "not_stored", prepared.received)
            return ExportResult(received=prepared.received)
        if may_hold_erased(signal, prepared.trace_ids, self.erased):
            prepared = _without_erased(prepared, signal, self.erased)
        if prepared.payload is not None:
            kind = RecordKind.SPANS if signal is Signal.TRACES else RecordKind.LOGS
            if prepared.steps:
                self.normalized.put(prepared.payload, prepared.steps)
            try:
                appended = self._journal.append(kind, prepared.payload, prepared.items)
                await asyncio.wrap_future(appended)
            except RetryableError as error:
                self.normalized.take(prepared.payload)
                self._accounting.refused(signal, error.reason, prepared.items)
                raise
        for refusal in prepared.refused:
            self._accounting.refused(signal, refusal.reason, refusal.count)
        self._accounting.values(signal, cut=prepared.values_cut, redacted=prepared.values_redacted)
        return ExportResult(received=prepared.received, refused=prepared.refused)

    def close(self) -> None:
        self._pool.close()


def _without_erased(prepared: Prepared, signal: Signal, erased: frozenset[str]) -> Prepared:
    """Spans of an erased trace must not come back, late or resent."""
    if prepared.payload is None:
        return prepared
    batch = records.decode(prepared.payload, SPANS if signal is Signal.TRACES else LOGS)
    gone = erased_rows(signal, batch, erased)
    count = pc.sum(gone).as_py()
    if not count:
        return prepared
    rest = batch.filter(pc.invert(gone))
    refusal = Refusal("erased", count, "the trace was erased; nothing of it is taken again")
    return replace(
        prepared,
        steps=b"",
        payload=records.encode(rest).to_pybytes() if rest.num_rows else None,
        items=rest.num_rows,
        refused=(*prepared.refused, refusal),
    )


def _letter(signal: Signal, body: bytes, peer: str, error: PermanentError) -> DeadLetter:
    """What could not be decoded could not be redacted: size and hash, never the bytes."""
    return DeadLetter(
        at_ns=time.time_ns(),
        signal=signal.value,
        reason=error.reason,
        error=str(error)[:ERROR_CHARS],
        peer=peer,
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )
