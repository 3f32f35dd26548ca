"""Globs on names: `refund*`, `gpt-4?`.  Compared whole and case-sensitively, as names are."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Final

__all__ = ["Globs"]

CACHED_MAX: Final = 4096


class Globs:
    """Any of several globs, remembered by name: a run uses few names many times."""

    __slots__ = ("_cache", "_pattern", "empty_matches")

    def __init__(self, globs: Sequence[str], *, empty_matches: bool = True) -> None:
        """`empty_matches`: what `match` says where there are no globs."""
        self.empty_matches = empty_matches
        self._pattern = re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
        self._cache: dict[str, bool] = {}

    def match(self, name: str) -> bool:
        if self._pattern is None:
            return self.empty_matches
        found = self._cache.get(name)
        if found is None:
            if len(self._cache) >= CACHED_MAX:
                self._cache.clear()
            found = self._cache[name] = self._pattern.match(name) is not None
        return found
