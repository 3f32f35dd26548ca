"""The format of a segment: what was written is read, and what is damaged is set aside."""

from __future__ import annotations

import errno
import os
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import ConfigError
from collector.journal.segment import (
    FORMAT,
    HEADER_BYTES,
    RECORD_BYTES,
    Gap,
    Record,
    RecordKind,
    encode_header,
    encode_record,
)
from tests.journal.builders import (
    MARK,
    a_segment,
    opened,
    payloads_of,
    put_segment,
    scan_file,
    segment_files,
    take_all,
)

payload_lists = st.lists(st.binary(max_size=300), min_size=1, max_size=12)


def records(parts: list[Record | Gap]) -> list[Record]:
    return [part for part in parts if isinstance(part, Record)]


def gaps(parts: list[Record | Gap]) -> list[Gap]:
    return [part for part in parts if isinstance(part, Gap)]


@given(payload_lists)
def test_every_record_is_read_back(payloads: list[bytes]) -> None:
    """Number, kind, items and payload survive, empty payloads included, without gaps."""
    with tempfile.TemporaryDirectory() as folder:
        parts = scan_file(put_segment(Path(folder), a_segment(payloads).data))

    assert gaps(parts) == []
    assert [record.payload for record in records(parts)] == payloads
    assert [record.number for record in records(parts)] == list(range(len(payloads)))
    assert [record.items for record in records(parts)] == list(range(len(payloads)))
    assert [record.kind for record in records(parts)] == [
        RecordKind(number % 4 + 1) for number in range(len(payloads))
    ]


def test_a_segment_cut_at_any_byte_of_its_last_record_gives_the_others(tmp_path: Path) -> None:
    """`kill -9` in a write leaves any prefix; that is no damage, and nothing is quarantined."""
    segment = a_segment([b"first" * 20, b"second" * 20, b"third" * 20])
    start, end = segment.ranges[-1]
    for cut in range(start, end):
        parts = scan_file(put_segment(tmp_path, segment.data[:cut]))

        assert [record.number for record in records(parts)] == [0, 1]
        assert gaps(parts) == ([Gap(start, cut, truncated=True)] if cut > start else [])


def test_a_segment_cut_in_its_header_is_only_truncated(tmp_path: Path) -> None:
    """The process may be killed while it creates the file."""
    for cut in range(HEADER_BYTES):
        parts = scan_file(put_segment(tmp_path, encode_header(MARK)[:cut]))

        assert parts == [Gap(0, cut, truncated=True)]


@settings(max_examples=300)
@given(payload_lists, st.data())
def test_flipped_bytes_cost_only_the_records_they_are_in(
    payloads: list[bytes], data: st.DataObject
) -> None:
    """Intact records are all found, damaged ones never pass for records, and every damaged byte is
    in a gap, in the header of the segment too."""
    segment = a_segment(payloads)
    damaged = bytearray(segment.data)
    flips = data.draw(
        st.sets(st.integers(0, len(damaged) - 1), min_size=1, max_size=8), label="offsets"
    )
    for offset in flips:
        damaged[offset] ^= data.draw(st.integers(1, 255), label="bits")
    with tempfile.TemporaryDirectory() as folder:
        parts = scan_file(put_segment(Path(folder), bytes(damaged)))

    hit = {
        number
        for number, (start, end) in enumerate(segment.ranges)
        if any(start <= offset < end for offset in flips)
    }
    assert [record.number for record in records(parts)] == [
        number for number in range(len(payloads)) if number not in hit
    ]
    covered = [(gap.offset, gap.end) for gap in gaps(parts)]
    assert all(any(start <= offset < end for start, end in covered) for offset in flips)
    assert not any(gap.truncated for gap in gaps(parts))


@settings(max_examples=150)
@given(payload_lists, st.data())
def test_bytes_cut_out_or_put_in_cost_only_the_records_they_touch(
    payloads: list[bytes], data: st.DataObject
) -> None:
    """Lengths that no longer lead to the next record do not hide it."""
    segment = a_segment(payloads)
    start = data.draw(st.integers(HEADER_BYTES, len(segment.data)), label="from")
    end = data.draw(st.integers(start, len(segment.data)), label="to")
    junk = data.draw(st.binary(max_size=400), label="junk")
    with tempfile.TemporaryDirectory() as folder:
        path = put_segment(Path(folder), segment.data[:start] + junk + segment.data[end:])
        found = {record.number for record in records(scan_file(path))}

    untouched = {
        number
        for number, (first, last) in enumerate(segment.ranges)
        if last <= start or first >= end
    }
    assert untouched <= found


@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes_can_be_scanned(junk: bytes, with_header: bool) -> None:
    """A file of rubbish gives gaps that cover it, never an exception."""
    data = encode_header(MARK) + junk if with_header else junk
    with tempfile.TemporaryDirectory() as folder:
        parts = scan_file(put_segment(Path(folder), data))

    assert records(parts) == []
    start = HEADER_BYTES if with_header else 0
    assert sum(gap.end - gap.offset for gap in gaps(parts)) == len(data) - start


