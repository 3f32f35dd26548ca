"""Lints and renders the chart with Helm's own code: `python rendering.py CHART`.

A process of its own: the library is Go, whose runtime has no place in a test process that forks.
On stdin `{name: values}`, on stdout `{name: {"messages": [...], "documents": {template: text},
"error": ""}}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python


def rendered(chart: str, values: dict[str, Any]) -> dict[str, Any]:
    """One release `agentrun` in the namespace `obs`."""
    report = helm_python.lint(chart, values, strict=True)
    with helm_python.Chart.load(chart) as loaded:
        try:
            loaded.validate_schema(values)
            documents = loaded.render(values, name="agentrun", namespace="obs")
        except helm_python.HelmError as error:
            return {"messages": report["messages"], "documents": {}, "error": str(error)}
    return {"messages": report["messages"], "documents": documents, "error": ""}


if __name__ == "__main__":
    asked: dict[str, dict[str, Any]] = json.load(sys.stdin)
    answer = {name: rendered(sys.argv[1], values) for name, values in asked.items()}
    sys.stdout.write(json.dumps(answer))
