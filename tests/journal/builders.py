"""Segments and journals for the tests of this folder; the defaults are small and quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.journal.journal import Entry, Journal, JournalSettings, RecordKind
from collector.journal.segment import (
    HEADER_BYTES,
    Gap,
    Record,
    SegmentReader,
    encode_header,
    encode_record,
    scan,
    segment_name,
)

MARK = bytes.fromhex("9f4c3a2b1d0e5f60")


@dataclass(frozen=True)
class Bytes:
    """A segment in memory, and where its records are."""

    data: bytes
    ranges: tuple[tuple[int, int], ...]


def a_segment(payloads: Sequence[bytes]) -> Bytes:
    """Record `i` has `i` items and the kinds in turn."""
    data = bytearray(encode_header(MARK))
    ranges = []
    for number, payload in enumerate(payloads):
        start = len(data)
        kind = RecordKind(number % 4 + 1)
        data += encode_record(MARK, number, kind, number, payload) + payload
        ranges.append((start, len(data)))
    return Bytes(bytes(data), tuple(ranges))


def put_segment(directory: Path, data: bytes, number: int = 1) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / segment_name(number, MARK)
    path.write_bytes(data)
    return path


def scan_file(path: Path) -> list[Record | Gap]:
    reader = SegmentReader(path, MARK)
    try:
        return list(scan(reader))
    finally:
        reader.close()


@contextmanager
def opened(
    directory: Path,
    on_commit: Callable[[Sequence[Entry]], None] = lambda entries: None,
    **sizes: Any,
) -> Iterator[Journal]:
    journal = Journal.open(JournalSettings(directory=directory, **sizes), on_commit)
    try:
        yield journal
    finally:
        journal.close()


def put(journal: Journal, *payloads: bytes, kind: RecordKind = RecordKind.SPANS) -> None:
    """Append and wait until durable; each payload counts as one item."""
    for future in [journal.append(kind, payload, 1) for payload in payloads]:
        future.result(10)


def take_all(journal: Journal) -> list[Entry]:
    """Everything there is to read now."""
    taken = []
    while (entry := journal.next(0)) is not None:
        taken.append(entry)
    return taken


def payloads_of(entries: Sequence[Entry]) -> list[bytes]:
    return [bytes(memoryview(entry.payload)) for entry in entries]


def segment_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.segment"))


__all__ = [
    "HEADER_BYTES", "MARK", "Bytes", "a_segment", "opened", "payloads_of", "put", "put_segment",
    "scan_file", "segment_files", "take_all",
]  # fmt: skip
