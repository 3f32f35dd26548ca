"""`python -m tests.frameworks`: install the frameworks and print their interpreter."""

from __future__ import annotations

import sys

from tests.frameworks.environment import NotInstalledError, python

if __name__ == "__main__":
    try:
        sys.stdout.write(f"{python()}\n")
    except NotInstalledError as error:
        sys.exit(f"Error: {error}\n  The tests of tests/frameworks will be skipped.")
