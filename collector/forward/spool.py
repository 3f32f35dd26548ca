"""The spool of one backend: a folder of files, each what one flush had for it, oldest name first.

Two processes share it without a lock.  The collector adds files (a finished file appears by a
link or rename) and drops the oldest ones when the bound is reached; the forwarding process claims
a file by renaming it, so that a file is either dropped or sent, never both, and unlinks it when all
of it was taken.  What a killed process left claimed is sent again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.model import Signal

WAITING: Final = ".waiting"
CLAIMED: Final = ".claimed"
DRAFT: Final = ".draft"
"""Not finished; what a killed process left of it is of no use."""
BLOCK_BYTES: Final = 4096
"""A small file takes a block of the disk."""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """`00001795000000000000-traces-512`: when it was added (Unix nanoseconds), what, how many."""

    number: int
    signal: Signal
    items: int

    def __str__(self) -> str:
        return f"{self.number:020d}-{self.signal.value}-{self.items}"

    @property
    def waiting(self) -> str:
        return f"{self}{WAITING}"

    @property
    def claimed(self) -> str:
        return f"{self}{CLAIMED}"


def parse(file_name: str) -> Name | None:
    """The name behind a file's name; `None` for files that are none of ours."""
    stem, suffix = os.path.splitext(file_name)
    parts = stem.split("-")
    if suffix not in (WAITING, CLAIMED) or len(parts) != 3:
        return None
    try:
        return Name(int(parts[0]), Signal(parts[1]), int(parts[2]))
    except ValueError:
        return None


def charged(size_bytes: int) -> int:
    """What a file counts towards the bound."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def listed(directory: Path) -> dict[Name, int]:
    """Files of the spool, oldest first -> charged bytes.  Raises OSError."""
    found: dict[Name, int] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            name = parse(entry.name)
            if name is None:
                continue
            try:
                found[name] = charged(entry.stat().st_size)
            except FileNotFoundError:  # sent or dropped meanwhile, or only claimed
                with contextlib.suppress(FileNotFoundError):
                    found[name] = charged((directory / name.claimed).stat().st_size)
    return dict(sorted(found.items()))


def paths(directory: Path) -> Iterator[Path]:
    """Every file of the spool, claimed ones included."""
    for name in listed(directory):
        for path in (directory / name.claimed, directory / name.waiting):
            if path.exists():
                yield path


def claim(directory: Path, name: Name) -> Path | None:
    """Make it ours to send; `None` when it was dropped meanwhile."""
    path = directory / name.claimed
    try:
        os.rename(directory / name.waiting, path)
    except FileNotFoundError:
        return path if path.exists() else None
    return path


def drop(directory: Path, name: Name) -> bool:
    """Remove a file that nobody has claimed; whether it was there."""
    try:
        os.unlink(directory / name.waiting)
    except FileNotFoundError:
        return False
    return True


def sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes | memoryview) -> None:
    """A file that is whole and on disk when this returns.  Raises OSError, and leaves nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fdatasync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
