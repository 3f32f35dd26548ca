"""The format of a journal segment: how records are laid out and how they are found again.

A segment is a 32-byte header and records.  A record is a 32-byte header and its payload; both have
a CRC-32.  Every record begins with the segment's *mark*, eight random bytes: after damage the next
record is found by searching for them, and no payload can hold a forged record, because nobody who
sends a payload knows the mark.  The mark is in the header and in the file's name.

Layout in bytes, what damage does and what sizes mean: docs/journal.md.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAGIC: Final = b"\x89AGRJNL\n"
FORMAT: Final = 1
"""Raised by any change of layout.  The segment header below is the same in every format."""

_HEADER: Final = struct.Struct("<8sI8s8xI")
_RECORD: Final = struct.Struct("<8sIHHIIII")
HEADER_BYTES: Final = _HEADER.size
RECORD_BYTES: Final = _RECORD.size
MARK_BYTES: Final = 8
PAYLOAD_BYTES_MAX: Final = 2**32 - 1

_NAME: Final = re.compile(r"([0-9]{10,})-([0-9a-f]{16})\.segment")
_WINDOW_BYTES: Final = 256 * 1024
_BLOCK_BYTES: Final = 4096
_UNREADABLE: Final = frozenset({errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)})
"""The medium or the file system says that these bytes are gone; other errors may pass."""


class RecordKind(IntEnum):
    """What a payload is; the numbers are part of the format."""

    SPANS = 1
    LOGS = 2
    EVENT = 3
    DIRECTIVE = 4


@dataclass(frozen=True, slots=True)
class Record:
    """An intact record; `offset` to `end` are its bytes in the file, header included."""

    number: int
    kind: RecordKind
    items: int
    payload: bytes
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that are not an intact record.

    `truncated`: the last record ends before it is complete, as a write that was interrupted leaves
    it; what was acknowledged is never in there.  Otherwise the bytes were damaged after writing.
    """

    offset: int
    end: int
    truncated: bool


def segment_name(number: int, mark: bytes) -> str:
    return f"{number:010d}-{mark.hex()}.segment"


def parse_name(name: str) -> tuple[int, bytes] | None:
    """(number, mark) of a segment's file name; `None` for any other file."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), bytes.fromhex(match[2])) if match else None


def encode_header(mark: bytes) -> bytes:
    head = _HEADER.pack(MAGIC, FORMAT, mark, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def decode_header(data: bytes) -> tuple[int, bytes] | None:
    """(format, mark) of a segment; `None` when the header is short or damaged."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, mark, crc = _HEADER.unpack_from(data)
    if magic != MAGIC or crc != zlib.crc32(data[: HEADER_BYTES - 4]):
        return None
    return version, mark


