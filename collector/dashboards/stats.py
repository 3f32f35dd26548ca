"""`agentrun stats` and `GET /v1/stats`: the figures of the dashboards, from the same query files.

A request is read into a `StatQuery`, which fills in a query file as Grafana would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from collector.api.values import (
    TEXT_MAX,
    Document,
    NotFoundError,
    RequestError,
    format_time,
    parse_time,
)
from collector.dashboards import query
from collector.dashboards.macros import Context, interval_ms
from collector.dashboards.query import Query
from collector.dashboards.scope import LEVELS
from collector.errors import ForbiddenError

if TYPE_CHECKING:
    import pyarrow as pa

    from collector.store.client import Store

SINCE_DEFAULT: Final = "24h"
OWN: Final = frozenset({"by", "since", "until"})
REQUIRED: Final = frozenset({"run"})
"""Variables without which a query has no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatQuery:
    """One figure, as a request or a command line asks for it."""

    name: str
    by: str = ""
    since_ns: int
    until_ns: int
    filters: Mapping[str, str] = field(default_factory=dict)
    """Variable -> value."""
    workspace: str = ""
    """Set by the API for a tenant's key: nothing of another workspace is looked at."""

    def within(self, workspace: str) -> StatQuery:
        """The same question for a tenant."""
        return replace(self, workspace=workspace)

    def parameters(self) -> list[tuple[str, str]]:
        """As query parameters of `GET /v1/stats/{name}`; `parse_stat` reads them back."""
        period = [("since", format_time(self.since_ns)), ("until", format_time(self.until_ns))]
        by = [("by", self.by)] if self.by else []
        return [*by, *period, *self.filters.items()]

    def context(self, asked: Query, database: str) -> Context:
        """What a dashboard with these choices would fill in."""
        given = {name: self.filters.get(name, "") for name in asked.filters}
        if "level" in given:
            given["level"] = given["level"] or next(iter(LEVELS))
        by = {"by": asked.dimensions[self.by]} if asked.dimensions else {}
        return Context(
            since_ns=self.since_ns,
            until_ns=self.until_ns,
            interval_ms=interval_ms(self.since_ns, self.until_ns),
            given=given,
            trusted={"database": database, **by},
        )


def parse_stat(name: str, pairs: Iterable[tuple[str, str]], *, now_ns: int) -> StatQuery:
    """Query parameters as a `StatQuery`.  Raises NotFoundError, or one RequestError that names all
    problems."""
    asked = _load(name)
    problems: list[str] = []
    given: dict[str, str] = {}
    for key, value in pairs:
        if key not in OWN and key not in asked.filters:
            takes = ", ".join((*sorted(OWN), *asked.filters))
            problems.append(f"{name} takes no {key!r}; it takes {takes}")
        elif key in given:
            problems.append(f"{key}: given more than once")
        elif not value or len(value) > TEXT_MAX:
            problems.append(f"{key}: expected 1 to {TEXT_MAX} characters, got {len(value)}")
        given[key] = value
    by = given.pop("by", "")
    if by and by not in asked.dimensions:
        known = ", ".join(asked.dimensions) or "nothing"
        problems.append(f"by: {name} can be grouped by {known}, not by {by!r}")
    if given.get("level", "tasks") not in LEVELS:
        problems.append(f"level: {given['level']!r} is none of {', '.join(LEVELS)}")
    times = {"since": now_ns, "until": now_ns}
    for key, default in (("since", SINCE_DEFAULT), ("until", "")):
        if text := given.pop(key, default):
            try:
                times[key] = parse_time(text, now_ns)
            except ValueError as error:
                problems.append(f"{key}: {error}")
    if times["until"] <= times["since"] and not problems:
        problems.append("until: must be later than since")
    missing = REQUIRED & set(asked.filters) - given.keys()
    problems += [f"{key}: {name} is about one; name it" for key in sorted(missing)]
    if problems:
        raise RequestError("; ".join(problems), "`agentrun stats` lists what there is.")
    return StatQuery(
        name=name,
        by=by or next(iter(asked.dimensions), ""),
        since_ns=times["since"],
        until_ns=times["until"],
        filters=given,
    )


def catalog() -> list[Document]:
    """What can be asked: name, title, what it says, dimensions, filters, columns."""
    return [_described(query.load(name)) for name in query.names()]


def answer(store: Store, stat: StatQuery) -> Document:
    """The figure: what was asked, its columns, its rows.  Raises StoreError, ForbiddenError."""
    asked = _load(stat.name)
    if stat.workspace and not asked.tenants:
        raise ForbiddenError(f"{stat.name} is about all workspaces: it needs a key of none")
    context = stat.context(asked, store.database)
    rows = _rows(store.arrow(asked.runnable(context, workspace=stat.workspace)))
    times = [column.name for column in asked.columns if column.unit == "time"]
    return {
        **_described(asked),
        "by": stat.by or None,
        "since": format_time(stat.since_ns),
        "until": format_time(stat.until_ns),
        "interval_secs": context.interval_ms // 1000 if "time" in times else None,
        "rows": [
            {name: _time(value) if name in times else _plain(value) for name, value in row.items()}
            for row in rows
        ],
    }


def _rows(table: pa.Table) -> list[Document]:
    """Rows as dictionaries, times as text with all their nanoseconds."""
    import pyarrow as pa  # lazy: the command line reads the catalog only

    for at, one in enumerate(table.schema):
        if pa.types.is_timestamp(one.type):
            times = table.column(at).cast(pa.timestamp("ns", one.type.tz)).cast(pa.int64())
            texts = [None if ns is None else format_time(ns) for ns in times.to_pylist()]
            table = table.set_column(at, one.name, pa.array(texts, pa.string()))
    rows: list[Document] = table.to_pylist()
    return rows


def _load(name: str) -> Query:
    try:
        return query.load(name)
    except KeyError:
        raise NotFoundError(
            f"no figure {name!r}", "`agentrun stats` lists those there are."
        ) from None


def _described(asked: Query) -> Document:
    return {
        "name": asked.name,
        "title": asked.title,
        "description": asked.description,
        "answers": list(asked.answers),
        "dimensions": list(asked.dimensions),
        "filters": list(asked.filters),
        "columns": [
            {"name": column.name, "label": column.label, "unit": column.unit}
            for column in asked.columns
        ],
    }


def _time(value: Any) -> str | None:
    """RFC 3339; buckets arrive as Unix seconds."""
    if isinstance(value, int):
        return format_time(value * 1_000_000_000)
    return None if value is None else str(value)


def _plain(value: Any) -> Any:
    """JSON has no NaN: a share of nothing is null.  Maps arrive as lists of pairs."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        if value and all(isinstance(one, tuple) and len(one) == 2 for one in value):
            return {str(key): _plain(one) for key, one in value}
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
