"""Panels of the collector's own metrics, which Prometheus scrapes from `/metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableModel,
    VariableRefresh,
)

from tools.dashboards.variables import ALL

PLUGIN: Final = "prometheus"
SOURCE: Final = DataSourceRef(type_val=PLUGIN, uid="${prometheus}")
EMPTY: Final = "No data: does Prometheus scrape the collector's /metrics? (docs/grafana.md)"
OF: Final = '{instance=~"$instance"}'
"""Follows the name of every metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A panel of metrics: legend -> PromQL, in which `@` stands for the chosen instances."""

    title: str
    description: str
    unit: str
    queries: Mapping[str, str]
    answers: str = ""
    width: int = 12
    height: int = 8
    exact: bool = False
    """A figure that is right at 0 only."""
    limit: float | None = None
    """Red from here on."""

    def panel(self) -> Any:
        """The panel's builder."""
        made: Any = self._figure() if self.exact else self._lines()
        for at, (legend, expression) in enumerate(self.queries.items()):
            made = made.with_target(
                prometheus.Dataquery()
                .expr(expression.replace("@", OF))
                .legend_format(legend)
                .ref_id(chr(ord("A") + at))
                .datasource(SOURCE)
            )
        said = self.description + (f"\n\nAnswers {self.answers}." if self.answers else "")
        return (
            made.title(self.title)
            .description(said)
            .datasource(SOURCE)
            .unit(self.unit)
            .no_value(EMPTY)
            .span(self.width)
            .height(self.height)
        )

    def _figure(self) -> Any:
        steps = [Threshold(value=value, color=color) for value, color in
                 ((None, "red"), (0, "green"), (1, "red"))]  # fmt: skip
        return (
            stat.Panel()
            .color_mode(kinds.BigValueColorMode.BACKGROUND)
            .graph_mode(kinds.BigValueGraphMode.NONE)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        )

    def _lines(self) -> Any:
        legend = (
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .calcs([])
        )
        tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI)
        tooltip = tooltip.sort(kinds.SortOrder.DESCENDING)
        made = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(2).fill_opacity(8)
        if self.limit is not None:
            steps = [Threshold(value=None, color="green"), Threshold(value=self.limit, color="red")]
            made = made.thresholds(
                ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
            ).thresholds_style(
                common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
            )
        return made.min(0)


def source() -> list[Builder[VariableModel]]:
    """The Prometheus to ask, and which collectors."""
    instances = (
        QueryVariable("instance")
        .label("Collector")
        .datasource(SOURCE)
        .query({"query": "label_values(agentrun_items_received_total, instance)", "refId": "i"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(ALL)
    )
    return [DatasourceVariable("prometheus").label("Prometheus").type(PLUGIN), instances]
