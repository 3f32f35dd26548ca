"""What came of a framework's plays, in words that do not change from one play to the next."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from tests.frameworks.enforcement import scenarios
from tests.frameworks.enforcement.catalog import Framework
from tests.frameworks.enforcement.session import Played
from tests.frameworks.environment import requirements

__all__ = ["RESULTS", "outcomes", "read", "record"]

RESULTS: Final = Path(__file__).parent / "results"


def outcomes(played: Played) -> dict[str, Any]:
    """Versions of the packages, and by `scenario/mode`: how it ended, what was raised and which
    gate refused."""
    found = {}
    for key, result in played.results.items():
        name, _, mode = key.partition("/")
        falls_back = name == "approval" and mode in played.framework.falls_back
        if result["stop"]:
            how = "stopped"
        elif scenarios.by_name(name).stop_reason or falls_back:
            how = "returned" if not result["error"] else "failed"
        else:
            how = "finished" if not result["error"] else "failed"
        found[key] = " ".join(filter(None, (how, result["error"], result["gate"])))
    return {"versions": versions(played.framework), "plays": found}


def versions(framework: Framework) -> dict[str, str]:
    text = requirements(framework.environment).read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", text, re.MULTILINE))
    return {name: pinned.get(name, "") for name in framework.packages}


def _path(framework: Framework) -> Path:
    return RESULTS / f"{framework.name}.json"


def record(played: Played) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(outcomes(played), indent=1)
    _path(played.framework).write_text(f"{text}\n", encoding="utf-8")


def read(framework: Framework) -> dict[str, Any] | None:
    """What was recorded; `None`: nothing was."""
    path = _path(framework)
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
