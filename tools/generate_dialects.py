"""docs/dialects.md: prose from `dialects.template`, tables from the dialect modules themselves.

`make docs` writes it; `tests/dialects/test_reference.py` finds it stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import yaml

from collector.accounting import SCOPES_MAX
from collector.runs.quality import NOTES
from otel_agentrun.dialects import MODULES, genai, instrumentors
from otel_agentrun.dialects.mapping import CONTENT_FIELDS, LABELS, STEP_FIELDS
from otel_agentrun.dialects.unrecognized import WORDS

ROOT: Final = Path(__file__).parents[1]
TEMPLATE: Final = Path(__file__).with_name("dialects.template")
PAGE: Final = ROOT / "docs" / "dialects.md"
CAPTURES: Final = ROOT / "tests" / "captures"


def emitters() -> Iterator[tuple[str, ModuleType]]:
    """(name to show, module): dialects in their order, after OpenInference its instrumentors."""
    for module in MODULES:
        yield f"`{module.NAME}`", module
        if module.NAME == "openinference":
            for one in instrumentors.MODULES:
                yield f"`{module.NAME}`, {one.__name__.rpartition('.')[2]}", one


EMITTERS: Final = tuple(emitters())


def page() -> str:
    return TEMPLATE.read_text(encoding="utf-8").format(
        supported=table(("Dialect", "Reads", "Checked against"), map(supported, EMITTERS)),
        keys=table(("Dialect", "Field", "Attributes"), keys()),
        cannot=cannot(),
        gaps=table(("Capture", "Runs", "Fields", "Why"), gaps()),
        quality=table(("", "means"), ((f"`{name}`", text) for name, text in NOTES.items())),
        step_fields=names(STEP_FIELDS),
        labels=names(LABELS),
        content_fields=names(CONTENT_FIELDS),
        words=names(WORDS),
        scopes_max=SCOPES_MAX,
    )


def supported(emitter: tuple[str, ModuleType]) -> tuple[str, str, str]:
    name, module = emitter
    first = (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ").rstrip(".")
    return name, first, module.CHECKED


def keys() -> Iterator[tuple[str, ...]]:
    """Dialect, field and the attributes it reads that plain GenAI does not have."""
    plain = {key for own in genai.KEYS.values() for key in own}
    for module in MODULES:
        first = True
        for field, own in sorted(module.KEYS.items()):
            more = [key for key in own if module is genai or key not in plain]
            if more:
                name = f"`{module.NAME}`" if first else ""
                yield name, field, ", ".join(f"`{key}`" for key in more)
                first = False


def cannot() -> str:
    """One list of sentences for each dialect that has any."""
    parts = []
    for name, module in EMITTERS:
        if module.CANNOT_TELL:
            lines = "".join(f"\n- {sentence}" for sentence in module.CANNOT_TELL)
            parts.append(f"**{name}**\n{lines}")
    return "\n\n".join(parts)


def gaps() -> Iterator[tuple[str, ...]]:
    for path in sorted(CAPTURES.glob("*/gaps.yaml")):
        for gap in yaml.safe_load(path.read_text(encoding="utf-8")) or ():
            runs = "all" if gap["runs"] == "all" else ", ".join(gap["runs"])
            if gap.get("but"):
                runs += f" but {', '.join(gap['but'])}"
            yield path.parent.name, runs, ", ".join(gap["fields"]), gap["why"]


def names(of: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(of))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        PAGE.write_text(page(), encoding="utf-8")
        sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
