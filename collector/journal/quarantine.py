"""Where damaged bytes of segments are kept for a person to look at, beside the segments."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.journal.segment import Gap, SegmentReader

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRange:
    """Bytes of a segment that no intact record covers."""

    segment: str
    """File name of the segment."""
    offset: int
    length_bytes: int
    copy: Path | None
    """Where the bytes are now; `None` when they could not be copied (the log says why)."""


class Quarantine:
    """The folder `quarantine/`, created when first needed."""

    def __init__(self, journal_directory: Path) -> None:
        self.directory = journal_directory / "quarantine"
        self.ranges: list[QuarantinedRange] = []
        """What this process found, in order."""

    def take(self, path: Path, reader: SegmentReader, gap: Gap) -> bool:
        """Copy a gap out of its segment and report it; whether there is a copy.

        Never raises `OSError`: the journal goes on without one.

        The copy's name says where the bytes were; a range found again at the next start is not
        copied again.
        """
        length = gap.end - gap.offset
        target = self.directory / f"{path.stem}.{gap.offset}-{gap.end}.damaged"
        copy: Path | None = target
        fields = {"segment": path.name, "offset": gap.offset, "length_bytes": length}
        if not target.exists():
            try:
                self.directory.mkdir(mode=0o700, exist_ok=True)
                _copy(reader, gap, target)
            except OSError as error:
                copy = None
                log.error("journal_quarantine_failed", extra={**fields, "error": str(error)})
            else:
                log.error("journal_damage_quarantined", extra={**fields, "copy": str(target)})
        self.ranges.append(
            QuarantinedRange(segment=path.name, offset=gap.offset, length_bytes=length, copy=copy)
        )
        return copy is not None

    def keep(self, path: Path) -> None:
        """Move a whole segment here.  Raises `OSError`."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        os.replace(path, self.directory / path.name)

    def clear(self) -> int:
        """Delete all copies; how many files.  Raises `OSError`."""
        files = list(self.directory.iterdir()) if self.directory.is_dir() else []
        for file in files:
            file.unlink()
        return len(files)


def _copy(reader: SegmentReader, gap: Gap, target: Path) -> None:
    partial = target.with_suffix(".partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        for offset in range(gap.offset, gap.end, _CHUNK_BYTES):
            file.write(reader.bytes_at(offset, min(_CHUNK_BYTES, gap.end - offset)))
        file.flush()
        os.fsync(fd)  # the segment may be deleted soon after
    os.replace(partial, target)
