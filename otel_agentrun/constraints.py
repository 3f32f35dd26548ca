"""What single values of a settings class may be, attached to a field's type by `Annotated`.

The config and the rules share these, so that one reader, one JSON Schema and one reference page
serve both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Format", "Range", "Refused"]


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included."""

    low: float
    high: float | None = None
    why: str = "a value outside these bounds cannot work."


class Refused(ValueError):
    """A text that is not what it should be; `offset` is where in the text, `got` hides secrets."""

    def __init__(
        self, expected: str, why: str, fix: str, *, offset: int = 0, got: str | None = None
    ) -> None:
        super().__init__(expected)
        self.expected = expected
        self.why = why
        self.fix = fix
        self.offset = offset
        self.got = got


@dataclass(frozen=True, slots=True)
class Format:
    """A check of a text (raises Refused), and what the reference calls such a text."""

    name: str
    check: Callable[[str], None]
