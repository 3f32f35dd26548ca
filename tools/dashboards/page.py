"""`docs/grafana.md`: its template with a table of panels for each dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

from tools.dashboards.build import Dashboard, Shown

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "grafana.md"
TEMPLATE: Final = HERE / "grafana.template.md"


def page(boards: Sequence[Dashboard]) -> str:
    """The page as Markdown."""
    tables = "\n\n".join(_section(board) for board in boards)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(dashboards=tables)


def _section(board: Dashboard) -> str:
    lines = [
        f"### {board.title}",
        "",
        f"{board.description} (`{board.uid}`)",
        "",
        "| panel | says | `agentrun stats` | answers |",
        "|---|---|---|---|",
    ]
    panels = (panel for row in board.rows for panel in row.panels)
    lines += [_shown(one) if isinstance(one, Shown) else _metric(one) for one in panels]
    return "\n".join(lines)


def _shown(panel: Shown) -> str:
    asked = panel.query
    by = f" --by {panel.by}" if panel.by not in ("", "all") else ""
    by = by or (" --by …" if asked.dimensions and not panel.by else "")
    ids = ", ".join(asked.answers)
    title, says = panel.title or asked.title, _first(asked.description)
    return f"| {title} | {says} | `{asked.name}{by}` | {ids} |"


def _metric(panel: object) -> str:
    metric = panel.__self__  # type: ignore[attr-defined]  # rows hold the bound method of a Metric
    return f"| {metric.title} | {_first(metric.description)} | `/metrics` | {metric.answers} |"


def _first(text: str) -> str:
    """Its first sentence."""
    return text.partition(". ")[0].rstrip(".").replace("|", "\\|")
