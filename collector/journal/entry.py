"""The values of the journal's interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector.journal.segment import RECORD_BYTES, RecordKind

if TYPE_CHECKING:
    from typing_extensions import Buffer

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record is: positions ascend in the order of commits."""

    segment: int
    record: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One record.  `payload` is the buffer that was appended, or bytes read back from disk."""

    position: Position
    kind: RecordKind
    payload: Buffer
    items: int
    """Spans, log records or events in the payload, as the caller of `append` counted them."""
    recovered: bool
    """Written by an earlier process."""

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, header included."""
        return RECORD_BYTES + memoryview(self.payload).nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """Sizes of a journal."""

    directory: Path
    bytes_max: int = 2048 * MIB
    """Unreleased records on disk, headers included; past it `append` refuses."""
    segment_bytes: int = 64 * MIB
    """A segment is closed before it would pass this; a larger record has one of its own."""
    cache_bytes: int = 64 * MIB
    """Committed records kept in memory for the reader; what is over is read back from disk."""
    waiting_bytes_max: int = 64 * MIB
    """Records that wait for the disk; past it `append` refuses."""
    retry_secs: float = 1.0
    """Delay that a refused sender is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStats:
    """A consistent picture; counters are of this process."""

    bytes: int
    """Unreleased, on disk."""
    bytes_max: int
    waiting_bytes: int
    cache_bytes: int
    segments: int
    unreleased_items: Mapping[RecordKind, int]
    lost_items: Mapping[RecordKind, int]
    """Committed or recovered by this process, and damaged on disk before the reader had them."""
    quarantined_ranges: int
    quarantined_bytes: int
    truncated_bytes: int
    """Unfinished records found at the start: writes that were never acknowledged."""
    commits: int
    """Groups made durable, one sync each."""
    committed_records: int
    committed_bytes: int
    sync_secs: float
    write_failures: int
    """Groups that failed."""
    failing: str
    """Why the newest group failed; "" when it succeeded."""
