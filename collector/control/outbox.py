"""What one receiver has still to be told: a folder with a file for each notice, and a list of the
ids of those that are done.

A file is whole and on disk before `put` returns, and goes when its notice was taken or given up:
what is in the folder after `kill -9` is what is left to do.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Outbox", "Parcel"]

SUFFIX: Final = ".json"
DONE_FILE: Final = "done"
DONE_MAX: Final = 10_000
"""Ids remembered, so that what is read again is not told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One notice in the outbox."""

    number: int
    """Order in which they were put."""
    notice_id: str
    queued_at_ns: int
    document: dict[str, Any]


class Outbox:
    """Not thread-safe.  Every method may raise OSError."""

    def __init__(self, folder: Path, *, waiting_max: int) -> None:
        """Finds what an earlier process left; a file that is cut short is removed."""
        self._folder = folder
        self._waiting_max = waiting_max
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.waiting: dict[int, Parcel] = {}
        self._ids: set[str] = set()
        for path in sorted(folder.iterdir()):
            if path.name.endswith(SUFFIX):
                self._load(path)
            elif path.name != DONE_FILE:
                path.unlink()  # a draft that was never finished
        self._next = max(self.waiting, default=0) + 1
        self._done = dict.fromkeys(self._read_done())

    def put(self, notice_id: str, document: dict[str, Any], now_ns: int) -> Parcel | None:
        """The parcel, durable; `None` when it is known.  Raises OverflowError when there are too
        many."""
        if notice_id in self._ids or notice_id in self._done:
            return None
        if len(self.waiting) >= self._waiting_max:
            raise OverflowError
        parcel = Parcel(
            number=self._next, notice_id=notice_id, queued_at_ns=now_ns, document=document
        )
        self._next += 1
        draft = self._folder / f"{parcel.number:012d}.draft"
        text = json.dumps({"id": notice_id, "queued_at_ns": now_ns, "document": document})
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fdatasync(file.fileno())
        draft.replace(self._path(parcel.number))
        self.waiting[parcel.number] = parcel
        self._ids.add(notice_id)
        return parcel

    def sync(self) -> None:
        """The names of what was put are durable, too."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def done(self, number: int) -> None:
        """Taken, or given up."""
        parcel = self.waiting.get(number)
        if parcel is None:
            return
        self._done[parcel.notice_id] = None
        with (self._folder / DONE_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{parcel.notice_id}\n")
        self._remove(number)
        if len(self._done) > 2 * DONE_MAX:
            self._shorten()

    def erase(self, concerned: Callable[[Parcel], bool]) -> int:
        """Remove parcels untold; how many."""
        numbers = [number for number, parcel in self.waiting.items() if concerned(parcel)]
        for number in numbers:
            self._remove(number)
        return len(numbers)

    def _load(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            parcel = Parcel(
                number=int(path.name.removesuffix(SUFFIX)),
                notice_id=str(found["id"]),
                queued_at_ns=int(found["queued_at_ns"]),
                document=dict(found["document"]),
            )
        except (ValueError, KeyError, TypeError):
            path.unlink()
            return
        self.waiting[parcel.number] = parcel
        self._ids.add(parcel.notice_id)

    def _remove(self, number: int) -> None:
        self._ids.discard(self.waiting.pop(number).notice_id)
        with contextlib.suppress(FileNotFoundError):
            self._path(number).unlink()

    def _read_done(self) -> list[str]:
        try:
            return (self._folder / DONE_FILE).read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def _shorten(self) -> None:
        self._done = dict.fromkeys(list(self._done)[-DONE_MAX:])
        draft = self._folder / f"{DONE_FILE}.draft"
        draft.write_text("".join(f"{each}\n" for each in self._done), encoding="utf-8")
        draft.replace(self._folder / DONE_FILE)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{SUFFIX}"
