"""What model calls, tool calls and paid endpoints cost: the built-in list and an operator's own.

A price that is not known is `unknown`, never a guess (docs/prices.md).
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_agentrun import price_table
from otel_agentrun.price_rates import (
    ESTIMATED,
    EXACT,
    UNKNOWN,
    Cost,
    Rates,
    atto_usd_per_token,
    nano_usd,
)
from otel_agentrun.price_table import Schedule
from otel_agentrun.step import Usage

__all__ = [
    "ESTIMATED",
    "EXACT",
    "UNKNOWN",
    "Cost",
    "EndpointPrice",
    "ModelPrice",
    "PriceBook",
    "Rates",
]

CACHED_MAX: Final = 4096
"""Names looked up before starting anew: telemetry may carry any number of made-up ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """What a model costs under your own contract. The first entry that fits is used."""

    match: str
    """Glob on the model id, in any case: `gpt-4o*`, `my-org/*`."""
    provider: str = ""
    """Only for calls of this provider (`openai`, `azure`, ...); empty: of any."""
    input_usd_per_mtok: float | None = None
    """USD per million input tokens. Without it, calls with input tokens cost `unknown`."""
    output_usd_per_mtok: float | None = None
    """USD per million output tokens. Without it, calls with output tokens cost `unknown`."""
    cache_read_usd_per_mtok: float | None = None
    """USD per million input tokens read from the provider's cache; without it, as other input."""
    cache_write_usd_per_mtok: float | None = None
    """USD per million input tokens written to the provider's cache; without it, as other input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPrice:
    """What one call of a paid endpoint costs. The first entry that fits is used."""

    match: str
    """Glob on the server's address or the URL: `api.example.com`, `https://api.example.com/v1/*`."""
    usd: float
    """USD per call."""


class PriceBook:
    """Answers from memory after the first time; may be shared by threads."""

    def __init__(
        self,
        *,
        models: Sequence[ModelPrice] = (),
        tools: Mapping[str, float] | None = None,
        endpoints: Sequence[EndpointPrice] = (),
        use_builtin: bool = True,
    ) -> None:
        """`tools` maps a glob on the tool's name to USD per call; the first that fits is used."""
        version = "config " + hashlib.sha256(repr(tuple(models)).encode()).hexdigest()[:8]
        self._own = [(price, _glob(price.match), _own_rates(price, version)) for price in models]
        self._tools = [(_glob(match), nano_usd(usd)) for match, usd in (tools or {}).items()]
        self._endpoints = [(_glob(price.match), nano_usd(price.usd)) for price in endpoints]
        self._use_builtin = use_builtin
        self._found: dict[tuple[str, str], Rates | Schedule | None] = {}
        self._found_tools: dict[str, int | None] = {}
        self._found_endpoints: dict[tuple[str, ...], int | None] = {}

    def rates(self, provider: str, model: str, at_ns: int) -> Rates | None:
        """What a model cost at a time (Unix nanoseconds); `None` where no list says."""
        key = (provider, model)
        try:
            found = self._found[key]
        except KeyError:
            found = self._search(provider, model)
            if len(self._found) >= CACHED_MAX:
                self._found.clear()
            self._found[key] = found
        return found.at(at_ns) if isinstance(found, Schedule) else found

    def cost_nano_usd(self, usage: Usage, provider: str, model: str, at_ns: int) -> Cost:
        """What one model call cost, and how sure that is; `(None, "unknown")` without a price."""
        rates = self.rates(provider, model, at_ns)
        return (None, UNKNOWN) if rates is None else rates.cost(usage)

    def tool_cost_nano_usd(self, tool_name: str) -> int | None:
        """What one call of a tool costs; `None` for a tool without a price."""
        found = self._found_tools
        if tool_name not in found:
            if len(found) >= CACHED_MAX:
                found.clear()
            found[tool_name] = _first(self._tools, tool_name)
        return found[tool_name]

    def endpoint_cost_nano_usd(self, *targets: str) -> int | None:
        """What one call of an endpoint costs, by `server.address` and URL; `None`: not priced."""
        if not self._endpoints:
            return None
        found = self._found_endpoints
        if targets not in found:
            if len(found) >= CACHED_MAX:
                found.clear()
            found[targets] = _first(self._endpoints, *targets)
        return found[targets]

    def _search(self, provider: str, model: str) -> Rates | Schedule | None:
        ref = model.strip().lower()
        for price, glob, rates in self._own:
            if glob.fullmatch(ref) and self._is_for(price, provider):
                return rates
        schedule = price_table.builtin().find(provider, model) if self._use_builtin else None
        if schedule is not None and len(schedule.entries) == 1:
            return schedule.entries[0][1]
        return schedule

    def _is_for(self, price: ModelPrice, provider: str) -> bool:
        if not price.provider or price.provider.lower() == provider.lower():
            return True
        table = price_table.builtin()
        return table.provider_id(price.provider) == table.provider_id(provider)


def _own_rates(price: ModelPrice, version: str) -> Rates:
    def rate(usd_per_mtok: float | None) -> int | None:
        return None if usd_per_mtok is None else atto_usd_per_token(usd_per_mtok)

    return Rates(
        input=rate(price.input_usd_per_mtok),
        output=rate(price.output_usd_per_mtok),
        cache_read=rate(price.cache_read_usd_per_mtok),
        cache_write=rate(price.cache_write_usd_per_mtok),
        source="config",
        version=version,
        provider=price.provider,
        model=price.match,
    )


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern.lower()), re.DOTALL)


def _first(prices: Sequence[tuple[re.Pattern[str], int]], *names: str) -> int | None:
    for glob, amount in prices:
        if any(name and glob.fullmatch(name.lower()) for name in names):
            return amount
    return None
