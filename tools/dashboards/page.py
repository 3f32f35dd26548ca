"""`docs/grafana.md`: its template with a table of panels for each dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

import yaml

from collector.dashboards import query
from tools.dashboards.alerts import MetricAlert, Rule
from tools.dashboards.build import Dashboard, Shown

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "grafana.md"
TEMPLATE: Final = HERE / "grafana.template.md"
QUESTIONS: Final = HERE / "questions.yaml"
SHOWN_MAX: Final = 6
"""Panels named per question."""


def page(boards: Sequence[Dashboard], groups: Mapping[str, tuple[Rule, ...]]) -> str:
    """The page as Markdown."""
    tables = "\n\n".join(_section(board) for board in boards)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        dashboards=tables, alerts=_alerts(groups), questions=_questions(boards, groups)
    )


def questions() -> dict[str, str]:
    """Id -> what is asked."""
    found: dict[str, str] = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    return found


def answered(
    boards: Sequence[Dashboard], groups: Mapping[str, tuple[Rule, ...]]
) -> dict[str, list[str]]:
    """Id -> what answers it: `Dashboard: panel` or `Alert: rule`, each named once."""
    found: dict[str, list[str]] = {}
    for board in boards:
        for panel in (panel for row in board.rows for panel in row.panels):
            if isinstance(panel, Shown):
                title, ids = panel.title or panel.query.title, panel.query.answers
            else:
                metric = panel.__self__  # type: ignore[attr-defined]  # a Metric's bound method
                title, ids = metric.title, metric.answers.split(", ")
            for one in ids:
                found.setdefault(one, []).append(f"{board.title}: {title}")
    for alert in (alert for group in groups.values() for alert in group):
        if not isinstance(alert, MetricAlert):
            for one in query.load(alert.name).answers:
                found.setdefault(one, []).append(f"Alert: {query.load(alert.name).title}")
    return found


def _questions(boards: Sequence[Dashboard], groups: Mapping[str, tuple[Rule, ...]]) -> str:
    by = answered(boards, groups)
    lines = ["| id | question | answered by |", "|---|---|---|"]
    for one, text in questions().items():
        panels = list(dict.fromkeys(by.get(one, ())))
        shown = "; ".join(panels[:SHOWN_MAX]) + (" …" if len(panels) > SHOWN_MAX else "")
        lines.append(f"| {one} | {text} | {shown} |")
    return "\n".join(lines)


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


def _alerts(groups: Mapping[str, tuple[Rule, ...]]) -> str:
    lines = ["| alert | fires | says | `agentrun stats` | answers |", "|---|---|---|---|---|"]
    for alert in (alert for group in groups.values() for alert in group):
        if isinstance(alert, MetricAlert):
            says = _first(alert.shown.description)
            fires = f"above {alert.above:g} for {alert.for_}"
            lines.append(
                f"| {alert.title} | {fires} | {says} | `/metrics` | {alert.shown.answers} |"
            )
            continue
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