def encode_record(mark: bytes, number: int, kind: int, items: int, payload: Buffer) -> bytes:
    """The header that goes before `payload`."""
    size = memoryview(payload).nbytes
    head = _RECORD.pack(mark, number, kind, 0, items, size, zlib.crc32(payload), 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class _RecordHeader:
    number: int
    kind: RecordKind
    items: int
    length: int
    crc: int


def _decode_record(data: bytes, mark: bytes) -> _RecordHeader | None:
    if len(data) < RECORD_BYTES:
        return None
    found, number, kind, _, items, length, crc, head_crc = _RECORD.unpack_from(data)
    if found != mark or head_crc != zlib.crc32(data[: RECORD_BYTES - 4]):
        return None
    try:
        return _RecordHeader(number, RecordKind(kind), items, length, crc)
    except ValueError:  # a kind that this format does not have: nobody here could read it
        return None


class SegmentReader:
    """Reads one segment forward, a window at a time; memory is bounded by its largest record.

    Bytes that the medium cannot give are read as zeros and counted in `unreadable_bytes`.
    """

    def __init__(self, path: Path, mark: bytes) -> None:
        """`mark` is the one in the file's name, used when the header is damaged.

        Raises `OSError` when the file cannot be opened.
        """
        self.unreadable_bytes = 0
        self._window = b""
        self._window_offset = 0
        self._number = -1
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size
        header = decode_header(self.bytes_at(0, min(HEADER_BYTES, self.size)))
        self.header_intact = header is not None
        self.format, self.mark = header if header is not None else (FORMAT, mark)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, offset: int, end: int) -> Record | Gap | None:
        """What is at `offset`, as far as `end`; `None` at the end.

        A gap reaches to the next intact record.  Records come in ascending numbers: a copy of an
        earlier one is part of a gap.
        """
        if offset >= end:
            return None
        record = self._record(offset, end)
        if record is None:
            after = self._resync(offset + 1, end)
            return Gap(offset, after, after == end and self._is_cut(offset, end))
        self._number = record.number
        return record

    def bytes_at(self, offset: int, size: int) -> bytes:
        """`size` bytes of the file; shorter only at its end.  Raises `OSError` unless it is the
        medium that fails."""
        try:
            return _pread(self._fd, offset, size)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
        pieces = []
        end = offset + size
        while offset < end:
            wanted = min(_BLOCK_BYTES - offset % _BLOCK_BYTES, end - offset)
            try:
                pieces.append(_pread(self._fd, offset, wanted))
            except OSError as error:
                if error.errno not in _UNREADABLE:
                    raise
                self.unreadable_bytes += wanted
                pieces.append(bytes(wanted))
            offset += wanted
        return b"".join(pieces)

    def _record(self, offset: int, end: int) -> Record | None:
        header = _decode_record(self._bytes(offset, RECORD_BYTES, end), self.mark)
        if header is None or header.number <= self._number:
            return None
        start = offset + RECORD_BYTES
        if start + header.length > end:
            return None
        payload = self._bytes(start, header.length, end)
        if len(payload) != header.length or zlib.crc32(payload) != header.crc:
            return None
        return Record(
            header.number, header.kind, header.items, payload, offset, start + header.length
        )

    def _resync(self, offset: int, end: int) -> int:
        """Where the next intact record begins; `end` when there is none."""
        while end - offset >= RECORD_BYTES:
            window = self._bytes(offset, min(_WINDOW_BYTES, end - offset), end)
            found = window.find(self.mark)
            if found < 0:
                # The mark may begin in this window and end in the next one.
                offset += max(1, len(window) - MARK_BYTES + 1)
            elif self._record(offset + found, end) is not None:
                return offset + found
            else:
                offset += found + 1
        return end

    def _is_cut(self, offset: int, end: int) -> bool:
        if end - offset < RECORD_BYTES:
            return True
        header = _decode_record(self._bytes(offset, RECORD_BYTES, end), self.mark)
        return header is not None and offset + RECORD_BYTES + header.length > end

    def _bytes(self, offset: int, size: int, end: int) -> bytes:
        """As `bytes_at`, not past `end`, through the window."""
        start = offset - self._window_offset
        if start < 0 or start + size > len(self._window):
            self._window = self.bytes_at(offset, min(max(size, _WINDOW_BYTES), end - offset))
            self._window_offset, start = offset, 0
        if start == 0 and size == len(self._window):
            return self._window
        return self._window[start : start + size]


def scan(reader: SegmentReader) -> Iterator[Record | Gap]:
    """Every intact record of a segment in order, and the gaps between them."""
    offset = min(HEADER_BYTES, reader.size)
    if not reader.header_intact:
        yield Gap(0, offset, offset < HEADER_BYTES)
    while (found := reader.read(offset, reader.size)) is not None:
        yield found
        offset = found.end


def _pread(fd: int, offset: int, size: int) -> bytes:
    data = os.pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    pieces = [data]
    missing = size - len(data)
    while missing > 0 and (data := os.pread(fd, missing, offset + size - missing)):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)