def test_a_record_inside_a_damaged_payload_is_not_believed(tmp_path: Path) -> None:
    """Whoever sends spans chooses payload bytes, but does not know the mark of the segment."""
    forged = encode_record(b"guessed!", 1, RecordKind.DIRECTIVE, 1, b"kill") + b"kill"
    segment = a_segment([b"x" * 50 + forged, b"after"])
    damaged = bytearray(segment.data)
    damaged[segment.ranges[0][0] + RECORD_BYTES] ^= 1

    parts = scan_file(put_segment(tmp_path, bytes(damaged)))

    assert [record.payload for record in records(parts)] == [b"after"]


def test_a_stale_copy_of_a_record_is_not_read_twice(tmp_path: Path) -> None:
    """A block that a file system wrote to the wrong place is damage, whatever its checksum says."""
    segment = a_segment([b"one", b"two"])
    first = segment.data[slice(*segment.ranges[0])]

    parts = scan_file(put_segment(tmp_path, segment.data + first))

    assert [record.payload for record in records(parts)] == [b"one", b"two"]
    assert gaps(parts) == [Gap(len(segment.data), len(segment.data) + len(first), False)]


def test_damage_larger_than_the_window_is_searched_through(tmp_path: Path) -> None:
    """The next record is found megabytes later, also where its mark crosses two windows."""
    for length in range(512 * 1024 - 48, 512 * 1024 - 16):
        segment = a_segment([b"z" * length, b"after"])
        damaged = bytearray(segment.data)
        damaged[segment.ranges[0][0] + 5] ^= 0x40

        parts = scan_file(put_segment(tmp_path, bytes(damaged)))

        assert gaps(parts) == [Gap(*segment.ranges[0], truncated=False)]
        assert [record.payload for record in records(parts)] == [b"after"]


def test_unreadable_blocks_cost_only_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk with a bad sector answers EIO; the records in other blocks are read."""
    segment = a_segment([bytes([number]) * 9000 for number in range(6)])
    directory = tmp_path / "journal"
    path = put_segment(directory, segment.data)
    bad = range(20_480, 24_576)
    pread = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if offset < bad.stop and offset + size > bad.start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    with opened(directory) as journal:
        entries = take_all(journal)
        journal.release(entries[-1].position)

    assert [entry.position.record for entry in entries] == [0, 1, 3, 4, 5]
    # The sector may answer another day: the file was moved aside, not deleted.
    assert (directory / "quarantine" / path.name).read_bytes() == segment.data
    assert segment_files(directory) == []


def test_a_sector_that_answers_later_does_not_upset_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the start counted is what the reader gives; the rest is kept with the file."""
    segment = a_segment([bytes([number]) * 9000 for number in range(6)])
    path = put_segment(tmp_path, segment.data)
    pread = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if offset < 24_576 and offset + size > 20_480:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    with opened(tmp_path) as journal:
        monkeypatch.setattr(os, "pread", pread)
        entries = take_all(journal)
        assert [entry.position.record for entry in entries] == [0, 1, 3, 4, 5]
        journal.release(entries[-1].position)
        assert set(journal.stats().unreleased_items.values()) == {0}
        assert set(journal.stats().lost_items.values()) == {0}
    assert (tmp_path / "quarantine" / path.name).exists()


def test_the_segment_of_format_1_is_still_read(tmp_path: Path) -> None:
    """A newer collector reads what an older one left; this file was made by format 1."""
    kept = Path(__file__).parents[1] / "data" / "journal-v1.segment"
    put_segment(tmp_path, kept.read_bytes())

    with opened(tmp_path) as journal:
        assert journal.recovered == {
            RecordKind.SPANS: 512, RecordKind.LOGS: 3, RecordKind.EVENT: 1, RecordKind.DIRECTIVE: 1,
        }  # fmt: skip
        entries = take_all(journal)
    assert payloads_of(entries) == [b"spans" * 30, b"logs", b'{"event":"feedback"}', b""]
    assert [entry.kind for entry in entries] == list(RecordKind)
    assert all(entry.recovered for entry in entries)


def test_a_segment_of_a_newer_format_stops_the_start(tmp_path: Path) -> None:
    """Its records are acknowledged: neither reading them wrongly nor deleting them is right."""
    header = bytearray(encode_header(MARK))
    header[8:12] = (FORMAT + 1).to_bytes(4, "little")
    header[28:] = zlib.crc32(header[:28]).to_bytes(4, "little")
    path = put_segment(tmp_path, bytes(header))

    with pytest.raises(ConfigError, match=rf"{path.name}: .*format {FORMAT + 1}"), opened(tmp_path):
        pass

    assert path.exists()
    path.unlink()
    with opened(tmp_path):  # the directory was given back
        pass
