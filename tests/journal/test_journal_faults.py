"""What the journal does when the disk fails: it says so, acknowledges nothing it is unsure of, and
goes on."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from collector.errors import RetryableError
from collector.journal.journal import Journal, RecordKind
from collector.journal.segment import HEADER_BYTES, RECORD_BYTES
from tests.journal.builders import (
    MARK,
    a_segment,
    opened,
    payloads_of,
    put,
    put_segment,
    segment_files,
    take_all,
)


class Disk:
    """The system's calls, each of which fails while its error is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writev_error = self.fdatasync_error = self.ftruncate_error = self.fsync_error = 0
        self.open_error = 0
        self.partial_bytes = 0
        """What a failing write puts into the file first."""
        self.writev_bytes_max = 0
        """The most that one write takes; 0: everything."""
        self.synced: list[int] = []
        self._writev, self._fdatasync = os.writev, os.fdatasync
        self._ftruncate, self._fsync, self._open = os.ftruncate, os.fsync, os.open
        for name in ("writev", "fdatasync", "ftruncate", "fsync", "open"):
            monkeypatch.setattr(os, name, getattr(self, name))

    def writev(self, fd: int, buffers: Sequence[memoryview]) -> int:
        data = b"".join(buffers)
        if self.writev_error:
            if self.partial_bytes:
                os.write(fd, data[: self.partial_bytes])
            raise OSError(self.writev_error, os.strerror(self.writev_error))
        return self._writev(fd, [data[: self.writev_bytes_max or None]])

    def fdatasync(self, fd: int) -> None:
        self.synced.append(fd)
        self._fail(self.fdatasync_error)
        self._fdatasync(fd)

    def ftruncate(self, fd: int, length: int) -> None:
        self._fail(self.ftruncate_error)
        self._ftruncate(fd, length)

    def fsync(self, fd: int) -> None:
        self._fail(self.fsync_error)
        self._fsync(fd)

    def open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(".segment"):
            self._fail(self.open_error)
        return self._open(path, flags, *args, **kwargs)

    @staticmethod
    def _fail(error: int) -> None:
        if error:
            raise OSError(error, os.strerror(error))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def refused(journal: Journal, payload: bytes) -> RetryableError:
    error = journal.append(RecordKind.SPANS, payload, 1).exception(10)
    assert isinstance(error, RetryableError)
    return error


@pytest.mark.parametrize("partial_bytes", [0, 5, RECORD_BYTES + 3, 10_000])
def test_a_full_disk_fails_the_group_and_leaves_nothing_of_it(
    tmp_path: Path, disk: Disk, partial_bytes: int
) -> None:
    """The sender resends; what was half written is cut off, so that the segment goes on."""
    with opened(tmp_path) as journal:
        put(journal, b"before")
        disk.writev_error, disk.partial_bytes = errno.ENOSPC, partial_bytes
        assert refused(journal, b"lost" * 20).reason == "journal_write_failed"
        assert "No space left" in journal.stats().failing
        assert journal.stats().waiting_bytes == 0
        disk.writev_error = 0
        put(journal, b"after")
        stats = journal.stats()

        assert payloads_of(take_all(journal)) == [b"before", b"after"]
        assert (stats.write_failures, stats.failing, stats.segments) == (1, "", 1)
    with opened(tmp_path) as journal:
        assert payloads_of(take_all(journal)) == [b"before", b"after"]
        assert journal.quarantined == ()


def test_after_a_failed_sync_the_file_is_never_trusted_again(tmp_path: Path, disk: Disk) -> None:
    """Linux drops the pages and reports the error once: a second sync would lie.  Later records go
    into another file."""
    with opened(tmp_path) as journal:
        put(journal, b"before")
        disk.fdatasync_error = errno.EIO
        refused(journal, b"lost")
        disk.fdatasync_error = 0
        put(journal, b"after")
        entries = take_all(journal)

        assert payloads_of(entries) == [b"before", b"after"]
        assert entries[0].position.segment != entries[1].position.segment
    with opened(tmp_path) as journal:
        assert payloads_of(take_all(journal)) == [b"before", b"after"]


