"""The query files of `dashboards/queries`: one figure each, for panels and for `agentrun stats`.

A file is SQL below a header, YAML in `--` comments:

    -- title: Cost per run
    -- description: What it says, and what to look for.
    -- answers: S3.27 S1.33
    -- dimensions: runs
    -- columns:
    --   dimension: text
    --   cost_usd: currencyUSD
    SELECT ${by:raw} AS dimension, ... FROM $database.runs WHERE $__timeFilter(StartTime)

`columns` gives each column in order with its unit, as Grafana spells it (`time` and `text` are
ours), or a mapping of the fields of `Column`.  `dimensions` is one of `scope.DIMENSIONS` or a
mapping of its own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from collector.dashboards.macros import Context, expand
from collector.dashboards.scope import DIMENSIONS, FILTERS, FRAGMENTS, tables_within
from collector.resources import data

SUFFIX: Final = ".sql"
BY: Final = "${by:raw}"
TEXT: Final = frozenset({"text", "time"})
_USED: Final = re.compile(r"\$\{?([a-z]\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    unit: str
    """A unit of Grafana, or `time` or `text`."""
    label: str
    """What a table or a legend calls it."""
    link: str = ""
    """Where a click leads: `run`, `runs`, ... (tools.dashboards.links)."""
    hidden: bool = False
    width: int | None = None
    """Pixels."""
    colored: str = ""
    """How values are colored: `status`, `share`, `bar`."""
    decimals: int | None = None

    @property
    def is_text(self) -> bool:
        return self.unit in TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query file."""

    name: str
    title: str
    description: str
    sql: str
    """With variables, macros and all filters: what stands in a panel."""
    columns: tuple[Column, ...]
    answers: tuple[str, ...] = ()
    """Ids of requirements."""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    """What `${by:raw}` can be: name -> SQL."""
    empty: str = ""
    """What an empty panel says."""
    tenants: bool = True
    """May a key of one workspace ask it?"""

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables it uses, `by` and `database` included."""
        return frozenset(_USED.findall(self.sql))

    @property
    def filters(self) -> tuple[str, ...]:
        """Variables that limit it, those of the dashboards' tops first."""
        names = self.variables - {"by", "database"}
        return (*(name for name in FILTERS if name in names), *sorted(names - FILTERS.keys()))

    def grouped(self, by: str) -> str:
        """The SQL with `${by:raw}` filled in.  Raises KeyError for a dimension it does not have."""
        return self.sql.replace(BY, self.dimensions[by]) if by else self.sql

    def runnable(self, context: Context, *, workspace: str = "") -> str:
        """What an engine takes; over one workspace alone where one is given."""
        sql = self.sql
        if workspace:
            sql = tables_within(sql, context.trusted["database"], workspace)
        return expand(sql, context)


def names() -> tuple[str, ...]:
    """All there are, sorted."""
    found = (entry.name for entry in (data("dashboards") / "queries").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


@functools.cache
def load(name: str) -> Query:
    """Raises KeyError for a name that is none of `names()`; ValueError for a file that is wrong."""
    if name not in names():
        raise KeyError(name)
    text = (data("dashboards") / "queries" / f"{name}{SUFFIX}").read_text(encoding="utf-8")
    try:
        return parse(name, text)
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"dashboards/queries/{name}{SUFFIX}: {error!r}") from error


def parse(name: str, text: str) -> Query:
    """Header and SQL of one file."""
    lines = text.splitlines()
    length = next((at for at, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = yaml.safe_load("\n".join(line[3:] for line in lines[:length]))
    unknown = header.keys() - {
        "title", "description", "answers", "dimensions", "columns", "empty", "tenants",
    }  # fmt: skip
    if unknown:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    sql = "\n".join(lines[length:]).strip().rstrip(";")
    for fragment, stands_for in sorted(FRAGMENTS.items(), reverse=True):  # longer names first
        sql = sql.replace(fragment, stands_for)
    dimensions = header.get("dimensions", {})
    return Query(
        name=name,
        title=header["title"],
        description=" ".join(header["description"].split()),
        sql=sql,
        columns=tuple(_column(column, given) for column, given in header["columns"].items()),
        answers=tuple(header.get("answers", "").split()),
        dimensions=DIMENSIONS[dimensions] if isinstance(dimensions, str) else dimensions,
        empty=header.get("empty", ""),
        tenants=header.get("tenants", True),
    )


def _column(name: str, given: str | Mapping[str, Any]) -> Column:
    values = {"unit": given} if isinstance(given, str) else dict(given)
    label = name.removesuffix("_usd").removesuffix("_ms").replace("_", " ")
    return Column(name=name, **{"label": label[:1].upper() + label[1:], **values})
