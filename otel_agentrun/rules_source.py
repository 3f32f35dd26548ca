"""Rules for the application itself: `install(rules=...)`, `OTEL_AGENTRUN_RULES=FILE`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_agentrun.rules import DEFAULTS, Ruleset
from otel_agentrun.rules.plain_file import RulesError, read

__all__ = ["load"]


def load(source: str | Path | Mapping[str, Any] | Ruleset) -> Ruleset:
    """Rules from a file, from its values, or as they are.

    A file holds JSON, what `agentrun rules check FILE --json` prints or the part of it under
    `rules`; a `.yaml` or `.yml` one needs the package pyyaml.  Raises RulesError with everything
    that is wrong, OSError, and ImportError for YAML without pyyaml.
    """
    if isinstance(source, Ruleset):
        return source
    values: Any = source
    if isinstance(source, str | Path):
        path = Path(source)
        text = path.read_text("utf-8")
        values = _yaml(path, text) if path.suffix in (".yaml", ".yml") else _json(path, text)
    if isinstance(values, Mapping) and isinstance(values.get("rules"), Mapping):
        values = values["rules"]
    return Ruleset(read(values if values is not None else {}), DEFAULTS)


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RulesError(
            f"{path}: expected JSON: {error}.\n  Fix: write it with "
            "`agentrun rules check FILE --json`."
        ) from None


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ImportError(
            f"{path}: reading YAML in an application needs pyyaml.\n"
            "  Fix: pip install pyyaml, or give JSON: `agentrun rules check FILE --json`."
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RulesError(f"{path}: expected YAML: {error}") from None
