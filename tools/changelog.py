"""Move the fragments of `changelog.d/` into `CHANGELOG.md` as the section of a release.

    python -m tools.changelog            # print what is unreleased
    python -m tools.changelog 0.2.0      # `make changelog VERSION=0.2.0`

A fragment is `changelog.d/<issue>.<type>.md`: one or more Markdown list items for users (symptom,
new behavior, how to migrate).  Types are those of Keep a Changelog 1.1.0.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CHANGELOG: Final = ROOT / "CHANGELOG.md"
FRAGMENTS: Final = ROOT / "changelog.d"
TYPES: Final = ("added", "changed", "deprecated", "removed", "fixed", "security")
UNRELEASED: Final = "## [Unreleased]\n"
VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


def section(fragments: Iterable[tuple[str, str]]) -> str:
    """The body of one release from (file name, text).  Raises ValueError for a bad file name."""
    texts: dict[str, list[tuple[int, str]]] = {}
    for name, text in fragments:
        issue, _, rest = name.partition(".")
        kind = rest.removesuffix(".md")
        if not issue.isdigit() or kind not in TYPES or not rest.endswith(".md"):
            raise ValueError(f"{name}: expected <issue>.<type>.md, type one of {', '.join(TYPES)}")
        texts.setdefault(kind, []).append((int(issue), text.strip()))
    parts = [
        f"### {kind.capitalize()}\n\n" + "\n".join(text for _, text in sorted(texts[kind]))
        for kind in TYPES
        if kind in texts
    ]
    return "\n\n".join(parts) + "\n"


def released(changelog: str, version: str, day: str, body: str) -> str:
    """The changelog with a section for `version` below the unreleased one."""
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version}: expected a version such as 0.2.0")
    if UNRELEASED not in changelog:
        raise ValueError(f"CHANGELOG.md has no line {UNRELEASED.strip()!r}")
    if f"## [{version}]" in changelog:
        raise ValueError(f"CHANGELOG.md has a section for {version} already")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {day}\n\n{body}", 1)


def main() -> None:
    files = sorted(path for path in FRAGMENTS.glob("*.md") if path.name != "README.md")
    try:
        body = section((path.name, path.read_text(encoding="utf-8")) for path in files)
        if len(sys.argv) < 2:
            sys.stdout.write(body)
            return
        if not files:
            raise ValueError("changelog.d/ holds no fragment")
        day = datetime.now(UTC).date().isoformat()
        text = released(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1], day, body)
    except ValueError as error:
        sys.exit(f"Error: {error}")
    CHANGELOG.write_text(text, encoding="utf-8")
    for path in files:
        path.unlink()


if __name__ == "__main__":
    main()
