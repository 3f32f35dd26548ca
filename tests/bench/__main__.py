"""Run the benches, one after the other, each in a process of its own.

    python -m tests.bench                    # all of them (`make bench`)
    python -m tests.bench list               # what there is
    python -m tests.bench journal decode     # some
    python -m tests.bench decode --spans 64  # one, with its own options

Exit status 1 when one failed.
"""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


def benches() -> dict[str, str]:
    """Name -> the first line of what its module says of itself, without importing it."""
    found = {}
    for path in sorted(HERE.glob("bench_*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.removeprefix("bench_")] = text.partition("\n")[0]
    return found


def run(name: str, options: list[str]) -> bool:
    """Whether it ended well; it prints its figures itself."""
    command = [sys.executable, "-m", f"tests.bench.bench_{name}", *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main(words: list[str]) -> int:
    known = benches()
    if words == ["list"]:
        for name, line in known.items():
            say(f"{name:<12} {line}")
        return 0
    first_option = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    names, options = words[:first_option], words[first_option:]
    unknown = [name for name in names if name not in known]
    if unknown:
        say(f"Error: no bench {', '.join(unknown)}; there are {', '.join(known)}.")
        return 2
    if options and len(names) != 1:
        say("Error: options are for one bench: name it before them.")
        return 2
    machine = platform.processor() or platform.machine()
    say(f"# {machine}, {os.cpu_count()} cores, Python {platform.python_version()}")
    failed = []
    for name in names or known:
        say(f"\n# {name}: {known[name]}")
        if not run(name, options):
            failed.append(name)
    if failed:
        say(f"\nError: failed: {', '.join(failed)}")
    return 1 if failed else 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
