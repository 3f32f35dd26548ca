"""Write `otel_agentrun/prices_data.json` from the installed `genai-prices` package.

    python tools/generate_prices.py

The SDK must not import `genai-prices` (it brings pydantic and 0.3 s of import), so its table
becomes plain data: providers, how they and their models are recognized, and rates.  Rates are whole
atto-USD (1e-18 USD) per token: exact for every published price, and what is not (a few entries hold
float noise such as 0.08333333333333334) is off by at most a nano-USD per 1,000 million tokens.

Only what a token count can price is kept: audio hours, pages or searches are not in telemetry.
The shape is documented by its one reader, `otel_agentrun/price_table.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from genai_prices import types
from genai_prices.data import providers

TARGET: Final = Path(__file__).parents[1] / "otel_agentrun" / "prices_data.json"

RATES: Final[Mapping[str, tuple[str, int]]] = {
    "input_mtok": ("input", 10**12),
    "output_mtok": ("output", 10**12),
    "cache_read_mtok": ("cache_read", 10**12),
    "cache_write_mtok": ("cache_write", 10**12),
    "output_reasoning_mtok": ("reasoning", 10**12),
    "requests_kcount": ("request", 10**15),
}
"""Package key -> our key, atto-USD per token (or request) for one USD of it."""


def render() -> str:
    """The file's text: one model a line, so that an update reads as a diff."""
    lines = [
        f'{{"version": {json.dumps("genai-prices " + version("genai-prices"))},',
        '"providers": [',
    ]
    for position, provider in enumerate(providers):
        head: dict[str, Any] = {"id": provider.id}
        if provider.provider_match:
            head["provider"] = clause(provider.provider_match)
        if provider.model_match:
            head["owns"] = clause(provider.model_match)
        if provider.fallback_model_providers:
            head["fallback"] = provider.fallback_model_providers
        models = [
            compact([model.id, clause(model.match), prices(model)]) for model in provider.models
        ]
        lines.append(compact(head)[:-1] + ',"models":[')
        lines.extend(f"{model}," for model in models[:-1])
        lines.extend(models[-1:])
        lines.append("]}" + ("," if position < len(providers) - 1 else ""))
    return "\n".join([*lines, "]}"]) + "\n"


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def clause(match: Any) -> list[Any]:
    """`[sign, text or clauses...]`; texts are lower case, as what they are compared with."""
    match match:
        case types.ClauseEquals():
            return ["=", match.equals.lower()]
        case types.ClauseStartsWith():
            return ["^", match.starts_with.lower()]
        case types.ClauseEndsWith():
            return ["$", match.ends_with.lower()]
        case types.ClauseContains():
            return ["*", match.contains.lower()]
        case types.ClauseRegex():
            return ["~", match.regex]
        case types.ClauseOr():
            return ["|", *map(clause, match.or_)]
        case types.ClauseAnd():
            return ["&", *map(clause, match.and_)]
    raise TypeError(f"genai-prices has a new clause: {match!r}")


def prices(model: types.ModelInfo) -> Any:
    """A rates object, or `[[condition, rates], ...]` of which the last that applies wins."""
    if isinstance(model.prices, types.ModelPrice):
        return rates(model.prices)
    return [[condition(price.constraint), rates(price.prices)] for price in model.prices]


def condition(constraint: Any) -> Any:
    """`null`, an ISO date it starts on, or the seconds of the UTC day it holds from and until."""
    match constraint:
        case None:
            return None
        case types.StartDateConstraint():
            return constraint.start_date.isoformat()
        case types.TimeOfDateConstraint():
            times = (constraint.start_time, constraint.end_time)
            if any(time.utcoffset() for time in times):
                raise ValueError(f"genai-prices has a time of day that is not UTC: {constraint!r}")
            return [time.hour * 3600 + time.minute * 60 + time.second for time in times]
    raise TypeError(f"genai-prices has a new constraint: {constraint!r}")


def rates(price: types.ModelPrice) -> dict[str, Any]:
    """Our key -> atto-USD, or `[base, [tokens over, atto-USD], ...]` for context tiers."""
    found: dict[str, Any] = {}
    for key, (ours, factor) in RATES.items():
        value = price.__dict__.get(key)
        if isinstance(value, types.TieredPrices):
            tiers = [[tier.start, atto(tier.price, factor)] for tier in value.tiers]
            found[ours] = [atto(value.base, factor), *tiers]
        elif value is not None:
            found[ours] = atto(value, factor)
    return found


def atto(usd: Decimal, factor: int) -> int:
    return int((usd * factor).to_integral_value(ROUND_HALF_EVEN))


if __name__ == "__main__":
    text = render()
    TARGET.write_text(text, encoding="ascii")
    sys.stdout.write(f"{TARGET.name}: {len(providers)} providers, {len(text)} bytes\n")
