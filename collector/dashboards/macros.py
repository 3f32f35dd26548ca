"""What becomes of a query in Grafana: variables and macros, as the ClickHouse plugin expands them.

The order is the plugin's but for one thing.  `$__conditionalAll`, `$__adHocFilters` and variables
come first, in the browser, and the rest in its backend; here the values that people chose come
last, so that a macro in a value stays text.  To a value without one it makes no difference.
Source: grafana/clickhouse-datasource 4.20, docs/sources/query-editor.md, pkg/macros,
src/data/CHDatasource.ts; Grafana, "Advanced variable format options".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

ALL: Final = "$__all"
"""Value of a variable of which everything is selected."""
SECOND_NS: Final = 1_000_000_000

Value = str | Sequence[str]

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d|w)\Z")
_UNIT_MS: Final = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a dashboard (or a request to `stats`) has chosen."""

    since_ns: int
    until_ns: int
    interval_ms: int = 60_000
    """Width of a point in a time series."""
    given: Mapping[str, Value] = field(default_factory=dict)
    """Variables by name.  Values come from users: only quoted formats take them."""
    trusted: Mapping[str, str] = field(default_factory=dict)
    """Variables that are SQL themselves: the database, an expression to group by."""


def expand(sql: str, context: Context) -> str:
    """SQL that an engine takes.  Raises ValueError for a macro or variable that is not known."""
    sql = _conditional_all(sql, context)
    sql = _each(sql, "adHocFilters", lambda arguments: "")
    sql = _VARIABLE.sub(lambda match: _trusted(match, context), sql)
    for name, macro in _MACROS.items():
        sql = _each(sql, name, lambda arguments, macro=macro: macro(context, *arguments))  # type: ignore[misc]  # a bound default
    if left := re.search(r"\$__\w+", sql):
        raise ValueError(f"unknown macro {left[0]}")
    return _VARIABLE.sub(lambda match: _given(match, context), sql)


