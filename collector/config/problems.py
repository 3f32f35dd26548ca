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
        return (
            f"{head}expected {self.expected}, got {self.got}.\n  Why: {self.why}\n  Fix: {self.fix}"
        )


def raise_all(problems: Iterable[Problem]) -> None:
    """Raises ConfigError with every problem, in the order of their places; nothing if none."""
    found = sorted(
        dict.fromkeys(problems), key=lambda p: (p.place.source, p.place.line, p.place.column)
    )
    if found:
        raise ConfigError("\n".join(map(str, found)))
