"""`docs/grafana.md`: its template with a table of panels for each dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

from collector.dashboards import query
from tools.dashboards.alerts import Alert
from tools.dashboards.build import Dashboard, Shown

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "grafana.md"
TEMPLATE: Final = HERE / "grafana.template.md"


def page(boards: Sequence[Dashboard], groups: Mapping[str, tuple[Alert, ...]]) -> str:
    """The page as Markdown."""
    tables = "\n\n".join(_section(board) for board in boards)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        dashboards=tables, alerts=_alerts(groups)
    )


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


def _alerts(groups: Mapping[str, tuple[Alert, ...]]) -> str:
    lines = ["| alert | fires | says | `agentrun stats` | answers |", "|---|---|---|---|---|"]
    for alert in (alert for group in groups.values() for alert in group):
        asked = query.load(alert.name)
        limit = f"above {alert.above:g}" if alert.below is None else f"below {alert.below:g}"
        fires = f"{limit} for {alert.for_}, over {alert.period_secs // 60} minutes"
        ids = ", ".join(asked.answers)
        lines.append(
            f"| {asked.title} | {fires} | {_first(asked.description)} | `{asked.name}` | {ids} |"
        )
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
