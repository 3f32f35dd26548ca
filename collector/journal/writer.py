"""The one segment that is being written: appended in groups, each made durable by one sync."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector.journal.segment import (
    HEADER_BYTES,
    MARK_BYTES,
    encode_header,
    encode_record,
    segment_name,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger(__name__)

_IOV_MAX: Final = 1024
"""Buffers per `writev`, POSIX's usual limit."""


class SegmentWriter:
    """A new segment file.  `length` and `records` count only what is durable.

    When `doubtful` is set, nothing more may be acknowledged from this file: what it holds beyond
    `length` is unknown.
    """

    def __init__(self, directory: Path, number: int) -> None:
        """Create the file and its directory entry.  Raises `OSError`, leaving nothing."""
        self.number = number
        self.mark = os.urandom(MARK_BYTES)
        self.path = directory / segment_name(number, self.mark)
        self.length = HEADER_BYTES
        self.records = 0
        self.doubtful = False
        self.sync_secs = 0.0
        """Time spent in syncs of this segment."""
        self._fd = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            write_all(self._fd, [encode_header(self.mark)])
            sync_directory(directory)
        except OSError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise

    def append(self, group: Sequence[tuple[int, int, Buffer]]) -> list[int]:
        """Write (kind, items, payload) records and sync; the end offset of each.

        Raises `OSError` when any of it failed: then none of the group is in the segment, and unless
        the file could be cut back for certain it is `doubtful`.
        """
        buffers: list[Buffer] = []
        ends: list[int] = []
        end = self.length
        for number, (kind, items, payload) in enumerate(group, self.records):
            header = encode_record(self.mark, number, kind, items, payload)
            buffers += (header, payload)
            end += len(header) + memoryview(payload).nbytes
            ends.append(end)
        try:
            write_all(self._fd, buffers)
        except OSError:
            self._cut()
            raise
        started = time.perf_counter()
        try:
            sync(self._fd)
        except OSError:
            # The kernel may have dropped the pages and forgotten the error: a second sync of this
            # file would succeed without having written them.
            self.doubtful = True
            self._cut()
            raise
        finally:
            self.sync_secs += time.perf_counter() - started
        self.length = end
        self.records += len(group)
        return ends

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _cut(self) -> None:
        try:
            os.ftruncate(self._fd, self.length)
        except OSError as error:
            self.doubtful = True
            log.warning(
                "journal_cut_failed", extra={"segment": self.path.name, "error": str(error)}
            )


def write_all(fd: int, buffers: Sequence[Buffer]) -> None:
    """Write all of `buffers`, also when the system takes them in parts.  Raises `OSError`."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    views = [view for view in views if view.nbytes]
    at = 0
    while at < len(views):
        written = os.writev(fd, views[at : at + _IOV_MAX])
        if written == 0:
            raise OSError(errno.EIO, "the file takes no more bytes")
        while at < len(views) and written >= views[at].nbytes:
            written -= views[at].nbytes
            at += 1
        if written:
            views[at] = views[at][written:]


def sync(fd: int) -> None:
    """`fdatasync` where the system has it: the data and the length, without the times."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:  # macOS
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Make names that were added or removed durable.  Raises `OSError`."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
