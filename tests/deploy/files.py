"""Reads the files of `deploy/` as the tools that use them do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose"
COMPOSE_FILES: Final = ("compose.yaml", "compose.embedded.yaml")
VARIABLE: Final = re.compile(r"\$\{([A-Z_]+)(?:(:-|:\?)([^}]*))?\}")


class MissingVariableError(Exception):
    """A required variable (`${NAME:?why}`) is not set."""


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?why}` as Compose fills them in."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if env.get(name):
            return env[name]
        if operator == ":-":
            return str(rest)
        raise MissingVariableError(f"{name}: {rest or 'not set'}")

    return VARIABLE.sub(value, text)


def example_env() -> dict[str, str]:
    """`.env` as `.env.example` has it."""
    lines = (COMPOSE / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose(name: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A compose file with its variables filled in, by default as `.env.example` does."""
    text = (COMPOSE / name).read_text(encoding="utf-8")
    # Comments are not interpolated by Compose either.
    lines = [line.split(" # ")[0] for line in text.splitlines() if not line.startswith("#")]
    loaded: dict[str, Any] = yaml.safe_load(
        interpolated("\n".join(lines), example_env() if env is None else env)
    )
    return loaded


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    joined = re.sub(r"\\\n", " ", text)
    return [
        (word.upper(), " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]
