"""Macros and variables, expanded as Grafana and its ClickHouse plugin do.

Expected texts follow grafana/clickhouse-datasource, pkg/macros and docs/sources/query-editor.md.
"""

from __future__ import annotations

import pytest

from collector.dashboards.macros import ALL, Context, expand, interval_ms, quoted

SINCE = 1_795_000_000_123_000_000
"""2026-11-18T11:06:40.123Z."""
UNTIL = SINCE + 3600 * 1_000_000_000
CONTEXT = Context(
    since_ns=SINCE,
    until_ns=UNTIL,
    interval_ms=30_000,
    given={"agent": ["a", "b"], "user": "o'neil", "none": "", "all": ALL, "listed": [ALL]},
    trusted={"database": "agentrun", "by": "if(A != '', A, B)"},
)
S, U = 1_795_000_000, 1_795_003_600

MACROS = [
    ("$__timeFilter(t)", f"t >= toDateTime({S}) AND t <= toDateTime({U})"),
    (
        "$__timeFilter_ms(t)",
        f"t >= fromUnixTimestamp64Milli({S}123) AND t <= fromUnixTimestamp64Milli({U}123)",
    ),
    ("$__dateFilter(d)", "d >= toDate('2026-11-18') AND d <= toDate('2026-11-18')"),
    (
        "$__dateTimeFilter(d, t)",
        "(d >= toDate('2026-11-18') AND d <= toDate('2026-11-18')) AND "
        f"(t >= toDateTime({S}) AND t <= toDateTime({U}))",
    ),
    (
        "$__dt(d, t)",
        "(d >= toDate('2026-11-18') AND d <= toDate('2026-11-18')) AND "
        f"(t >= toDateTime({S}) AND t <= toDateTime({U}))",
    ),
    ("$__fromTime", f"toDateTime({S})"),
    ("$__toTime", f"toDateTime({U})"),
    ("$__fromTime_ms", f"fromUnixTimestamp64Milli({S}123)"),
    ("$__toTime_ms", f"fromUnixTimestamp64Milli({U}123)"),
    ("$__timeFrom(t)", f"t >= toDateTime({S})"),
    ("$__timeTo(t)", f"t <= toDateTime({U})"),
    ("$__timeInterval(t)", "toStartOfInterval(toDateTime(t), INTERVAL 30 second)"),
    (
        "$__timeInterval_ms(t)",
        "toStartOfInterval(toDateTime64(t, 3), INTERVAL 30000 millisecond)",
    ),
    ("$__timeGroup(t, 5m)", "toStartOfInterval(toDateTime(t), INTERVAL 300 second)"),
    ("$__interval", "30s"),
    ("$__interval_s", "30"),
    ("$__interval_ms", "30000"),
    ("$__conditionalAll(a IN (${agent:sqlstring}), $agent)", "a IN ('a','b')"),
    ("$__conditionalAll(a IN (${all:sqlstring}), $all)", "1=1"),
    ("$__conditionalAll(a IN (${listed:sqlstring}), $listed)", "1=1"),
    ("$__conditionalAll(a = ${none:sqlstring}, ${none})", "1=1"),
    ("SELECT 1 $__adHocFilters('runs')", "SELECT 1 "),
]


@pytest.mark.parametrize(("text", "becomes"), MACROS, ids=[text for text, _ in MACROS])
def test_a_macro_becomes_what_the_plugin_makes_of_it(text: str, becomes: str) -> None:
    """Every macro that the plugin documents, but those that rewrite a whole SELECT."""
    assert expand(text, CONTEXT) == becomes


def test_arguments_may_be_calls_with_commas_quotes_and_macros() -> None:
    """`f(a, b)` is one argument; a parenthesis in a string is none."""
    sql = (
        "$__timeFilter(if(a = ')', b, c))"
        " AND $__conditionalAll(x IN (f(${agent:sqlstring}, 1)), $agent)"
    )
    assert expand(sql, CONTEXT) == (
        f"if(a = ')', b, c) >= toDateTime({S}) AND if(a = ')', b, c) <= toDateTime({U})"
        " AND x IN (f('a','b', 1))"
    )
    inner = "$__conditionalAll(r IN (SELECT r WHERE $__timeFrom(t)), $agent)"
    assert expand(inner, CONTEXT) == f"r IN (SELECT r WHERE t >= toDateTime({S}))"


def test_intervals_are_at_least_one() -> None:
    """As in the plugin: a dashboard of milliseconds must not group by zero seconds."""
    narrow = Context(since_ns=SINCE, until_ns=UNTIL, interval_ms=200)
    assert expand("$__interval_s $__timeInterval(t)", narrow).endswith("INTERVAL 1 second)")
    assert expand("$__interval_s", narrow) == "1"


def test_what_is_not_known_is_refused() -> None:
    """A typing mistake must not reach the engine as text, nor a value of a user unquoted."""
    for sql, said in (
        ("$__timeFliter(t)", "unknown macro"),
        ("$__timeFilter(a, b)", "not with 2 arguments"),
        ("$__timeFilter(a", "no closing parenthesis"),
        ("$nobody", "unknown variable"),
        ("$__conditionalAll(1, $nobody)", "unknown variable"),
        ("$__conditionalAll(1)", "takes a condition"),
        ("$__timeGroup(t, soon)", "no duration"),
        ("a = $user", "values of users are quoted"),
        ("a = ${user:raw}", "values of users are quoted"),
        ("${database:sqlstring}", "this variable is SQL"),
    ):
        with pytest.raises(ValueError, match=said):
            expand(sql, CONTEXT)


def test_values_of_users_stay_values() -> None:
    """A quote or a backslash must not end the literal."""
    assert expand("u = ${user:sqlstring}", CONTEXT) == "u = 'o''neil'"
    assert quoted("\\' OR 1=1 --") == "'\\\\'' OR 1=1 --'"
    assert expand("SELECT ${by:raw} FROM $database.runs", CONTEXT) == (
        "SELECT if(A != '', A, B) FROM agentrun.runs"
    )


def test_a_value_that_looks_like_a_macro_is_text() -> None:
    """One that expands to quotes would end the literal: they are looked for in queries only."""
    typed = "$__dateFilter( OR 1=1) ${agent} $by"
    sneaky = Context(since_ns=SINCE, until_ns=UNTIL, given={"user": typed})
    assert expand("u = ${user:sqlstring}", sneaky) == f"u = '{typed}'"


def test_a_period_has_about_a_hundred_points() -> None:
    """Series of `agentrun stats` are as wide as a panel would make them."""
    hour = 3600 * 1_000_000_000
    assert [interval_ms(0, n * hour) // 1000 for n in (1, 24, 7 * 24, 365 * 24)] == [
        30, 1800, 10_800, 7 * 86_400,
    ]  # fmt: skip