def test_a_tail_that_cannot_be_cut_off_ends_the_segment(tmp_path: Path, disk: Disk) -> None:
    """Half a record stays in the file; nothing is acknowledged into it any more, and the next start
    takes it for the interrupted write that it is."""
    with opened(tmp_path) as journal:
        put(journal, b"before")
        disk.writev_error, disk.partial_bytes = errno.ENOSPC, RECORD_BYTES + 3
        disk.ftruncate_error = errno.EIO
        refused(journal, b"lost" * 20)
        disk.writev_error = disk.ftruncate_error = 0
        put(journal, b"after")

        assert len(segment_files(tmp_path)) == 2
        assert payloads_of(take_all(journal)) == [b"before", b"after"]
    with opened(tmp_path) as journal:
        assert payloads_of(take_all(journal)) == [b"before", b"after"]
        assert journal.stats().truncated_bytes == RECORD_BYTES + 3
        assert journal.quarantined == ()


@pytest.mark.parametrize("call", ["open_error", "fsync_error", "writev_error"])
def test_a_segment_that_cannot_be_created_is_tried_again(
    tmp_path: Path, disk: Disk, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line when it begins and one when it ends, and no empty files stay."""
    caplog.set_level(logging.WARNING)
    with opened(tmp_path) as journal:
        setattr(disk, call, errno.ENOSPC)
        for _ in range(3):
            refused(journal, b"lost")
        assert segment_files(tmp_path) == []
        setattr(disk, call, 0)
        put(journal, b"after")

        assert payloads_of(take_all(journal)) == [b"after"]
    assert [record.message for record in caplog.records] == [
        "journal_write_failed",
        "journal_write_resumed",
    ]


def test_a_write_that_is_taken_in_parts_is_completed(tmp_path: Path, disk: Disk) -> None:
    """POSIX allows it, and it happens where a disk is nearly full."""
    disk.writev_bytes_max = 7
    payloads = [b"x" * 100, b"", b"y" * 33]
    with opened(tmp_path) as journal:
        put(journal, *payloads)
    with opened(tmp_path) as journal:
        assert payloads_of(take_all(journal)) == payloads


def test_a_group_of_thousands_is_written_with_one_sync(tmp_path: Path, disk: Disk) -> None:
    """More buffers than one `writev` takes are still one group."""
    with opened(tmp_path) as journal:
        put(journal, b"warm")
        with journal._write_lock:
            futures = [journal.append(RecordKind.EVENT, b"%d" % n, 1) for n in range(3000)]
            before = len(disk.synced)
        for future in futures:
            future.result(10)

        assert len(disk.synced) - before <= 2
        assert payloads_of(take_all(journal))[1:] == [b"%d" % n for n in range(3000)]


def test_damage_is_quarantined_reported_and_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator finds the bytes beside the segments; everything intact is read.  The next start
    finds the same damage, and makes no second copy and no second log line of it."""
    segment = a_segment([b"a" * 100, b"b" * 100, b"c" * 100])
    damaged = bytearray(segment.data)
    start, end = segment.ranges[1]
    damaged[start + RECORD_BYTES + 50] ^= 0xFF
    put_segment(tmp_path, bytes(damaged))

    for _ in range(2):
        with opened(tmp_path) as journal:
            (found,) = journal.quarantined
            assert (found.offset, found.length_bytes) == (start, end - start)
            assert found.copy is not None
            assert found.copy.read_bytes() == damaged[start:end]
            assert journal.stats().quarantined_bytes == end - start
            assert [data[:1] for data in payloads_of(take_all(journal))] == [b"a", b"c"]
            assert len(journal.quarantined) == 1
    assert [record.message for record in caplog.records] == ["journal_damage_quarantined"]

    with opened(tmp_path) as journal:
        journal.release(take_all(journal)[-1].position)
        assert segment_files(tmp_path) == []
        assert journal.drop_quarantined() == 1
        assert list((tmp_path / "quarantine").iterdir()) == []


def test_a_damaged_segment_header_costs_nothing(tmp_path: Path) -> None:
    """The mark is in the file's name too."""
    segment = a_segment([b"one", b"two"])
    put_segment(tmp_path, bytes(HEADER_BYTES) + segment.data[HEADER_BYTES:])

    with opened(tmp_path) as journal:
        assert payloads_of(take_all(journal)) == [b"one", b"two"]
        assert [item.length_bytes for item in journal.quarantined] == [HEADER_BYTES]


def test_a_segment_without_a_record_left_is_deleted_at_the_start(tmp_path: Path) -> None:
    """After its damage was copied; and an empty one that a killed process had just created."""
    segment = a_segment([b"x" * 50])
    put_segment(tmp_path, segment.data.replace(b"x", b"y"), 1)
    put_segment(tmp_path, segment.data[:HEADER_BYTES], 2)
    put_segment(tmp_path, b"", 3)

    with opened(tmp_path) as journal:
        assert segment_files(tmp_path) == []
        assert len(journal.quarantined) == 1
        assert take_all(journal) == []


def test_damage_that_cannot_be_copied_keeps_the_whole_segment(tmp_path: Path) -> None:
    """A file where the folder should be: the segment stays, and is not lost for want of room."""
    segment = a_segment([b"x" * 50, b"intact"])
    path = put_segment(tmp_path, segment.data.replace(b"x", b"y"))
    (tmp_path / "quarantine").touch()

    with opened(tmp_path) as journal:
        entries = take_all(journal)
        assert payloads_of(entries) == [b"intact"]
        assert journal.quarantined[0].copy is None
        journal.release(entries[-1].position)
    assert path.exists()


def test_damage_after_the_commit_is_counted_as_lost_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise 2 stays exact: what the reader can never be given is not pending forever."""
    with opened(tmp_path, cache_bytes=0, segment_bytes=1000) as journal:
        for number in range(9):
            journal.append(RecordKind.SPANS, bytes([number]) * 200, 10).result(10)
        path = segment_files(tmp_path)[0]
        data = bytearray(path.read_bytes())
        data[HEADER_BYTES + RECORD_BYTES] ^= 1  # record 0
        data[-1] ^= 1  # the last record of the segment
        path.write_bytes(data)
        entries = take_all(journal)

        assert [data[0] for data in payloads_of(entries)] == [1, 2, 4, 5, 6, 7, 8]
        assert journal.stats().lost_items[RecordKind.SPANS] == 20
        assert journal.stats().quarantined_ranges == 2
        journal.release(entries[-1].position)
        assert journal.stats().unreleased_items[RecordKind.SPANS] == 0
        assert journal.stats().bytes == 0
    assert segment_files(tmp_path) == []
    assert "journal_records_lost" in [record.message for record in caplog.records]


def test_a_segment_that_someone_deleted_is_counted_as_lost(tmp_path: Path) -> None:
    with opened(tmp_path, cache_bytes=0, segment_bytes=1000) as journal:
        put(journal, *[bytes([number]) * 200 for number in range(9)])
        segment_files(tmp_path)[1].unlink()
        entries = take_all(journal)

        assert [data[0] for data in payloads_of(entries)] == [0, 1, 2, 3, 8]
        assert journal.stats().lost_items[RecordKind.SPANS] == 4
        put(journal, b"after")
        assert payloads_of(take_all(journal)) == [b"after"]


def test_a_read_error_that_may_pass_loses_nothing(tmp_path: Path, disk: Disk) -> None:
    """Too many open files, for one: the reader waits and tries again."""
    with opened(tmp_path, cache_bytes=0, retry_secs=0.01) as journal:
        put(journal, b"one", b"two")
        disk.open_error = errno.EMFILE
        assert journal.next(0.02) is None
        disk.open_error = 0

        assert payloads_of(take_all(journal)) == [b"one", b"two"]
        assert journal.stats().lost_items[RecordKind.SPANS] == 0


def test_foreign_files_in_the_directory_are_left_alone(tmp_path: Path) -> None:
    """An operator's notes, an editor's backup, another program's segment."""
    names = ["notes.txt", "1.segment", f"0000000001-{MARK.hex()}.segment~"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with opened(tmp_path) as journal:
        put(journal, b"one")
        journal.release(take_all(journal)[-1].position)

    assert {path.name for path in tmp_path.iterdir()} == {*names, "lock"}
