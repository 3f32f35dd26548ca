"""The way of a request up to its acknowledgment: decode, redact, journal."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from collector import records
from collector.accounting import Accounting
from collector.errors import PermanentError, Refusal, RetryableError
from collector.journal.journal import Journal
from collector.journal.segment import RecordKind
from collector.model import Decoded, Signal
from collector.receiver.decode import Decoder
from collector.receiver.intake import Encoding, ExportResult
from collector.runs.run import DeadLetter
from otel_agentrun.step import Event

DECODERS: Final = 2
DEAD_LETTERS_MAX: Final = 1000
"""Letters about undecodable requests that wait for the next flush; older ones give way."""
ERROR_CHARS: Final = 500


class JournalIntake:
    """Acknowledges what is in the journal.  Implements `collector.receiver.intake.Intake`."""

    def __init__(self, decoder: Decoder, journal: Journal, accounting: Accounting) -> None:
        self._decoder = decoder
        self._journal = journal
        self._accounting = accounting
        self._threads = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self.erased: Collection[str] = frozenset()
        """Trace ids that were erased: spans of them are refused."""
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
        loop = asyncio.get_running_loop()
        try:
            if signal is Signal.METRICS:
                count = await loop.run_in_executor(self._threads, self._count, body, encoding)
                self._accounting.refused(signal, "not_stored", count)
                return ExportResult(received=count)
            decoded, payload = await loop.run_in_executor(
                self._threads, self._prepare, signal, body, encoding, ingest
            )
        except PermanentError as error:
            self.dead_letters.append(_letter(signal, body, peer, error))
            raise
        items = decoded.batch.num_rows
        if payload is not None:
            kind = RecordKind.SPANS if signal is Signal.TRACES else RecordKind.LOGS
            try:
                appended = self._journal.append(kind, payload, items)
                await asyncio.wrap_future(appended)
            except RetryableError as error:
                self._accounting.refused(signal, error.reason, items)
                raise
        for refusal in decoded.refused:
            self._accounting.refused(signal, refusal.reason, refusal.count)
        self._accounting.values(signal, cut=decoded.values_cut, redacted=decoded.values_redacted)
        return ExportResult(received=decoded.received, refused=decoded.refused)

    async def record(self, events: list[Event]) -> None:
        """Journal events of the collector's own making.  Raises RetryableError."""
        appended = self._journal.append(
            RecordKind.EVENT, records.encode_events(events), len(events)
        )
        await asyncio.wrap_future(appended)

    def close(self) -> None:
        self._threads.shutdown()

    def _count(self, body: bytes, encoding: Encoding) -> int:
        if encoding == "json":
            return self._decoder.metrics_json(body)
        return self._decoder.metrics(body)

    def _prepare(
        self, signal: Signal, body: bytes, encoding: Encoding, ingest: Mapping[str, str]
    ) -> tuple[Decoded, pa.Buffer | None]:
        """Runs in a decoder thread; `None` when nothing is left to journal."""
        decoder = self._decoder
        if signal is Signal.TRACES:
            read = decoder.traces_json if encoding == "json" else decoder.traces
        else:
            read = decoder.logs_json if encoding == "json" else decoder.logs
        decoded = self._without_erased(read(body, received_at_ns=time.time_ns(), ingest=ingest))
        if decoded.batch.num_rows == 0:
            return decoded, None
        return decoded, records.encode(decoded.batch)

    def _without_erased(self, decoded: Decoded) -> Decoded:
        """Spans of an erased trace must not come back, late or resent."""
        erased = self.erased
        if not erased:
            return decoded
        batch = decoded.batch
        gone = pc.is_in(batch.column("TraceId"), value_set=pa.array(erased, pa.string()))
        count = pc.sum(gone).as_py() or 0
        if count == 0:
            return decoded
        refusal = Refusal("erased", count, "the trace was erased; nothing of it is taken again")
        return Decoded(
            batch=batch.filter(pc.invert(gone)),
            received=decoded.received,
            refused=(*decoded.refused, refusal),
            values_cut=decoded.values_cut,
            values_redacted=decoded.values_redacted,
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
