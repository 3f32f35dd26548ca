"""`python -m tests.frameworks [NAME]...`: install frameworks and print their interpreters.

Without names: all but the large ones.
"""

from __future__ import annotations

import sys

from tests.frameworks.environment import LARGE, NotInstalledError, names, python

if __name__ == "__main__":
    for name in sys.argv[1:] or [name for name in names() if name not in LARGE]:
        try:
            sys.stdout.write(f"{python(name, large=True)}\n")
        except NotInstalledError as error:
            sys.exit(f"Error: {error}\n  Tests that need them will be skipped.")
