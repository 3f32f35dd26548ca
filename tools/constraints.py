"""Write `constraints.txt`: the exact version of every package that an extra brings, as installed.

    .venv/bin/python -m tools.constraints      # `make constraints`, after an upgrade in .venv

`pyproject.toml` says what works, in ranges; `constraints.txt` says what a checkout is tested with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TARGET: Final = Path(__file__).parents[1] / "constraints.txt"
PROJECT: Final = "otel-agentrun"
EXTRAS: Final = ("collector", "control", "deploy", "dev")
HEADER: Final = "# Written by `make constraints` from what is installed in .venv.\n"


def pinned() -> dict[str, str]:
    """Canonical name -> version, of everything the extras need here, the project excluded.

    Raises PackageNotFoundError when an extra is not installed.
    """
    found: dict[str, str] = {}
    todo: list[tuple[str, frozenset[str]]] = [(PROJECT, frozenset(EXTRAS))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        name, extras = one
        installed = distribution(name)
        found[name] = installed.version
        todo += needed(installed.requires or (), extras)
    del found[PROJECT]
    return found


def needed(lines: Iterable[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Requirements that hold on this machine, with the extras they ask for themselves."""
    wanted: list[tuple[str, frozenset[str]]] = []
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            wanted.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return wanted


def render() -> str:
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pinned().items()))


def main() -> None:
    try:
        text = render()
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed.\n  Fix: make .venv/.dev")
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
