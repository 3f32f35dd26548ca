"""What our spans carry of prompts, arguments, results and documents: off, redacted or full.

The detectors are the collector's (`redact`), run before a value is cut: half a key matches no
pattern.
"""

from __future__ import annotations

import os
from typing import Final, Literal

from otel_agentrun import values
from otel_agentrun.redact import Redactor, RedactSettings
from otel_agentrun.structure import structure

__all__ = ["CHARS_MAX", "ContentPolicy", "Mode"]

Mode = Literal["off", "redacted", "full"]

CHARS_MAX: Final = 16_384
OVERLAP_CHARS: Final = 8_192
"""Scanned beyond the cut, so that a secret across it is recognized: longer than any key."""


class ContentPolicy:
    """Decides what of a value is kept.  Threads may share one."""

    def __init__(
        self,
        mode: Mode = "redacted",
        *,
        chars_max: int = CHARS_MAX,
        settings: RedactSettings | None = None,
    ) -> None:
        """`settings` are the rules of `redacted`.  By default: all detectors that the collector
        uses by default, under a key of this process, so that equal secrets look equal in it.

        Raises `ValueError` for an unknown mode or a limit below 1.
        """
        if mode not in ("off", "redacted", "full"):
            raise ValueError(f"content: expected off, redacted or full, got {mode!r}")
        if chars_max < 1:
            raise ValueError(f"content_chars_max: expected at least 1, got {chars_max}")
        self.mode = mode
        self.chars_max = chars_max
        self._redactor: Redactor | None = None
        if mode == "redacted":
            self._redactor = Redactor(settings or RedactSettings(key=os.urandom(32)))

    def keep(self, key: str, value: object) -> tuple[str, str, bool]:
        """What the attribute `key` holds of a value; the text it was made of; and whether that is
        all of it, unchanged.

        With content off: its structure as JSON; keys, types and lengths, never values.
        """
        whole = values.text(value, self.chars_max + OVERLAP_CHARS)
        if self.mode == "off":
            return structure(whole), whole, False
        kept = self._redacted(key, whole)
        if len(kept) > self.chars_max:
            return values.cut(kept, self.chars_max), whole, False
        return kept, whole, kept == whole

    def _redacted(self, key: str, whole: str) -> str:
        if self._redactor is None:
            return whole
        limit = self.chars_max + OVERLAP_CHARS
        if len(whole) <= limit:
            return self._redactor.value(whole, key, content=True)
        # Past the overlap nothing is scanned, and what is scanned last is not kept: a marker may
        # be shorter than its secret, so the cut comes off the end of the result.
        scanned = self._redactor.value(whole[:limit], key, content=True)
        return values.cut(scanned[: max(len(scanned) - OVERLAP_CHARS, 1)], self.chars_max)
