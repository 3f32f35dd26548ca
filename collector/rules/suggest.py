"""Budgets from history: what runs of an agent and a kind of task have needed, and some room."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from collector.runs.run import Run

__all__ = ["RUNS_MIN", "suggest"]

Document = dict[str, Any]
NANO: Final = 1_000_000_000
RUNS_MIN: Final = 10
"""Fewer runs say nothing about the next one."""

MEASURES: Final[dict[str, tuple[Callable[[Run], float], float]]] = {
    "cost_usd": (lambda run: run.total.cost_nano_usd / NANO, 0.0001),
    "tokens": (lambda run: run.total.input_tokens + run.total.output_tokens, 1),
    "steps": (lambda run: run.total.steps, 1),
    "tool_calls": (lambda run: run.total.tool_calls, 1),
    "wall_secs": (lambda run: (run.ended_at_ns - run.started_at_ns) / NANO, 1),
}
"""Measure -> (its amount in a run, to which limits are rounded up)."""


def suggest(
    runs: Iterable[Run], *, percentile: float = 99.0, margin: float = 1.5, runs_min: int = RUNS_MIN
) -> Document:
    """Budgets that flag what is beyond `margin` times the percentile of completed root runs.

    Gives `{file, yaml, groups}`: the rules as plain values and as text, and what they come from.
    """
    grouped: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        if run.status == "completed" and not run.parent_run_id and run.agent_name:
            grouped[(run.agent_name, run.task_type)].append(run)
    budgets: list[Document] = []
    groups: list[Document] = []
    names: set[str] = set()
    for (agent, task), found in sorted(grouped.items()):
        enough = len(found) >= runs_min
        groups.append(
            {"agent_name": agent, "task_type": task or None, "runs": len(found), "enough": enough}
        )
        if not enough:
            continue
        for measure, (amount, unit) in MEASURES.items():
            known = [
                run
                for run in found
                if measure != "cost_usd" or run.cost_confidence_total != "unknown"
            ]
            top = quantile([amount(run) for run in known], percentile / 100) if known else 0.0
            if top > 0:
                limit = math.ceil(round(top * margin / unit, 6)) * unit
                budgets.append(
                    {
                        "name": _name(agent, task, measure, names),
                        "match": _match(agent, task),
                        "measure": measure,
                        "limit": round(limit, 6),
                    }
                )
    document: Document = {"budgets": budgets}
    head = (
        f"# Suggested from history: {margin:g} times the {percentile:g}th percentile of what\n"
        "# completed runs have used. They flag; `escalate: {warn: 1, kill: 2}` makes them act.\n"
    )
    return {"file": document, "yaml": head + _yaml(budgets), "groups": groups}


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(max(math.ceil(share * len(ordered)) - 1, 0), len(ordered) - 1)]


def _match(agent: str, task: str) -> str:
    text = f"agent_name == {_quoted(agent)}"
    return f"{text} and task_type == {_quoted(task)}" if task else text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _name(agent: str, task: str, measure: str, taken: set[str]) -> str:
    words = "-".join((agent, task, measure)).lower()
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in words)
    short = "-".join(part for part in plain.split("-") if part)[:56].rstrip("-")
    name = short if short[:1].isalpha() else f"agent-{short}"
    number = 2
    base = name
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    taken.add(name)
    return name


def _yaml(budgets: Sequence[Document]) -> str:
    """JSON strings are YAML strings."""
    if not budgets:
        return "budgets: []\n"
    lines = ["budgets:"]
    for each in budgets:
        lines += [
            f"  - name: {each['name']}",
            f"    match: {json.dumps(each['match'], ensure_ascii=False)}",
            f"    measure: {each['measure']}",
            f"    limit: {each['limit']:.10g}",
        ]
    return "\n".join(lines) + "\n"
