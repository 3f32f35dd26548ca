"""Which records are in which segment and how far they have come; no I/O and no locks.

Nothing is kept per record, except for those that the reader has and did not release: a full journal
of small records would otherwise fill the memory with its own index.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.journal.entry import Entry, Position
from collector.journal.segment import HEADER_BYTES, RecordKind


@dataclass(slots=True)
class Tally:
    """A number of records: their bytes on disk (headers included) and their items by kind."""

    records: int = 0
    size_bytes: int = 0
    items: Counter[RecordKind] = field(default_factory=Counter)

    def add(self, kind: RecordKind, items: int, size_bytes: int) -> None:
        self.records += 1
        self.size_bytes += size_bytes
        self.items[kind] += items

    def remove(self, kind: RecordKind, items: int, size_bytes: int) -> None:
        self.records -= 1
        self.size_bytes -= size_bytes
        self.items[kind] -= items

    def add_all(self, other: Tally) -> None:
        self.records += other.records
        self.size_bytes += other.size_bytes
        self.items.update(other.items)

    def remove_all(self, other: Tally) -> None:
        self.records -= other.records
        self.size_bytes -= other.size_bytes
        self.items.subtract(other.items)


@dataclass(slots=True)
class SegmentState:
    """What is known of one segment file."""

    number: int
    path: Path
    mark: bytes
    end: int = HEADER_BYTES
    """Bytes that are durable."""
    recovered: bool = False
    active: bool = False
    unreleased: int = 0
    """Records that are not known to be in the store."""
    unread: Tally = field(default_factory=Tally)
    """Records that the reader has not been given."""
    gaps: dict[int, int] = field(default_factory=dict)
    """Offset to end of what was found to be no record: the reader skips it, also where a sector
    that did not answer at the start does so later, so that counts stay exact."""
    keep: bool = False
    """Damaged bytes could not be read or copied: the file is moved to the quarantine when its
    records are released, instead of being deleted."""


class Ledger:
    """All segments, oldest first."""

    def __init__(self, segments: Sequence[SegmentState]) -> None:
        self.segments = {segment.number: segment for segment in segments}
        self.unreleased = Tally()
        self.lost: Counter[RecordKind] = Counter()
        self._given: deque[tuple[Position, RecordKind, int, int]] = deque()
        """(position, kind, items, bytes) of what the reader has and did not release."""
        for segment in segments:
            segment.unreleased = segment.unread.records
            self.unreleased.add_all(segment.unread)

    def commit(self, segment: SegmentState, entry: Entry, end: int) -> None:
        size = entry.size_bytes
        segment.end = end
        segment.unreleased += 1
        segment.unread.add(entry.kind, entry.items, size)
        self.unreleased.add(entry.kind, entry.items, size)

    def give(self, entry: Entry) -> None:
        """The reader has `entry`."""
        size = entry.size_bytes
        self.segments[entry.position.segment].unread.remove(entry.kind, entry.items, size)
        self._given.append((entry.position, entry.kind, entry.items, size))

    def release(self, upto: Position) -> None:
        """What the reader has, up to and including `upto`, is in the store."""
        while self._given and self._given[0][0] <= upto:
            position, kind, items, size = self._given.popleft()
            self.segments[position.segment].unreleased -= 1
            self.unreleased.remove(kind, items, size)

    def lose_unread(self, segment: SegmentState) -> Tally:
        """The reader is at the end of `segment`; what it was not given is not there any more."""
        missing, segment.unread = segment.unread, Tally()
        segment.unreleased -= missing.records
        self.unreleased.remove_all(missing)
        self.lost.update(missing.items)
        return missing

    def first_unread(self) -> SegmentState | None:
        """The oldest segment with something for the reader."""
        return next((state for state in self.segments.values() if state.unread.records), None)

    def take_done(self) -> list[SegmentState]:
        """Closed segments with nothing left in them, removed from here."""
        done = [
            state for state in self.segments.values() if not state.active and not state.unreleased
        ]
        for state in done:
            del self.segments[state.number]
        return done
