"""Reading filters, times, selectors and feedback: the same for the API and the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.api.service import FILTERS, Feedback, RunQuery, Selector, parse_query, parse_selector
from collector.api.values import RequestError, format_time, parse_time
from tests.api.fakes import NOON_NS

HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("15m", NOON_NS - HOUR_NS // 4),
        ("2h", NOON_NS - 2 * HOUR_NS),
        ("7d", NOON_NS - 7 * 24 * HOUR_NS),
        ("2025-01-31T12:00:00Z", NOON_NS),
        ("2025-01-31T13:00:00.000000001+01:00", NOON_NS + 1),
        ("2025-01-31 12:00:00.5z", NOON_NS + 500_000_000),
        ("999999999w", 0),
    ],
)
def test_a_time_is_rfc_3339_or_an_age(text: str, want: int) -> None:
    """Nine decimals survive: run times have them, and paging by time would repeat rows."""
    assert parse_time(text, NOON_NS) == want


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2025-01-31", "2025-01-31T12:00:00", "2025-02-31T12:00:00Z", "-5m",
     "1.5h", "9999-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "\u0661m", "2025-01-31T12:00:00Z\n"],
)  # fmt: skip
def test_a_time_that_could_mean_several_things_is_refused(text: str) -> None:
    """No offset means no point in time; what ClickHouse cannot hold is refused here."""
    with pytest.raises(ValueError, match=r"time|range"):
        parse_time(text, NOON_NS)


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001  # Hypothesis wants naive bounds
        max_value=datetime(2262, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_parsing_agrees_with_the_standard_library(moment: datetime) -> None:
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    want = (elapsed // timedelta(microseconds=1)) * 1000
    assert parse_time(moment.isoformat(), 0) == want
    assert parse_time(format_time(want), 0) == want


def test_all_problems_of_a_query_are_in_one_error() -> None:
    """Unknown filters and bad values are named, so that one answer is enough to fix them all."""
    pairs = [("agnet", "x"), ("status", "dead"), ("since", "soon"), ("limit", "0"), ("tag", "k")]
    with pytest.raises(RequestError) as caught:
        parse_query(pairs, now_ns=NOON_NS)
    said = str(caught.value)
    for part in ("'agnet'", "status: 'dead'", "since: 'soon'", "limit", "KEY=VALUE"):
        assert part in said


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("agent", "a"), ("agent", "b")], "agent: given more than once"),
        ([("since", "1h"), ("since", "2h")], "since: given more than once"),
        ([("since", "1h"), ("until", "2h")], "until: must be later than since"),
        ([("agent", "")], "agent: expected"),
        ([("agent", "x" * 2000)], "agent: expected"),
        ([("limit", "9" * 1000)], "limit: expected"),
        ([("workspace", "other")], "unknown filter 'workspace'"),
    ],
)
def test_a_filter_that_would_silently_be_ignored_is_refused(
    pairs: list[tuple[str, str]], said: str
) -> None:
    """A wrong list that looks right is worse than an error; a tenant cannot name its workspace."""
    with pytest.raises(RequestError, match=said):
        parse_query(pairs, now_ns=NOON_NS)


TEXT = st.text(min_size=1, max_size=20)


@given(
    st.dictionaries(st.sampled_from(sorted(set(FILTERS) - {"status"})), TEXT),
    st.dictionaries(TEXT.filter(lambda key: "=" not in key), st.text(max_size=20)),
    st.none() | st.integers(0, NOON_NS),
    st.integers(1, 100_000),
)
def test_a_query_survives_the_way_over_http(
    exact: dict[str, str], tags: dict[str, str], since_ns: int | None, limit: int
) -> None:
    """`--collector` and `--store` answer the same question."""
    query = RunQuery(tags=tags, since_ns=since_ns, limit=limit, **exact)  # type: ignore[arg-type]  # names from FILTERS
    assert parse_query(query.parameters(), now_ns=NOON_NS) == query


def test_erasing_needs_a_selection() -> None:
    """An empty selector would erase everything (S4.25 asks for run, user, session, time)."""
    with pytest.raises(RequestError, match="nothing selected"):
        parse_selector([], now_ns=NOON_NS)
    with pytest.raises(RequestError, match="ambiguous"):
        Selector(run_ids=("a",), user="u")
    with pytest.raises(RequestError, match="unknown filter 'agent'"):
        parse_selector([("agent", "a")], now_ns=NOON_NS)


def test_a_period_that_ends_at_the_epoch_is_still_a_period() -> None:
    """`until` of 1970 selects nothing; taken as "any time" it would erase every run of the user."""
    selector = parse_selector([("user", "u"), ("until", "1970-01-01T00:00:00Z")], now_ns=NOON_NS)
    assert selector.until_ns == 0
    assert ("until", "1970-01-01T00:00:00.000000000Z") in selector.parameters()


def test_feedback_that_says_nothing_is_refused() -> None:
    """All problems at once; NaN has no place in an average."""
    with pytest.raises(RequestError, match=r"name is missing.*score, label and comment"):
        Feedback(run_id="r", name=" ")
    with pytest.raises(RequestError, match="finite"):
        Feedback(run_id="r", name="rating", score=float("nan"))
