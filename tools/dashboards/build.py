"""From query files to panels and dashboards.

A dashboard module is a list of rows; a row is a title and panels; a panel is one line: the kind of
picture, the query's name, its size.  Title, description, units, columns and links come from the
query file, so that the picture and `agentrun stats` say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    logs,
    nodegraph,
    piechart,
    stat,
    table,
    timeseries,
    trend,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DynamicConfigValue,
    VariableModel,
)
from grafana_foundation_sdk.models.nodegraph import ArcOption
from grafana_foundation_sdk.models.piechart import PieChartType

from collector.dashboards import query
from collector.dashboards.query import Column, Query
from collector.dashboards.scope import FILTERS
from tools.dashboards import links, look, variables

FORMATS: Final = {"timeseries": 0, "table": 1, "logs": 2, "traces": 3}
PLUGIN_VERSION: Final = "4.20.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One panel: how a query is shown."""

    kind: str
    name: str
    by: str = ""
    """Dimension of this panel; "" for the dashboard's own choice."""
    width: int = 12
    height: int = 8
    title: str = ""
    only: tuple[str, ...] = ()
    """Columns of a table or a stat, in this order; all where empty."""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def query(self) -> Query:
        return query.load(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    panels: Sequence[Shown | Callable[[], Any]]
    """Query files, or functions that give a builder of the SDK."""
    collapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    uid: str
    title: str
    description: str
    variables: Sequence[Builder[VariableModel]]
    rows: Sequence[Row]
    period: str = "now-24h"
    refresh: str = ""

    @property
    def shown(self) -> list[Shown]:
        """Panels that show a query file."""
        return [panel for row in self.rows for panel in row.panels if isinstance(panel, Shown)]


class ClickHouseQuery(Dataquery, Builder[Dataquery]):
    """What a panel asks the ClickHouse plugin."""

    def __init__(self, sql: str, format_: str, ref: str = "A") -> None:
        self._sql = sql
        self._format = format_
        self._ref = ref

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self._ref,
            "datasource": variables.SOURCE.to_json(),
            "editorType": "sql",
            "queryType": self._format,
            "format": FORMATS[self._format],
            "pluginVersion": PLUGIN_VERSION,
            "rawSql": self._sql,
        }


def shown(kind: str) -> Callable[..., Shown]:
    def make(name: str, width: int = 12, height: int = 8, **rest: Any) -> Shown:
        own = {"by", "title", "only"}
        options = {key: value for key, value in rest.items() if key not in own}
        given = {key: value for key, value in rest.items() if key in own}
        return Shown(kind=kind, name=name, width=width, height=height, options=options, **given)

    return make


numbers = shown("stat")
"""Figures of one row, each with its unit."""
series = shown("timeseries")
"""Lines over time; `stacked=True` for bars."""
progress = shown("trend")
"""Lines over a number, the first column."""
rows = shown("table")
bars = shown("barchart")
shares = shown("piechart")
graph = shown("nodeGraph")
"""Nodes, and `edges=` the query of the links between them."""
spans = shown("traces")
records = shown("logs")


def built(board: Dashboard) -> Any:
    """The SDK's dashboard; its encoder writes the JSON."""
    many = any(name in panel.query.filters for panel in board.shown for name in FILTERS)
    found = (
        dashboard.Dashboard(f"Agents / {board.title}")
        .uid(board.uid)
        .description(board.description)
        .tags([links.TAG])
        .time(board.period, "now")
        .refresh(board.refresh)
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(links.across())
    )
    chosen_by = [one.query.dimensions for one in board.shown if not one.by and one.query.dimensions]
    assert all(one == chosen_by[0] for one in chosen_by), f"{board.uid}: one meaning of `by` only"
    for variable in board.variables:
        found = found.with_variable(variable)
    if chosen_by:
        found = found.with_variable(variables.by(chosen_by[0]))
    number = 0
    for row in board.rows:
        made = []
        for panel in row.panels:
            number += 1
            one = picture(panel, many=many) if isinstance(panel, Shown) else panel()
            made.append(one.id(number))
        number += 1
        head = dashboard.Row(row.title).id(number)
        if row.collapsed:
            for one in made:
                head = head.with_panel(one)
            found = found.with_row(head)
        else:
            found = found.with_row(head)
            for one in made:
                found = found.with_panel(one)
    return found.build()


def picture(panel: Shown, *, many: bool) -> Any:
    """The panel's builder."""
    asked = panel.query
    sql = asked.grouped(panel.by)
    by = f" --by {panel.by}" if panel.by else ""
    said = f"{asked.description}\n\n`agentrun stats {asked.name}{by}`"
    if asked.answers:
        said += f"\n\nAnswers {', '.join(asked.answers)}."
    format_ = {"traces": "traces", "logs": "logs", "timeseries": "timeseries"}.get(
        panel.kind, "table"
    )
    made = (
        _MAKERS[panel.kind](panel, asked)
        .title(panel.title or asked.title)
        .description(said)
        .datasource(variables.SOURCE)
        .with_target(ClickHouseQuery(sql, format_))
        .span(panel.width)
        .height(panel.height)
    )
    if edges := panel.options.get("edges"):
        made = made.with_target(ClickHouseQuery(query.load(edges).sql, format_, "B"))
    if panel.kind not in ("traces", "logs"):
        made = made.no_value(asked.empty or look.EMPTY)
        for column in asked.columns:
            made = made.override_by_name(column.name, properties(panel, column, many=many))
    return made


# ------------------------------------------------------------------ columns


