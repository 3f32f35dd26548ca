"""Alert rules, in Grafana's file format for provisioning: `dashboards/alerting/*.yaml`.

Rules about the collector itself ask Prometheus (`MetricAlert`), those about agents ClickHouse.

An alert is a query file whose last column is the figure and whose other columns name what it is
about; each of its rows is judged by itself.  Its SQL has no variables: an alert rule has no
dashboard, so that `$database.` falls away and the data source's own database is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from collector.dashboards import query
from tools.dashboards.build import FORMATS, PLUGIN_VERSION
from tools.dashboards.collector import INVARIANT, JOURNAL
from tools.dashboards.metrics import Metric
from tools.dashboards.variables import PLUGIN

PROMETHEUS: Final = "agentrun-prometheus"
"""Id of the data source with the collectors' own metrics."""
SOURCE: Final = "otel-agentrun"
"""Id of the data source: alert rules cannot choose one (dashboards/provisioning)."""
FOLDER: Final = "otel-agentrun"
HEAD: Final = "# Written by `make dashboards` from tools/dashboards and dashboards/queries.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Fires for each row whose figure is above or below the limit for long enough."""

    name: str
    """Of the query file."""
    above: float | None = None
    below: float | None = None
    period_secs: int = 3600
    for_: str = "5m"
    severity: Literal["warning", "critical"] = "warning"
    dashboard: str = "agentrun-fleet"
    labels: Mapping[str, str] = field(default_factory=dict)

    def rule(self) -> dict[str, Any]:
        """As Grafana provisions it; it fires on the threshold `B` over the query `A`."""
        asked = query.load(self.name)
        assert (self.above is None) != (self.below is None), f"{self.name}: above or below"
        assert asked.variables <= {"database"}, f"{self.name}: an alert has no dashboard"
        kind, limit = ("gt", self.above) if self.below is None else ("lt", self.below)
        period = {"from": self.period_secs, "to": 0}
        return {
            "uid": f"agentrun-{self.name.removeprefix('alert-')}",
            "title": asked.title,
            "condition": "B",
            "for": self.for_,
            "noDataState": "OK",
            "execErrState": "Error",
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": f"{asked.title}: {self._subject(asked)} {{{{ $values.A }}}}",
                "description": asked.description,
                # Grafana's own link (`__dashboardUid__`) wants one panel as well.
                "dashboard": f"/d/{self.dashboard}",
            },
            "data": [
                {
                    "refId": "A",
                    "relativeTimeRange": dict(period),
                    "datasourceUid": SOURCE,
                    "model": {
                        "refId": "A",
                        "datasource": {"type": PLUGIN, "uid": SOURCE},
                        "editorType": "sql",
                        "queryType": "table",
                        "format": FORMATS["table"],
                        "pluginVersion": PLUGIN_VERSION,
                        "rawSql": sql_of(self.name),
                    },
                },
                _threshold(kind, limit, period),
            ],
        }

    def _subject(self, asked: query.Query) -> str:
        labels = [column.name for column in asked.columns[:-1]]
        return " ".join(f"{{{{ $labels.{name} }}}}" for name in labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricAlert:
    """Fires for each series of a panel's first expression that is above the limit."""

    name: str
    shown: Metric
    """The panel that shows the same."""
    above: float
    for_: str = "5m"
    severity: Literal["warning", "critical"] = "warning"
    title: str
    magnitude: bool = False
    """Is a figure below zero as bad as one above?"""
    dashboard: str = "agentrun-collector"
    period_secs: int = 600

    @property
    def expression(self) -> str:
        """PromQL over all collectors."""
        (first, *_) = self.shown.queries.values()
        every = first.replace("@", "")
        return f"abs({every})" if self.magnitude else every

    def rule(self) -> dict[str, Any]:
        """As Grafana provisions it.  Without the Prometheus it says nothing."""
        period = {"from": self.period_secs, "to": 0}
        return {
            "uid": f"agentrun-{self.name}",
            "title": self.title,
            "condition": "B",
            "for": self.for_,
            "noDataState": "OK",
            "execErrState": "OK",
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": f"{self.title}: {{{{ $labels.instance }}}}{{{{ $labels.signal }}}} "
                "{{ $values.A }}",
                "description": self.shown.description,
                "dashboard": f"/d/{self.dashboard}",
            },
            "data": [
                {
                    "refId": "A",
                    "relativeTimeRange": dict(period),
                    "datasourceUid": PROMETHEUS,
                    "model": {
                        "refId": "A",
                        "datasource": {"type": "prometheus", "uid": PROMETHEUS},
                        "expr": self.expression,
                        "instant": True,
                        "range": False,
                    },
                },
                _threshold("gt", self.above, period),
            ],
        }


def _threshold(kind: str, limit: float | None, period: Mapping[str, int]) -> dict[str, Any]:
    return {
        "refId": "B",
        "relativeTimeRange": dict(period),
        "datasourceUid": "__expr__",
        "model": {
            "refId": "B",
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": kind, "params": [limit]}}],
        },
    }


def sql_of(name: str) -> str:
    """The query of an alert, over the data source's own database."""
    return query.load(name).sql.replace("$database.", "")


Rule = Alert | MetricAlert


def rendered(group: str, alerts: tuple[Rule, ...]) -> str:
    """One group as a provisioning file."""
    document = {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": group,
                "folder": FOLDER,
                "interval": "1m",
                "rules": [alert.rule() for alert in alerts],
            }
        ],
    }
    return HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


GROUPS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "agents": (
        Alert(name="alert-success-rate", below=0.8, for_="10m", severity="critical"),
        Alert(name="alert-success-drop", above=0.1, period_secs=7 * 86_400, severity="critical"),
        Alert(name="alert-paused", above=30, dashboard="agentrun-runs"),
        Alert(name="alert-tool-errors", above=0.2, dashboard="agentrun-tools"),
        Alert(
            name="alert-tool-error-share",
            above=0.4,
            period_secs=6 * 3600,
            for_="10m",
            dashboard="agentrun-tools",
        ),
        Alert(name="alert-duration", above=2, for_="10m", dashboard="agentrun-tools"),
        Alert(name="alert-lost", above=0, dashboard="agentrun-runs"),
    ),
    "cost-and-rules": (
        Alert(name="alert-cost-spike", above=3, severity="critical", dashboard="agentrun-cost"),
        Alert(name="alert-budget", above=0.8, for_="1m", dashboard="agentrun-cost"),
        Alert(name="alert-loops", above=0, for_="1m", dashboard="agentrun-rules"),
        Alert(
            name="alert-regression",
            above=0.2,
            period_secs=7 * 86_400,
            dashboard="agentrun-versions",
        ),
    ),
    "collector": (
        MetricAlert(
            name="items-nowhere",
            title="Collector lost count of items",
            shown=INVARIANT,
            above=0,
            magnitude=True,
            severity="critical",
        ),
        MetricAlert(
            name="journal-filling", title="Journal is filling up", shown=JOURNAL, above=0.8
        ),
    ),
}
"""File in `dashboards/alerting` -> its rules."""
