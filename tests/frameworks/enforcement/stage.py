"""The second stage of CI: the frameworks that the test suite leaves out, as far as time allows.

    python -m tests.frameworks.enforcement.stage [--secs 300] [NAME]...

What is left out is said, with the reason, and is no failure; what fails is one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from typing import Final

from tests.frameworks.enforcement.catalog import FRAMEWORKS
from tests.frameworks.environment import NotInstalledError, python

__all__ = ["CHOSEN", "main"]

CHOSEN: Final = "AGENTRUN_TEST_FRAMEWORKS"
"""Names of frameworks that the tests play, with commas; by default those of the first stage."""
PLAY_SECS: Final = 45.0
"""What playing a framework takes, at most, and what must be left to begin it."""
TESTS: Final = "tests/frameworks/enforcement/test_enforcement.py"


def main(names: list[str], secs: float) -> int:
    deadline = time.monotonic() + secs
    chosen = [each for each in FRAMEWORKS if each.stage == 2 and (not names or each.name in names)]
    status = 0
    for framework in chosen:
        left = deadline - time.monotonic() - PLAY_SECS
        if left <= 0:
            say(f"{framework.title}: skipped: no time is left of {secs:.0f} s")
            continue
        try:
            python(framework.environment, secs=left, large=True)
        except NotInstalledError as error:
            say(f"{framework.title}: skipped: {error}")
            continue
        code = _tested(framework.name, max(deadline - time.monotonic(), 0.0))
        if code is None:
            say(f"{framework.title}: skipped: it was not done within {secs:.0f} s")
            continue
        say(f"{framework.title}: {'failed' if code else 'passed'}")
        status = status or code
    return status


def _tested(name: str, secs: float) -> int | None:
    """The exit status of its tests; `None`: they took longer, and ended with all they began."""
    command = [sys.executable, "-m", "pytest", "-q", TESTS]
    environment = {**os.environ, CHOSEN: name}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            return process.wait(secs)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--secs", type=float, default=300.0, help="for all of them")
    given = parser.parse_args()
    sys.exit(main(given.names, given.secs))
