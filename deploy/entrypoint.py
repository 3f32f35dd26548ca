#!/usr/bin/env python3
"""Entry point of the image: secrets become variables, then the command takes over the process.

Each file in the folder of secrets (`/run/secrets`, or `AGENTRUN_SECRETS_FOLDER`) that is named like
a variable is one: `/run/secrets/AGENTRUN_STORE_URL`.  So secrets stay out of `docker inspect`, the
compose file and pod specifications.  A variable that is set already wins.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = "AGENTRUN_SECRETS_FOLDER"
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class SecretError(Exception):
    """A secret that cannot be read.  Starting without it would hide the mistake."""


def with_secrets(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`env` and the secrets of `folder`, without the line end that editors add.

    Raises SecretError.
    """
    found = {name: text for name, text in env.items() if name != FOLDER}
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if VARIABLE.fullmatch(file.name) and file.is_file():
                try:
                    text = file.read_text(encoding="utf-8").rstrip("\r\n")
                except (OSError, UnicodeError) as error:
                    raise SecretError(f"{file}: {error}") from error
                found.setdefault(file.name, text)
    return found


def say(problem: str, status: int) -> int:
    sys.stderr.write(f"agentrun-entrypoint: {problem}\n")
    return status


def main(words: list[str]) -> int:
    if not words:
        return say("name a command, such as `agentrun up`.", 2)
    folder = Path(os.environ.get(FOLDER, "/run/secrets"))
    try:
        env = with_secrets(os.environ, folder)
    except SecretError as error:
        return say(
            f"a secret cannot be read: {error}.\n"
            f"  Fix: let the user with the id {os.getuid()} read it, or take it out of the folder.",
            2,
        )
    try:
        os.execvpe(words[0], words, env)  # same process: signals reach the command
    except OSError as error:
        return say(f"{words[0]} cannot be started: {error}.", 127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