def properties(panel: Shown, column: Column, *, many: bool) -> list[DynamicConfigValue]:
    """What is said of one column: name, unit, color, link."""
    found = []
    labeled = panel.kind == "timeseries" and any(one.unit == "text" for one in panel.query.columns)
    is_x = panel.kind == "trend" and column is panel.query.columns[0]  # found by its name
    if not labeled and not is_x:
        found.append(DynamicConfigValue("displayName", column.label))
    if not column.is_text:
        found.append(DynamicConfigValue("unit", column.unit))
    if column.decimals is not None:
        found.append(DynamicConfigValue("decimals", column.decimals))
    if column.colored and column.colored in look.THRESHOLDS:
        found.append(look.thresholds_property(column.colored))
    if column.colored == "word":
        found.append(look.word_mappings())
    if panel.kind == "table":
        found += _cell(panel, column, many=many)
    return found


def _cell(panel: Shown, column: Column, *, many: bool) -> list[DynamicConfigValue]:
    found = []
    if column.hidden or (panel.only and column.name not in panel.only):
        found.append(DynamicConfigValue("custom.hidden", True))
    if column.width:
        found.append(DynamicConfigValue("custom.width", column.width))
    if column.colored == "bar":
        cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        found += [DynamicConfigValue("custom.cellOptions", cell), DynamicConfigValue("min", 0)]
    elif column.colored:
        found.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    if listed := links.of_column(column, many=many, by=panel.by):
        found.append(DynamicConfigValue("links", listed))
    return found


# ------------------------------------------------------------------ kinds of pictures


def _stat(panel: Shown, asked: Query) -> Any:
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/").values(False)
    wanted = panel.only or tuple(
        one.name for one in asked.columns if not one.is_text and not one.hidden
    )
    pattern = "|".join(re.escape(one.label) for one in asked.columns if one.name in wanted)
    reduce = reduce.fields(f"/^({pattern})$/")
    return (
        stat.Panel()
        .reduce_options(reduce)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)
        .justify_mode(kinds.BigValueJustifyMode.CENTER)
        .thresholds(look.thresholds(""))
    )


def _series(panel: Shown, asked: Query) -> Any:
    values = [column for column in asked.columns if not column.is_text]
    texts = [column.name for column in asked.columns if column.unit == "text"]
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .calcs([])
    )
    tooltip = (
        common.VizTooltipOptions()
        .mode(kinds.TooltipDisplayMode.MULTI)
        .sort(kinds.SortOrder.DESCENDING)
    )
    made = (
        timeseries.Panel()
        .legend(legend)
        .tooltip(tooltip)
        .line_width(2)
        .fill_opacity(8)
        .show_points(kinds.VisibilityMode.AUTO)
        .span_nulls(False)
        .unit(values[0].unit)
        .min(0)
        .thresholds(look.thresholds(""))
    )
    if texts:
        label = "${__field.labels." + texts[0] + "}"
        made = made.display_name(label if len(values) == 1 else label + " ${__field.name}")
        if panel.options.get("words"):
            for word, color in look.COLORS.items():
                made = made.override_by_name(
                    word, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})]
                )
    if panel.options.get("stacked"):
        made = (
            made.draw_style(kinds.GraphDrawStyle.BARS)
            .fill_opacity(70)
            .line_width(0)
            .stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
        )
    return made


def _trend(panel: Shown, asked: Query) -> Any:
    """Lines over the first column, a number."""
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .calcs([])
    )
    return (
        trend.Panel()
        .x_field(asked.columns[0].name)
        .legend(legend)
        .line_interpolation(kinds.LineInterpolation.STEP_AFTER)
        .line_width(2)
        .min(0)
    )


def _table(panel: Shown, asked: Query) -> Any:
    made = table.Panel().show_header(True).cell_height(kinds.TableCellHeight.SM).filterable(True)
    order = panel.options.get("sort")
    if order:
        label = next(one.label for one in asked.columns if one.name == order)
        made = made.sort_by([common.TableSortByFieldState().display_name(label).desc(True)])
    return made


def _bars(panel: Shown, asked: Query) -> Any:
    values = [column for column in asked.columns if not column.is_text]
    return (
        barchart.Panel()
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .unit(values[0].unit)
        .fill_opacity(80)
        .show_value(kinds.VisibilityMode.AUTO)
        .x_field(asked.columns[0].name)
        .min(0)
    )


def _shares(panel: Shown, asked: Query) -> Any:
    values = [column for column in asked.columns if not column.is_text]
    return (
        piechart.Panel()
        .pie_type(PieChartType.DONUT)
        .reduce_options(
            common.ReduceDataOptions()
            .calcs(["lastNotNull"])
            .values(True)
            .fields(f"/^{values[0].label}$/")
        )
        .unit(values[0].unit)
    )


def _graph(panel: Shown, asked: Query) -> Any:
    """Circles and arrows.  The panel knows the two queries apart by their columns: an edge has
    `source` and `target`; a node's ring is its `arc__` columns, its menu the `detail__` ones."""
    colors = {"arc__completed": "green", "arc__failed": "red", "arc__open": "blue"}
    arcs: list[Builder[ArcOption]] = [
        nodegraph.ArcOption().field(name).color(color) for name, color in colors.items()
    ]
    return nodegraph.Panel().nodes(nodegraph.NodeOptions().arcs(arcs))


def _spans(panel: Shown, asked: Query) -> Any:
    return dashboard.Panel().type("traces")


def _records(panel: Shown, asked: Query) -> Any:
    return logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)


_MAKERS: Final[dict[str, Callable[[Shown, Query], Any]]] = {
    "stat": _stat,
    "timeseries": _series,
    "trend": _trend,
    "table": _table,
    "barchart": _bars,
    "piechart": _shares,
    "nodeGraph": _graph,
    "traces": _spans,
    "logs": _records,
}
