"""The built-in list answers as the package it was generated from, for every model and provider."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data import providers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agentrun import price_table
from otel_agentrun.prices import EXACT, UNKNOWN, PriceBook
from otel_agentrun.step import Usage
from tools import generate_prices

BOOK = PriceBook()
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at_ns(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def examples(match: Any) -> Iterator[str]:
    """Model ids that a clause of the package is made for."""
    match match:
        case types.ClauseEquals():
            yield match.equals
        case types.ClauseStartsWith():
            yield match.starts_with
        case types.ClauseEndsWith():
            yield match.ends_with
        case types.ClauseContains():
            yield match.contains
        case types.ClauseOr():
            for inner in match.or_:
                yield from examples(inner)
        case types.ClauseAnd():
            yield "".join(text for inner in match.and_ for text in examples(inner))


@cache
def every_model() -> tuple[tuple[str, str], ...]:
    """(provider, model id) by all ids and match examples that the package resolves."""
    found = []
    for provider in providers:
        for model in provider.models:
            found += [
                (provider.id, ref) for ref in dict.fromkeys([model.id, *examples(model.match)])
            ]
    return tuple(found)


def theirs(provider: str, model: str, usage: Usage, at: datetime) -> tuple[Decimal, Any]:
    values = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
    }
    answer = genai_prices.calc_price(
        genai_prices.Usage(**values), model, provider_id=provider, genai_request_timestamp=at
    )
    return answer.total_price, answer.model_price


def assert_same(provider: str, model: str, usage: Usage, at: datetime) -> bool:
    """True where both have a price, and it is the same one."""
    cost, confidence = BOOK.cost_nano_usd(usage, provider, model, at_ns(at))
    try:
        total, prices = theirs(provider, model, usage, at)
    except LookupError:
        return False  # ours resolves more spellings; what they mean is tests/prices/test_prices.py
    if confidence == UNKNOWN:
        # The package counts what it has no price for as 0; we say so instead.
        missing = [key for key in ("input_mtok", "output_mtok") if getattr(prices, key) is None]
        assert missing, (provider, model)
        return False
    assert confidence == EXACT
    assert cost is not None
    assert abs(cost - total * 10**9) <= Decimal("0.51"), (provider, model, usage, at)
    return True


def test_the_data_is_the_installed_packages() -> None:
    """A newer package without `python tools/generate_prices.py` must not go unnoticed."""
    assert price_table.DATA.read_text(encoding="ascii") == generate_prices.render()
    assert price_table.builtin().version == f"genai-prices {version('genai-prices')}"


def test_every_model_costs_what_the_package_says() -> None:
    """All providers, all models, cached tokens, and the smaller and larger context tiers."""
    priced = 0
    for index, (provider, model) in enumerate(every_model()):
        # Two of the sizes each: both sides of the tiers are reached many times over all models.
        small = Usage(input_tokens=1000 + index, output_tokens=333, cache_read_tokens=100)
        large = Usage(
            input_tokens=600_000, output_tokens=7, cache_write_tokens=1, reasoning_tokens=3
        )
        for usage in (small, large):
            priced += assert_same(provider, model, usage, NOON)
    assert priced > 4600


tokens = st.integers(0, 3_000_000) | st.sampled_from([0, 1, 128_000, 200_000, 200_001, 272_001])


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Consistent ones: input includes cached, output includes reasoning."""
    read, write, rest = draw(tokens), draw(tokens), draw(tokens)
    reasoning, answer = draw(tokens), draw(tokens)
    return Usage(
        input_tokens=read + write + rest,
        output_tokens=reasoning + answer,
        cache_read_tokens=draw(st.sampled_from([None, read])) if read == 0 else read,
        cache_write_tokens=write,
        reasoning_tokens=reasoning,
    )


times = st.integers(0, 4 * 365 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(every_model()), usages(), times)
def test_any_call_at_any_time_costs_what_the_package_says(
    model: tuple[str, str], usage: Usage, at: datetime
) -> None:
    """Rates resolved once and multiplied are the package's 140 us answer, to the nano-USD."""
    assert_same(*model, usage, at)


def time_dependent() -> list[tuple[str, str, types.ModelInfo]]:
    return [
        (provider.id, model.id, model)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, list)
    ]


def test_prices_change_at_the_moment_the_package_says() -> None:
    """Start dates and off-peak hours: one nanosecond before, and at, every boundary."""
    models = time_dependent()
    assert any(
        isinstance(price.constraint, types.TimeOfDateConstraint)
        for _, _, model in models
        for price in model.prices  # type: ignore[union-attr]  # lists only, see above
    )
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=10)
    for provider, name, model in models:
        for price in model.prices:  # type: ignore[union-attr]  # lists only, see above
            match price.constraint:
                case types.StartDateConstraint(start_date=day):
                    edges = [datetime(day.year, day.month, day.day, tzinfo=UTC)]
                case types.TimeOfDateConstraint(start_time=start, end_time=end):
                    edges = [datetime.combine(NOON, time) for time in (start, end)]
                case _:
                    continue
            for edge in edges:
                assert_same(provider, name, usage, edge)
                assert_same(provider, name, usage, edge - timedelta(microseconds=1))


@pytest.mark.parametrize("over", [0, 1])
def test_a_context_tier_starts_past_its_limit(over: int) -> None:
    """More than 200,000 input tokens: all tokens of the call pay the higher rate."""
    usage = Usage(input_tokens=200_000 + over, output_tokens=1000, cache_read_tokens=50_000)

    assert_same("google", "gemini-2.5-pro", usage, NOON)
    base = BOOK.rates("google", "gemini-2.5-pro", at_ns(NOON))
    assert base is not None
    assert base.tiers[0][0] == 200_000
