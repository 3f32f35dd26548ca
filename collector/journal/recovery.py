"""What a start finds on disk: the segments of earlier processes, counted and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from collector.errors import ConfigError
from collector.journal.ledger import SegmentState
from collector.journal.quarantine import Quarantine
from collector.journal.segment import (
    FORMAT,
    RECORD_BYTES,
    Gap,
    Record,
    SegmentReader,
    parse_name,
    scan,
)


@dataclass(slots=True)
class Recovery:
    segments: list[SegmentState] = field(default_factory=list)
    """In order of their numbers."""
    truncated_bytes: int = 0
    """Unfinished records at the ends of segments: writes that were never acknowledged."""


def recover(directory: Path, quarantine: Quarantine) -> Recovery:
    """Check every record of every segment; damage goes to `quarantine` and is never fatal.

    Raises `ConfigError` for a segment of a newer format: going on would drop its records; and
    `OSError` when the directory or a file cannot be opened.
    """
    found = Recovery()
    names = ((parse_name(path.name), path) for path in directory.iterdir())
    for (number, mark), path in sorted((name, path) for name, path in names if name is not None):
        reader = SegmentReader(path, mark)
        try:
            if reader.format > FORMAT:
                raise ConfigError(
                    f"{path}: a journal segment of format {reader.format}; this collector reads up"
                    f" to {FORMAT}.\n"
                    "  Why: a newer collector wrote it, and its records may not be stored yet.\n"
                    "  Fix: run the newer collector until the journal is empty, or move the file."
                )
            segment = SegmentState(number, path, reader.mark, reader.size, recovered=True)
            for part in scan(reader):
                if isinstance(part, Record):
                    segment.unread.add(part.kind, part.items, RECORD_BYTES + len(part.payload))
                elif part.truncated:
                    found.truncated_bytes += part.end - part.offset
                    segment.gaps[part.offset] = part.end
                else:
                    set_aside(part, segment, reader, quarantine)
            segment.keep = segment.keep or reader.unreadable_bytes > 0
        finally:
            reader.close()
        found.segments.append(segment)
    return found


def set_aside(
    gap: Gap, segment: SegmentState, reader: SegmentReader, quarantine: Quarantine
) -> None:
    """Report damage; keep the whole file when its bytes cannot be copied."""
    segment.gaps[gap.offset] = gap.end
    if not quarantine.take(segment.path, reader, gap):
        segment.keep = True
