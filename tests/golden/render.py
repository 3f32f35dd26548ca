"""What the pure core makes of the captures, as text that reads well in a diff.

Spans and log records of every capture in `tests/captures/` go through the dialects and the fold,
with prices; `tests/golden/<source>.txt` keeps the result.  Fields with their default value are
left out.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final

from collector.runs.assembler import Assembler
from collector.runs.run import PlacedStep, Run
from collector.runs.trace import Pricing
from otel_agentrun import dialects
from otel_agentrun.prices import PriceBook
from tests.support import captures
from tests.support.truth import NOW_NS, load

FOLDER: Final = Path(__file__).parent
VOLATILE: Final = frozenset({"revision", "version", "price_version"})
"""Change with every release, whatever was sent."""
SAID_ALREADY: Final = frozenset(
    {
        "step",
        "span_id",
        "trace_id",
        "run_id",
        "group_id",
        "kind",
        "name",
        "labels",
        "start_ns",
        "end_ns",
    }
)
"""Of a step: what starts its line, stands with its run, or is the same in the capture."""


def files() -> dict[Path, str]:
    """Path -> what it must hold."""
    return {FOLDER / f"{source}.txt": render(source) for source in captures.sources()}


def render(source: str) -> str:
    book = PriceBook()
    pricing = Pricing(
        model=book.cost_nano_usd, tool=lambda step: book.tool_cost_nano_usd(step.tool_name)
    )
    assembler = Assembler(pricing=pricing)
    for _, spans in sorted(captures.by_trace(captures.folder(source)).items()):
        for span in spans:
            step = dialects.step(span)
            assembler.add([step, *dialects.told(span, step)], NOW_NS)
    for event in load(source).events:
        assembler.add_event(event, NOW_NS)
    changes = assembler.changes()
    lines: list[str] = []
    for run in sorted(changes.runs, key=lambda run: run.group_id):
        lines += _run(run, [step for step in changes.steps if step.run_id == run.run_id])
    return "\n".join(lines) + "\n"


def _run(run: Run, placed: list[PlacedStep]) -> list[str]:
    """A line for each field, one for all counts, one for each step."""
    lines = [f"run {run.run_id}"]
    for name, value in _stated(run).items():
        if name != "total" or run.total != run.own:
            lines.append(f"  {name}: {_text(value)}")
    placed.sort(key=lambda each: each.step.key)
    return [*lines, *(f"    {_step(each)}" for each in placed), ""]


def _step(placed: PlacedStep) -> str:
    """What it is, and what was read of it."""
    step = placed.step
    said = _stated(placed) | _stated(step)
    for name in SAID_ALREADY:
        said.pop(name, None)
    words = [f"{name}={_text(value)}" for name, value in sorted(said.items())]
    return " ".join([step.span_id, step.kind.value, _text(step.name), *words])


def _stated(value: Any) -> dict[str, Any]:
    """Fields of a dataclass that differ from their default, in order of their definition."""
    found = {}
    for field in fields(value):
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        held = getattr(value, field.name)
        if held != default and field.name not in VOLATILE:
            found[field.name] = held
    return found


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_stated)
