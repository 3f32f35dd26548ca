"""Where a click leads: from many runs to some to one, keeping time and filters."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from collector.dashboards.query import Column
from collector.dashboards.scope import FILTERS
from tools.dashboards.variables import filter_of

TAG: Final = "agentrun"
_TIME: Final = "${__url_time_range}"
_SOURCE: Final = "${ds:queryparam}&${database:queryparam}"
CHOSEN: Final = "${by:text}"
"""Name of the filter that the dashboard groups by."""
_KEPT: Final = "&".join(f"${{{name}:queryparam}}" for name in (*FILTERS, "level"))


def across() -> DashboardLink:
    """In the head of every dashboard: the others, with time and variables."""
    return (
        DashboardLink("agentrun")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
        .icon("external link")
        .url("")
        .tooltip("")
    )


def of_column(column: Column, *, many: bool, by: str = "") -> list[dict[str, Any]]:
    """Links of a table's cells.  `many`: the dashboard has the filters of many runs; `by`: the
    panel's own dimension, "" where the dashboard has a choice."""
    value = "${__value.raw}"
    kept = f"&{_KEPT}" if many else ""
    if column.link == "run":
        url = f"/d/agentrun-run?var-run={value}&{_SOURCE}&{_TIME}"
        return [{"title": "Open the run", "url": url}]
    if column.link.startswith("runs:"):  # runs of which a filter has this value
        name = column.link.removeprefix("runs:")
        if name == "by":
            name = filter_of(by) if by else CHOSEN
        # Of two values of one variable Grafana takes both, so the filter itself is not passed on;
        # where the dashboard chooses it, that may be any of them.
        others = [other for other in FILTERS if other != name] if name != CHOSEN else []
        kept = "".join(f"&${{{other}:queryparam}}" for other in (*others, "level") if many)
        url = f"/d/agentrun-runs?{_SOURCE}{kept}&{_TIME}&var-{name}={value}"
        return [{"title": "Runs of this group", "url": url}]
    assert not column.link, f"unknown link {column.link!r} of column {column.name}"
    return []
