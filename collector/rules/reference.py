"""What editors and people need: `schemas/rules.schema.json` and `docs/rules.md`.

`python -m collector.rules.reference` writes both, in a checkout.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from collector.config.reference import about, section_schema, setting_rows
from otel_agentrun.rules import DEFAULTS, Budget, Loop, Policy, Rule, RulesFile
from otel_agentrun.rules.schema import ACTIONS

TEMPLATE: Final = "rules.template.md"
SECTIONS: Final[Mapping[str, type[Rule]]] = {"budgets": Budget, "loops": Loop, "policies": Policy}


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; what it refuses, `load` refuses, with all that a schema cannot say."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rules.yaml",
        **section_schema(RulesFile, RulesFile()),
    }


def markdown(template: str) -> str:
    """docs/rules.md: prose from the template, settings and defaults from the classes."""
    return (
        template.replace("<!-- settings -->\n", "".join(_settings()))
        .replace("<!-- defaults -->\n", "".join(_defaults()))
        .replace("<!-- actions -->", ", ".join(f"`{each}`" for each in ACTIONS))
    )


def _settings() -> Iterator[str]:
    yield "### The file\n\n"
    yield from setting_rows(RulesFile, RulesFile(), "")
    yield f"\n### Every rule\n\n{about(Rule)}\n\n"
    yield from setting_rows(Rule, None, "")
    common = {field.name for field in dataclasses.fields(Rule)}
    for name, cls in SECTIONS.items():
        yield f"\n### {name}[]\n\n{about(cls)}\n\n"
        yield from setting_rows(cls, None, f"{name}[].", leave_out=common)


def _defaults() -> Iterator[str]:
    yield "| rule | kind | finds | limit |\n|---|---|---|---|\n"
    for name in SECTIONS:
        for rule in getattr(DEFAULTS, name):
            what = getattr(rule, "measure", "") or getattr(rule, "pattern", "")
            what = what or getattr(rule, "policy", "")
            yield f"| `{rule.name}` | {name} | `{what}` | {rule.limit:g} |\n"


def files(root: Path) -> Mapping[str, str]:
    """Path in the repository -> the text that belongs there."""
    template = (root / "tools" / TEMPLATE).read_text(encoding="utf-8")
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    return {"schemas/rules.schema.json": schema + "\n", "docs/rules.md": markdown(template)}


if __name__ == "__main__":
    ROOT: Final = Path(__file__).parents[2]
    for place, text in files(ROOT).items():
        (ROOT / place).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{place}\n")