def quoted(text: str) -> str:
    """A string literal.  Grafana's `sqlstring` doubles quotes; a backslash escapes here, too."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def interval_ms(since_ns: int, until_ns: int, points_max: int = 120) -> int:
    """The narrowest round width of which a period has at most `points_max`."""
    steps = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400]
    for secs in [*steps, 7 * 86_400]:
        if (until_ns - since_ns) / SECOND_NS / secs <= points_max:
            return secs * 1000
    return 30 * 86_400_000


# ------------------------------------------------------------------ in the browser


def _conditional_all(sql: str, context: Context) -> str:
    """The condition, or `1=1` where everything is selected."""

    def choose(arguments: Sequence[str]) -> str:
        if len(arguments) != 2:
            raise ValueError("$__conditionalAll takes a condition and a variable")
        condition, variable = arguments
        named = re.search(r"\$\{?(\w+)", variable)
        if named is None or named[1] not in context.given:
            raise ValueError(f"$__conditionalAll: unknown variable {variable}")
        return "1=1" if chooses_all(context.given[named[1]]) else condition

    return _each(sql, "conditionalAll", choose)


def chooses_all(value: Value) -> bool:
    """Is nothing in particular selected?"""
    return not value or value == ALL or list(value) in ([ALL], [""])


def _trusted(match: re.Match[str], context: Context) -> str:
    name, form = match[1] or match[3], match[2]
    if name not in context.trusted:
        return match[0]
    if form not in (None, "raw"):
        raise ValueError(f"${{{name}:{form}}}: this variable is SQL")
    return context.trusted[name]


def _given(match: re.Match[str], context: Context) -> str:
    name, form = match[1] or match[3], match[2]
    if name not in context.given:
        raise ValueError(f"unknown variable ${name}")
    if form not in ("sqlstring", "singlequote"):
        raise ValueError(f"${name}: values of users are quoted: ${{{name}:sqlstring}}")
    value = context.given[name]
    return ",".join(quoted(one) for one in ([value] if isinstance(value, str) else value))


# ------------------------------------------------------------------ in the plugin's backend


def _date(ns: int) -> str:
    return f"toDate('{datetime.fromtimestamp(ns // SECOND_NS, UTC):%Y-%m-%d}')"


def _time(ns: int) -> str:
    return f"toDateTime({ns // SECOND_NS})"


def _time_ms(ns: int) -> str:
    return f"fromUnixTimestamp64Milli({ns // 1_000_000})"


def _between(context: Context, column: str, moment: Callable[[int], str]) -> str:
    since, until = moment(context.since_ns), moment(context.until_ns)
    return f"{column} >= {since} AND {column} <= {until}"


def _date_time(context: Context, date: str, time: str) -> str:
    return f"({_between(context, date, _date)}) AND ({_between(context, time, _time)})"


def _bucket(column: str, secs: int) -> str:
    return f"toStartOfInterval(toDateTime({column}), INTERVAL {secs} second)"


def _secs(context: Context) -> int:
    return max(context.interval_ms // 1000, 1)


def _group(_: Context, column: str, width: str) -> str:
    found = _DURATION.match(width.strip().strip("'\""))
    if found is None:
        raise ValueError(f"$__timeGroup: {width!r} is no duration such as 5m")
    return _bucket(column, max(int(found[1]) * _UNIT_MS[found[2]] // 1000, 1))


def _bucket_ms(context: Context, column: str) -> str:
    width = max(context.interval_ms, 1)
    return f"toStartOfInterval(toDateTime64({column}, 3), INTERVAL {width} millisecond)"


_MACROS: Final[Mapping[str, Callable[..., str]]] = {
    "timeFilter": lambda context, column: _between(context, column, _time),
    "timeFilter_ms": lambda context, column: _between(context, column, _time_ms),
    "dateFilter": lambda context, column: _between(context, column, _date),
    "dateTimeFilter": _date_time,
    "dt": _date_time,
    "fromTime": lambda context: _time(context.since_ns),
    "toTime": lambda context: _time(context.until_ns),
    "fromTime_ms": lambda context: _time_ms(context.since_ns),
    "toTime_ms": lambda context: _time_ms(context.until_ns),
    "timeFrom": lambda context, column: f"{column} >= {_time(context.since_ns)}",
    "timeTo": lambda context, column: f"{column} <= {_time(context.until_ns)}",
    "timeInterval": lambda context, column: _bucket(column, _secs(context)),
    "timeInterval_ms": _bucket_ms,
    "timeGroup": _group,
    "interval": lambda context: f"{_secs(context)}s",
    "interval_s": lambda context: str(_secs(context)),
    "interval_ms": lambda context: str(max(context.interval_ms, 1)),
}


# ------------------------------------------------------------------ finding macros


def _each(sql: str, name: str, replace: Callable[[Sequence[str]], str]) -> str:
    """Every `$__name` or `$__name(…)`, the last one first: arguments may hold macros."""
    for found in reversed(list(re.finditer(rf"\$__{name}\b", sql))):
        arguments, end = _arguments(sql, found.end())
        try:
            text = replace(arguments)
        except TypeError:
            given = len(arguments)
            raise ValueError(f"$__{name}: not with {given} arguments") from None
        sql = sql[: found.start()] + text + sql[end:]
    return sql


def _arguments(sql: str, start: int) -> tuple[list[str], int]:
    """(arguments, where they end) of a parenthesis at `start`; none without one."""
    if sql[start : start + 1] != "(":
        return [], start
    found, depth, begin = [], 0, start + 1
    for match in re.finditer(r"'(?:[^'\\]|\\.|'')*'|[(),]", sql[start:]):
        at = start + match.start()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if (match[0] == "," and depth == 1) or depth == 0:
            found.append(sql[begin:at].strip())
            begin = at + 1
        if depth == 0:
            return [one for one in found if one] if found == [""] else found, at + 1
    raise ValueError(f"no closing parenthesis after {sql[max(0, start - 20) : start]!r}")
