"""Match expressions: what they mean, where they refuse, and that they never raise while running."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agentrun.match import DEPTH_MAX, Match, MatchError, compile_match

busy_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

RUN: Mapping[str, object] = {
    "agent_name": "support",
    "environment": "prod",
    "attempt": "3",
    "cost": 0.25,
    "streamed": "True",
    "models": ["gpt-4o", "claude-haiku"],
    "service.name": "desk",
    "tags": {"team": "billing", "deep": {"key": "v"}},
    "nothing": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('agent_name == "support" and environment in ["prod", "staging"]', True),
        ("agent_name == 'sales' or environment == 'prod'", True),
        ("agent_name == 'sales' or environment == 'prod' and attempt > 5", False),
        ("not agent_name == 'sales'", True),
        ("not (agent_name == 'support' or false == true)", False),
        ("environment not in ['dev', 'test']", True),
        ("agent_name =~ '^supp'", True),
        ("agent_name =~ 'PORT'", False),
        ("agent_name !~ 'port'", False),
        (r'agent_name =~ "^\w{7}$"', True),
        ("attempt >= 3", True),
        ("attempt == 3.0", True),
        ("attempt < 10", True),
        ("cost <= .25 and cost > -1e0", True),
        ("streamed == true", True),
        ("streamed", True),
        ("models == 'gpt-4o'", True),
        ("'claude-haiku' in models", True),
        ("models != 'gpt-4o'", False),
        ("models =~ '^claude'", True),
        ("service.name == 'desk'", True),
        ("tags.team == 'billing' and tags.deep.key == 'v'", True),
        ("absent", False),
        ("nothing == '' and absent == ''", True),
        ("absent.at.all == absent", True),
        ("absent < 1 or absent > 1 or absent <= ''", False),
        ("absent in ['', 'x']", True),
        ("absent !~ 'x'", True),
        ("tags == ''", True),
        ("agent_name in []", False),
        (r"""agent_name == "sup\"port" """, False),
    ],
)
def test_an_expression_means_what_it_says(text: str, expected: bool) -> None:
    """`runs.boundaries` and rules choose by these; a missing name is empty, never an error."""
    assert compile_match(text)(RUN) is expected


def test_a_flat_key_wins_over_a_nested_one() -> None:
    """Labels are flat (`tags.team`), run documents nest; of both, flat is the exact one."""
    match = compile_match("tags.team == 'flat'")

    assert match({"tags.team": "flat", "tags": {"team": "nested"}})
    assert not match({"tags": {"team": "nested"}})
    assert not match({"tags": "text"})


def test_a_match_knows_its_names_and_compares_by_its_text() -> None:
    """A frozen Config holds matches: equal files must give equal configs."""
    match = compile_match("a == 'x' and b.c in d")

    assert match.names == {"a", "b.c", "d"}
    assert match == compile_match("a == 'x' and b.c in d")
    assert match != compile_match("a")
    assert repr(match) == f"Match(text=\"a == 'x' and b.c in d\", names={match.names!r})"


@pytest.mark.parametrize(
    ("text", "column", "expected", "got"),
    [
        ("", 1, "a condition", "the end"),
        ("agent_name ==", 14, "a value after `==`", "the end"),
        ("agent_name = 'x'", 12, "`==`", "`=`"),
        ("a && b", 3, "`and`", "`&`"),
        ("a == 'x' b", 10, "`and`, `or` or the end", "`b`"),
        ("a < 1 < 2", 7, "`and`, `or` or the end", "`<`"),
        ("a == 'x", 8, "a closing '", "the end"),
        ("a == 'x' or 'y'", 16, "an operator such as `==` after a value", "the end"),
        ("(a == 'x'", 10, "`)`, `and` or `or`", "the end"),
        ("a in 'text'", 6, 'a list such as `["a", "b"]` or a name after `in`', "`'text'`"),
        ("a not == 'x'", 7, "`in` after `not`", "`==`"),
        ("a in ['x' 'y']", 11, "`,` or `]`", "`'y'`"),
        ("a in [b]", 7, "a value or `]`", "`b`"),
        ("a =~ b", 6, "a quoted regular expression", "`b`"),
        ("a =~ 'x(y'", 8, "a regular expression", "`x(y` (missing ), unterminated subpattern)"),
        (
            r"a =~ '\\\\*+('",
            14,
            "a regular expression",
            r"`\\*+(` (missing ), unterminated subpattern)",
        ),
        ("a == 1x", 6, "a name, a value or an operator", "`1`"),
    ],
)
def test_a_mistake_is_reported_with_its_column(
    text: str, column: int, expected: str, got: str
) -> None:
    """The config report points inside the expression, and inside a regular expression in it."""
    with pytest.raises(MatchError) as caught:
        compile_match(text)

    error = caught.value
    if "unterminated" in got:  # `re` reports the opening bracket
        assert text[error.column - 1] == "("
    else:
        assert error.column == column
    assert (error.expected, error.got) == (expected, got)
    assert str(error) == f"column {error.column}: expected {expected}, got {got}"


def test_depth_is_bounded_and_length_is_cheap() -> None:
    """A hostile expression costs linear time and never the stack."""
    compile_match("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)
    with pytest.raises(MatchError, match="levels"):
        compile_match("(" * 100_000 + "a")
    with pytest.raises(MatchError, match="levels"):
        compile_match("not " * 100_000 + "a")

    def secs(size: int) -> float:
        start = time.perf_counter()
        compile_match(" or ".join(["a == 'x'"] * size))
        return time.perf_counter() - start

    small = min(secs(500) for _ in range(3))
    assert secs(5_000) < 100 * small


@busy_machine
@given(st.text(alphabet="ab.'\"\\()[]=!~<>,0 1e-\nandortif", max_size=60))
def test_any_text_is_an_expression_or_a_match_error_inside_it(text: str) -> None:
    """Whatever an operator types, the answer is a match or a column in what was typed."""
    try:
        column, verdict = 1, compile_match(text)({})
    except MatchError as error:
        column, verdict = error.column, False

    assert 1 <= column <= len(text) + 1
    assert verdict in (True, False)


Value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        [10**5000, float("nan"), float("inf"), b"bytes", object, {1: 2}, ["x", 1, None]]
    ),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.text(max_size=2), max_size=3),
    st.sets(st.integers(), max_size=3),
)


@busy_machine
@given(st.dictionaries(st.sampled_from(["a", "b", "a.b"]), Value))
def test_no_value_makes_an_expression_raise(values: dict[str, object]) -> None:
    """Telemetry carries anything; a rule that raised would stop what it guards."""
    for operator in ("==", "!=", "<", "<=", ">", ">=", "in", "not in"):
        compile_match(f"a {operator} b")(values)
        compile_match(f"a.b {operator} c")(values)
    for text in (
        "a",
        "not a",
        "a =~ 'x'",
        "a !~ '1'",
        "a == 1",
        "a == true",
        "a < 'm'",
        "a in ['', 1]",
    ):
        assert compile_match(text)(values) in (True, False)
    assert compile_match("a == b")(values) is not compile_match("a != b")(values)
    assert compile_match("a == b")(values) is compile_match("b == a")(values)


Reference = tuple[str, Callable[[Mapping[str, object]], bool]]


def _atoms() -> st.SearchStrategy[Reference]:
    def atom(name: str, value: int) -> Reference:
        return f"{name} == {value}", lambda values: values[name] == value

    def order(name: str, value: int) -> Reference:
        return f"{name} < {value}", lambda values: float(str(values[name])) < value

    names, numbers = st.sampled_from(["x", "y"]), st.integers(0, 3)
    return st.builds(atom, names, numbers) | st.builds(order, names, numbers)


def _compound(inner: st.SearchStrategy[Reference]) -> st.SearchStrategy[Reference]:
    def negated(one: Reference) -> Reference:
        return f"not ({one[0]})", lambda values: not one[1](values)

    def both(one: Reference, two: Reference) -> Reference:
        return f"({one[0]}) and ({two[0]})", lambda values: one[1](values) and two[1](values)

    def either(one: Reference, two: Reference) -> Reference:
        return f"({one[0]} or {two[0]})", lambda values: one[1](values) or two[1](values)

    return (
        st.builds(negated, inner) | st.builds(both, inner, inner) | st.builds(either, inner, inner)
    )


@busy_machine
@given(st.recursive(_atoms(), _compound, max_leaves=12), st.integers(0, 3), st.integers(0, 3))
def test_and_or_not_agree_with_python(reference: Reference, x: int, y: int) -> None:
    """The parser's precedence is that of the language everyone knows."""
    text, evaluate = reference
    match: Match = compile_match(text)

    assert match({"x": x, "y": y}) is evaluate({"x": x, "y": y})
