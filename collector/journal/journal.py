"""The journal: what was acknowledged and is not yet known to be in the store, on disk.

Any thread appends; one thread of the journal's own writes and syncs what waits as one group; one
reader takes entries in order; any thread releases them.  docs/journal.md has the operator's view.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.errors import ConfigError, OverloadedError, RetryableError, TooLargeError
from collector.journal.entry import Entry, JournalSettings, JournalStats, Position
from collector.journal.ledger import Ledger, SegmentState
from collector.journal.lock import DirectoryLock
from collector.journal.quarantine import Quarantine, QuarantinedRange
from collector.journal.recovery import Recovery, recover, set_aside
from collector.journal.segment import (
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    RECORD_BYTES,
    Gap,
    Record,
    RecordKind,
    SegmentReader,
)
from collector.journal.writer import SegmentWriter, sync_directory

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "Entry",
    "Journal",
    "JournalSettings",
    "JournalStats",
    "Position",
    "QuarantinedRange",
    "RecordKind",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Append:
    kind: RecordKind
    payload: Buffer
    items: int
    size_bytes: int
    future: Future[Position]


class Journal:
    """See the module.  Use `open`; the methods may be called from any thread, `next` from one."""

    def __init__(
        self,
        settings: JournalSettings,
        on_commit: Callable[[Sequence[Entry]], None],
        lock: DirectoryLock,
        quarantine: Quarantine,
        recovery: Recovery,
    ) -> None:
        self._settings = settings
        self._on_commit = on_commit
        self._directory_lock = lock
        self._quarantine = quarantine
        self._truncated_bytes = recovery.truncated_bytes
        self._ledger = Ledger(recovery.segments)
        self._recovered: Mapping[RecordKind, int] = dict(self._ledger.unreleased.items)

        # Taken in this order; the first two are held during I/O, the last one never.
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._readable = threading.Condition(self._lock)

        self._cached: deque[Entry] = deque()
        self._cached_bytes = 0
        self._behind: tuple[SegmentState, int] | None = None
        """Segment and offset from which the reader goes on after the cache, when the cache did not
        take everything.  Until the reader has caught up, nothing more is cached."""
        self._go_to_unread()
        self._disk: tuple[int, SegmentReader] | None = None

        self._writer: SegmentWriter | None = None
        self._next_number = max(self._ledger.segments, default=0) + 1
        self._waiting: deque[_Append] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self._closed = False
        self._commits = 0
        self._committed_records = 0
        self._committed_bytes = 0
        self._sync_secs = 0.0
        self._write_failures = 0
        self._failing = ""
        self._committer = threading.Thread(target=self._run, name="journal-committer", daemon=True)

    @classmethod
    def open(
        cls, settings: JournalSettings, on_commit: Callable[[Sequence[Entry]], None]
    ) -> Journal:
        """Take the directory, check what is in it, start the committer.

        `on_commit` is called by the committer after the sync, before the entries can be read and
        before their futures resolve; it must not wait for anything that the journal does.  What is
        on disk is read once.  Raises `ConfigError` when the directory cannot be used.
        """
        directory = settings.directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = DirectoryLock(directory)
            try:
                quarantine = Quarantine(directory)
                journal = cls(settings, on_commit, lock, quarantine, recover(directory, quarantine))
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise ConfigError(
                f"journal directory {directory}: {error}.\n"
                "  Why: spans are acknowledged only once they are in the journal.\n"
                "  Fix: make it a directory that this user can write to, or choose another."
            ) from error
        journal._remove(journal._ledger.take_done())
        journal._committer.start()
        return journal

    @property
    def recovered(self) -> Mapping[RecordKind, int]:
        """Items found at the start, by kind."""
        return self._recovered

    @property
    def quarantined(self) -> Sequence[QuarantinedRange]:
        """Damage found by this process."""
        return tuple(self._quarantine.ranges)

    def stats(self) -> JournalStats:
        with self._lock:
            ranges = self.quarantined
            return JournalStats(
                bytes=self._ledger.unreleased.size_bytes,
                bytes_max=self._settings.bytes_max,
                waiting_bytes=self._waiting_bytes,
                cache_bytes=self._cached_bytes,
                segments=len(self._ledger.segments),
                unreleased_items={kind: self._ledger.unreleased.items[kind] for kind in RecordKind},
                lost_items={kind: self._ledger.lost[kind] for kind in RecordKind},
                quarantined_ranges=len(ranges),
                quarantined_bytes=sum(item.length_bytes for item in ranges),
                truncated_bytes=self._truncated_bytes,
                commits=self._commits,
                committed_records=self._committed_records,
                committed_bytes=self._committed_bytes,
                sync_secs=self._sync_secs,
                write_failures=self._write_failures,
                failing=self._failing,
            )

    def append(self, kind: RecordKind, payload: Buffer, items: int) -> Future[Position]:
        """Write a record; the future has its position once it is durable.

        `payload` (contiguous) must not change afterwards.  The future cannot be canceled.  It fails
        with `RetryableError` when the disk did not take the record.  Raises at once, having written
        nothing: `OverloadedError` (reason `journal_full` or `journal_slow`), `RetryableError` while
        closing, `TooLargeError` for what can never fit.
        """
        settings = self._settings
        payload_bytes = memoryview(payload).cast("B").nbytes
        assert 0 <= items < 2**32, items
        size = RECORD_BYTES + payload_bytes
        if size > settings.bytes_max or payload_bytes > PAYLOAD_BYTES_MAX:
            limit = min(settings.bytes_max - RECORD_BYTES, PAYLOAD_BYTES_MAX)
            raise TooLargeError(
                f"a record of {payload_bytes} bytes does not fit into the journal: at most {limit}"
            )
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._closing:
                raise RetryableError(
                    "the collector is shutting down; resend to its successor",
                    "shutting_down",
                    settings.retry_secs,
                )
            if self._ledger.unreleased.size_bytes + self._waiting_bytes + size > settings.bytes_max:
                raise OverloadedError(
                    f"the journal is full: {settings.bytes_max} bytes wait for the store; resend",
                    "journal_full",
                    settings.retry_secs,
                )
            if self._waiting and self._waiting_bytes + size > settings.waiting_bytes_max:
                raise OverloadedError(
                    f"the journal's disk is slow: {self._waiting_bytes} bytes wait; resend",
                    "journal_slow",
                    settings.retry_secs,
                )
            self._waiting.append(_Append(kind, payload, items, size, future))
            self._waiting_bytes += size
            self._work.notify()
        return future

    def next(self, timeout_secs: float) -> Entry | None:
        """The next entry: first what was recovered, then what is committed; `None` after the
        timeout or when the journal is closing.  One entry is given once."""
        deadline = time.monotonic() + timeout_secs
        with self._read_lock:
            while True:
                with self._lock:
                    if self._closing:
                        return None
                    if self._cached:
                        entry = self._cached.popleft()
                        self._cached_bytes -= entry.size_bytes
                        self._ledger.give(entry)
                        return entry
                    behind = self._behind
                    if behind is None:
                        remaining = deadline - time.monotonic()
                        if remaining <= 0:
                            return None
                        self._readable.wait(remaining)
                        continue
                    segment, offset = behind
                    end = segment.end
                try:
                    if (read := self._read_behind(segment, offset, end)) is not None:
                        return read
                except OSError as error:  # such as too many open files: nothing is lost, try again
                    log.error(
                        "journal_read_failed",
                        extra={"segment": segment.path.name, "error": str(error)},
                    )
                    with self._lock:
                        remaining = deadline - time.monotonic()
                        self._readable.wait(max(0.0, min(remaining, self._settings.retry_secs)))
                    if time.monotonic() >= deadline:
                        return None

    def release(self, upto: Position) -> None:
        """Every record up to and including `upto` is in the store with fsync.

        Records that `next` has not given stay.  A segment with nothing left in it is deleted, the
        active one only after it was closed.
        """
        with self._lock:
            self._ledger.release(upto)
            done = self._ledger.take_done()
        self._remove(done)

    def drop_released(self) -> None:
        """Close the active segment and delete every segment that is released entirely."""
        with self._write_lock, self._lock:
            self._close_writer()
            done = self._ledger.take_done()
        self._remove(done)

    def drop_quarantined(self) -> int:
        """Delete the copies of damaged ranges (erasure must reach them too); how many files.

        Raises `OSError`.
        """
        return self._quarantine.clear()

    def close(self) -> None:
        """Commit what waits, delete what is released, give the directory back.

        What is not released is read by the next process.  To end with an empty journal, stop
        appending, read and release everything, then close.
        """
        with self._lock:
            if self._closed:
                return
            self._closing = True
            self._work.notify_all()
            self._readable.notify_all()
        self._committer.join()
        with self._read_lock:
            self._close_disk()
        self.drop_released()
        with self._lock:
            self._closed = True
        self._directory_lock.release()

    # The committer.

    def _run(self) -> None:
        while group := self._take_group():
            self._commit(group)

    def _take_group(self) -> list[_Append]:
        """What waits, as far as one segment holds it; empty when closing and nothing waits."""
        segment_bytes = self._settings.segment_bytes
        with self._lock:
            while not self._waiting:
                if self._closing:
                    return []
                self._work.wait()
            length = HEADER_BYTES if self._writer is None else self._writer.length
            if length + self._waiting[0].size_bytes > segment_bytes:
                length = HEADER_BYTES  # it begins a new one
            group: list[_Append] = []
            while self._waiting:
                length += self._waiting[0].size_bytes
                if group and length > segment_bytes:
                    break
                group.append(self._waiting.popleft())
            return group

    def _commit(self, group: Sequence[_Append]) -> None:
        """Write, sync, account, publish, resolve, in this order."""
        size = sum(item.size_bytes for item in group)
        refusal: RetryableError | None = None
        entries: list[Entry] = []
        with self._write_lock:
            try:
                writer = self._writer_for(size)
                entries, ends = self._write(writer, group)
            except Exception as error:
                # The disk's refusal, or a bug of ours: either way these are not acknowledged.
                self._report_failure(error)
                refusal = RetryableError(
                    f"the journal could not be written: {error}; resend later",
                    "journal_write_failed",
                    self._settings.retry_secs,
                )
                with self._lock:
                    self._waiting_bytes -= size
            else:
                if self._failing:
                    log.warning("journal_write_resumed", extra={"failures": self._write_failures})
                self._account(entries)
                with self._lock:
                    self._waiting_bytes -= size
                    self._commits += 1
                    self._committed_records += len(group)
                    self._committed_bytes += size
                    self._failing = ""
                    self._publish(self._ledger.segments[writer.number], entries, ends)
        if refusal is not None:
            for item in group:
                item.future.set_exception(refusal)
        for item, entry in zip(group, entries, strict=refusal is None):
            item.future.set_result(entry.position)

    def _report_failure(self, error: Exception) -> None:
        """One line when it begins: a full disk fails every group."""
        if not self._failing:
            log.error(
                "journal_write_failed",
                extra={"directory": str(self._settings.directory), "error": str(error)},
                exc_info=None if isinstance(error, OSError) else error,
            )
        with self._lock:
            self._write_failures += 1
            self._failing = str(error) or type(error).__name__

    def _writer_for(self, size: int) -> SegmentWriter:
        """A segment that has room for `size` bytes.  Raises `OSError` when none can be made."""
        writer = self._writer
        if writer is not None:
            if writer.records == 0 or writer.length + size <= self._settings.segment_bytes:
                return writer
            self._discard_writer()
        number = self._next_number
        self._next_number += 1
        writer = SegmentWriter(self._settings.directory, number)
        with self._lock:
            self._writer = writer
            self._ledger.segments[number] = SegmentState(
                number, writer.path, writer.mark, active=True
            )
        return writer

    def _write(
        self, writer: SegmentWriter, group: Sequence[_Append]
    ) -> tuple[list[Entry], list[int]]:
        """The group as entries, durable, and their ends in the file.  Raises `OSError`."""
        first = writer.records
        synced_before = writer.sync_secs
        try:
            ends = writer.append([(item.kind, item.items, item.payload) for item in group])
        finally:
            with self._lock:
                self._sync_secs += writer.sync_secs - synced_before
            if writer.doubtful:
                self._discard_writer()
        entries = [
            Entry(Position(writer.number, number), item.kind, item.payload, item.items, False)
            for number, item in enumerate(group, first)
        ]
        return entries, ends

    def _account(self, entries: Sequence[Entry]) -> None:
        try:
            self._on_commit(entries)
        except Exception:
            # The records are durable and will be read: refusing them now would be a lie.
            log.exception("journal_on_commit_failed", extra={"records": len(entries)})

    def _publish(
        self, segment: SegmentState, entries: Sequence[Entry], ends: Sequence[int]
    ) -> None:
        for entry, end in zip(entries, ends, strict=True):
            self._ledger.commit(segment, entry, end)
            if self._behind is None:
                size = entry.size_bytes
                if self._cached_bytes + size <= self._settings.cache_bytes:
                    self._cached.append(entry)
                    self._cached_bytes += size
                else:
                    self._behind = (segment, end - size)
        self._readable.notify()

    def _discard_writer(self) -> None:
        with self._lock:
            self._close_writer()
            done = self._ledger.take_done()
        self._remove(done)

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._ledger.segments[self._writer.number].active = False
            self._writer = None

    # The reader.

    def _read_behind(self, segment: SegmentState, offset: int, end: int) -> Entry | None:
        """One step forward on disk; `None` when there was no record at this step.

        A segment that the reader is in has unread records, so that nobody deletes it meanwhile.
        Raises `OSError` for what may pass.
        """
        found: Record | Gap | None = None
        try:
            reader = self._reader_of(segment)
            known_end = segment.gaps.get(offset)
            if known_end is None:
                found = reader.read(offset, end)
            else:
                found = Gap(offset, known_end, truncated=False)
        except FileNotFoundError:
            log.error("journal_segment_missing", extra={"segment": segment.path.name})
        else:
            segment.keep = segment.keep or reader.unreadable_bytes > 0
            if isinstance(found, Gap) and known_end is None:
                set_aside(found, segment, reader, self._quarantine)
        if isinstance(found, Record):
            position = Position(segment.number, found.number)
            entry = Entry(position, found.kind, found.payload, found.items, segment.recovered)
            with self._lock:
                self._ledger.give(entry)
                if segment.unread.records:
                    self._behind = (segment, found.end)
                else:
                    self._go_to_unread()
            return entry
        with self._lock:
            if found is not None or segment.end > end:
                self._behind = (segment, end if found is None else found.end)
                return None
            lost = self._ledger.lose_unread(segment)
            self._go_to_unread()
            done = self._ledger.take_done()
        log.error(
            "journal_records_lost",
            extra={
                "segment": segment.path.name,
                "records": lost.records,
                "items": {kind.name: count for kind, count in lost.items.items() if count},
            },
        )
        self._remove(done)
        return None

    def _go_to_unread(self) -> None:
        """To the next segment with something unread; without any the cache takes over again."""
        segment = self._ledger.first_unread()
        self._behind = None if segment is None else (segment, HEADER_BYTES)

    def _reader_of(self, segment: SegmentState) -> SegmentReader:
        if self._disk is not None and self._disk[0] == segment.number:
            return self._disk[1]
        self._close_disk()
        self._disk = (segment.number, SegmentReader(segment.path, segment.mark))
        return self._disk[1]

    def _close_disk(self) -> None:
        if self._disk is not None:
            self._disk[1].close()
            self._disk = None

    def _remove(self, done: Sequence[SegmentState]) -> None:
        """Delete files.  Never raises: one that stays is read again at the next start, and its
        records are stored again, which changes nothing."""
        for segment in done:
            try:
                if segment.keep:
                    self._quarantine.keep(segment.path)
                else:
                    segment.path.unlink(missing_ok=True)
                sync_directory(self._settings.directory)
            except OSError as error:
                log.error(
                    "journal_remove_failed",
                    extra={"segment": segment.path.name, "error": str(error)},
                )
