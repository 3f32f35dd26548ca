"""What stands on top of a dashboard: data source, database, filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import (
    CustomVariable,
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from collector.dashboards.scope import FILTERS, LEVELS

PLUGIN: Final = "grafana-clickhouse-datasource"
SOURCE: Final = DataSourceRef(type_val=PLUGIN, uid="${ds}")
DATABASES: Final = (
    "SELECT database AS value FROM system.tables WHERE name = 'agent_runs' ORDER BY 1"
)
TYPED: Final = frozenset({"user", "session"})
"""Filters with too many values for a list: they are typed."""
ALL: Final = VariableOption(text="All", value="$__all", selected=True)


def source() -> list[Builder[VariableModel]]:
    """On every dashboard that reads ClickHouse."""
    return [
        DatasourceVariable("ds").label("Data source").type(PLUGIN),
        queried("database", DATABASES, many=False, refresh=VariableRefresh.ON_DASHBOARD_LOAD),
    ]


def many_runs() -> list[Builder[VariableModel]]:
    """Data source, level and the filters of `$run_filters`, in the same order everywhere."""
    found = [*source(), chosen("level", {label: value for value, label in LEVELS.items()})]
    for name, expression in FILTERS.items():
        found.append(typed(name) if name in TYPED else queried(name, values_of(expression)))
    return found


def values_of(expression: str) -> str:
    """Distinct values of the period, most frequent first."""
    return (
        f"SELECT {expression} AS value FROM $database.agent_runs\n"
        "WHERE $__timeFilter(StartTime) AND NOT IsDeleted AND value != ''\n"
        "GROUP BY value ORDER BY count() DESC LIMIT 500"
    )


def queried(
    name: str, sql: str, *, many: bool = True, refresh: VariableRefresh | None = None
) -> QueryVariable:
    """A list of what there is in the period."""
    variable = (
        QueryVariable(name)
        .label(_label(name))
        .datasource(SOURCE)
        .query({"editorType": "sql", "rawSql": sql, "refId": f"variable-{name}"})
        .refresh(refresh or VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.DISABLED)
    )
    if many:
        variable = variable.multi(True).include_all(True).current(ALL)
    return variable


def typed(name: str, label: str = "") -> TextBoxVariable:
    """Empty for any."""
    return TextBoxVariable(name).label(label or _label(name)).default_value("")


def chosen(name: str, options: Mapping[str, str], label: str = "") -> CustomVariable:
    """One of a few: label -> value; the first one at the start."""
    listed = [
        VariableOption(text=text, value=value, selected=at == 0)
        for at, (text, value) in enumerate(options.items())
    ]
    spelled = ", ".join(f"{text} : {_escaped(value)}" for text, value in options.items())
    return (
        CustomVariable(name).label(label or _label(name)).values(spelled)
        .options(listed).current(listed[0])
    )  # fmt: skip


def picked(name: str, values: Sequence[str], label: str = "") -> CustomVariable:
    """Some of a few words, all at the start."""
    return (
        CustomVariable(name).label(label or _label(name)).values(", ".join(values))
        .multi(True).include_all(True).current(ALL)
    )  # fmt: skip


def by(dimensions: Mapping[str, str]) -> CustomVariable:
    """What `${by:raw}` stands for; its text is the name of a filter, for links."""
    options = {filter_of(name): sql for name, sql in dimensions.items() if name != "all"}
    return chosen("by", options, "Group by")


def filter_of(dimension: str) -> str:
    """The variable of the list of runs that limits it to one value of a dimension."""
    return dimension.replace("-", "_")


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _escaped(value: str) -> str:
    return value.replace(",", "\\,")
