"""One `rules.yaml` in, one frozen `RulesFile` out: read strictly, all mistakes in one report."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from collector.accounting import Accounting
from collector.config.document import Items, Node, Scalar, parse
from collector.config.problems import Place, Problem, raise_all
from collector.config.reader import Places, Reader
from collector.errors import ConfigError
from collector.runs.judge import RulesInForce
from otel_agentrun.rules import DEFAULTS, Ruleset, RulesFile
from otel_agentrun.rules.checks import mistakes

__all__ = ["RulesFileWatch", "load", "parse_rules", "ruleset"]

log = logging.getLogger(__name__)


def load(path: Path) -> RulesFile:
    """Read a rules file.

    Raises:
        ConfigError: with a report of every problem found.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(
            place=Place(source=str(path)),
            key="",
            expected="a readable file in UTF-8",
            got=(said or type(error).__name__).lower(),
            why="the rules are read from it.",
            fix="correct the path, the file's permissions or its encoding.",
        )
        raise_all([problem])
        raise AssertionError from error  # raise_all has raised
    return parse_rules(text, str(path))


def parse_rules(text: str, source: str) -> RulesFile:
    """Rules from YAML (JSON is YAML); `source` is what places are called.  Raises ConfigError."""
    problems: list[Problem] = []
    node = parse(text, source, problems)
    reader = Reader(problems)
    file = _read(reader, node)
    bad = {problem.key for problem in problems}
    problems += [
        Problem(
            place=_place(mistake.key, reader.places, source),
            key=mistake.key,
            expected=mistake.expected,
            got=mistake.got,
            why=mistake.why,
            fix=mistake.fix,
        )
        for mistake in mistakes(file)
        if not any(key and mistake.key.startswith(key) for key in bad)
    ]
    raise_all(problems)
    return file


def ruleset(path: Path | None) -> Ruleset:
    """The rules in force with this file, or without one.  Raises ConfigError."""
    return Ruleset(RulesFile() if path is None else load(path), DEFAULTS)


def _read(reader: Reader, node: Node | None) -> RulesFile:
    if isinstance(node, Items) or (isinstance(node, Scalar) and node.value is not None):
        reader.section(RulesFile, None, node, "")
        return RulesFile()
    found: RulesFile = reader.section(RulesFile, None, node, "")
    return found


def _place(key: str, places: Places, source: str) -> Place:
    """Of the setting, else of what it is in."""
    while key and key not in places:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return places.get(key) or Place(source=source, line=1, column=1)


class RulesFileWatch:
    """Puts a rules file in force again when it changes; with mistakes in it nothing changes."""

    def __init__(self, path: Path | None, rules: RulesInForce, accounting: Accounting) -> None:
        self._path = path
        self._rules = rules
        self._accounting = accounting
        self._seen = self._stamp()

    def look(self) -> None:
        """Look whether the file is another one; a moment without it (an editor) is no change."""
        stamp = self._stamp()
        if self._path is None or stamp is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            found = ruleset(self._path)
        except ConfigError as error:
            log.error("rules_not_reloaded", extra={"reason": str(error)})
            self._accounting.error("rules", str(error), at_ns=time.time_ns())
            return
        if found.version != self._rules.ruleset.version:
            self._rules.ruleset = found
            log.info("rules_reloaded", extra={"version": found.version, "rules": len(found.rules)})

    def _stamp(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)
