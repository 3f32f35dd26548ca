"""One mistake in the configuration, and the report of all: where, what, why, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collector.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value stands: a file with line and column (from 1), or a name such as a variable."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    def right(self, columns: int) -> Place:
        """Further right in the same line; a name has no columns."""
        if not self.line:
            return self
        return Place(source=self.source, line=self.line, column=self.column + columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`got` never holds a secret: what is printed ends up in logs."""

    place: Place
    key: str
    """Dotted, list positions in brackets: `auth.keys[0].name`; "" for the file as a whole."""
    expected: str
    got: str
    why: str
    fix: str

    def __str__(self) -> str:
        head = f"{self.place}: {self.key}: " if self.key else f"{self.place}: "
        lines = (
            f"{head}expected {self.expected}, got {self.got}.",
            f"  Why: {self.why}",
            f"  Fix: {self.fix}",
        )
        return "\n".join(map(_printable, lines))


def _printable(line: str) -> str:
    """Line ends and control characters of what was written must not forge lines of a log."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _reading_order(problem: Problem) -> tuple[bool, str, int, int]:
    """The file from top to bottom, then variables by name."""
    place = problem.place
    return (not place.line, place.source, place.line, place.column)


def raise_all(problems: Iterable[Problem]) -> None:
    """Raises ConfigError with every problem, in the order of their places; nothing if none."""
    found = sorted(dict.fromkeys(problems), key=_reading_order)
    if found:
        raise ConfigError("\n".join(map(str, found)))
