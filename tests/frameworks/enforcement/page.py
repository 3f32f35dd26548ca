"""docs/enforcement.md, of the frameworks (`catalog`) and what was recorded of them (`results/`).

python -m tests.frameworks.enforcement.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.frameworks.enforcement import outcome
from tests.frameworks.enforcement.catalog import FRAMEWORKS, Framework
from tests.frameworks.enforcement.scenarios import SCENARIOS, by_name

__all__ = ["PAGE", "page", "write"]

PAGE: Final = Path(__file__).parents[3] / "docs" / "enforcement.md"
MODES: Final = {
    "sync": "sync", "stream": "stream", "async": "async", "astream": "async stream",
}  # fmt: skip
WORKS: Final = "✓"
HEAD: Final = """\
<!-- Written by `python -m tests.frameworks.enforcement.page` from the catalog and the results in
     tests/frameworks/enforcement: edit those. -->
# What works in which framework

Every cell of this table is a run of the real package against a scripted model and a real
collector, played by `tests/frameworks/enforcement`. CI plays them again: a result that differs
fails.

{scenarios}

After each stop the tests look at more:

- No model or tool call was made after the step that the decision followed: a budget is overdrawn
  by that step at most.
- The collector has the run as `killed`, with its stop reason, whatever the framework did.
- `agentrun.stopped_by(error)` found the stop in what reached the application.
- A `finally` block around the agent made an HTTP request and opened a database span.
- The next run, in the same thread and event loop, completed.

## Overview

{overview}

`✓`: as said above, in every mode that the framework has; else the modes in which it does; `-`: left
out. Modes are `sync`, `stream` (synchronous), `async` and `async stream`.
"""
GATES: Final = {
    "span": "the start of the next span",
    "guard": "the model-client guard",
    "step": "our own step",
}
FOOT: Final = """\
## Reading it

- **What refuses**: the start of the next span of agent instrumentation (gate 1), the model-client
  guard (gate 2), or a step of ours ([stopping](stopping.md)).
- **What arrives**: what the application catches. With `agentrun.run()` around the agent that is
  `RunStoppedError`, an `Exception`; without it whatever the framework lets through of `RunStopped`.
- **approval**, where a framework begins tool calls in an event loop: nothing can wait there, so the
  rule's `pause_fallback` acts; these runs had `kill`. A tool that asks by itself (`ask`) waits
  everywhere.
- **pause** in an event loop waits in the model client (gate 2), which can be awaited.
"""


def page() -> str:
    """Of everything that was recorded; frameworks without results are not in it."""
    known = [(each, found) for each in FRAMEWORKS if (found := outcome.read(each)) is not None]
    parts = [
        HEAD.format(
            scenarios="\n".join(f"- **{each.name}**: {each.says}." for each in SCENARIOS),
            overview=_overview(known),
        )
    ]
    parts += [_section(framework, found) for framework, found in known]
    parts.append(FOOT)
    return "\n".join(parts)


def _overview(known: list[tuple[Framework, dict[str, Any]]]) -> str:
    names = [scenario.name for scenario in SCENARIOS]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for framework, found in known:
        cells = [_cell(framework, found["plays"], name) for name in names]
        lines.append(f"| [{framework.title}](#{_anchor(framework.title)}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(framework: Framework, plays: dict[str, str], name: str) -> str:
    """In which modes a scenario went as it should."""
    good = [mode for mode in framework.modes if _is_good(name, plays.get(f"{name}/{mode}", ""))]
    if len(good) == len(framework.modes):
        return WORKS
    if good:
        return ", ".join(MODES[mode] for mode in good)
    if name == "approval" and framework.falls_back:
        return "falls back"
    if any(f"{name}/{mode}" in plays for mode in framework.modes):
        return "returns"
    return "-"


def _is_good(name: str, said: str) -> bool:
    wanted = "stopped" if by_name(name).stop_reason else "finished"
    return said.startswith(wanted)


def _section(framework: Framework, found: dict[str, Any]) -> str:
    plays: dict[str, str] = found["plays"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    known = framework.instrumentation in found["versions"]
    by = "" if known else f" Instrumentation: {framework.instrumentation}."
    lines = [f"## {framework.title}", "", f"Played with {versions}.{by}", ""]
    gates = {said.split()[2] for said in plays.values() if len(said.split()) == 3}
    if gates:
        refuses = " or ".join(words for gate, words in GATES.items() if gate in gates)
        lines.append(f"- What refuses: {refuses}.")
    for has_run, words in ((True, "with `agentrun.run()`"), (False, "without it")):
        raised = {
            said.split()[1]
            for key, said in plays.items()
            if said.startswith("stopped ") and by_name(key.partition("/")[0]).has_run is has_run
        }
        if raised:
            lines.append(f"- What arrives {words}: {', '.join(f'`{e}`' for e in sorted(raised))}.")
    if len(framework.modes) < len(MODES):
        modes = ", ".join(MODES[mode] for mode in framework.modes)
        lines.append(f"- Modes: {modes}.")
    for title, notes in (
        ("Left out", framework.leaves_out),
        ("Falls back", framework.falls_back),
        ("Stopped, and nothing is raised", framework.returns),
    ):
        for reason in dict.fromkeys(notes.values()):
            where = ", ".join(_where(key) for key, said in notes.items() if said == reason)
            lines.append(f"- {title} ({where}): {reason}.")
    return "\n".join([*lines, ""])


def _where(key: str) -> str:
    """`scenario/mode`, a scenario or a mode, in words."""
    scenario, _, mode = key.rpartition("/")
    name = MODES.get(mode, mode)
    return f"{scenario}, {name}" if scenario else name


def _anchor(title: str) -> str:
    kept = "".join(each for each in title.lower() if each.isalnum() or each in " -_")
    return kept.replace(" ", "-")


def write() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
