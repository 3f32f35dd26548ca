"""The built-in price list: finds a model's rates as `genai-prices` would, from plain data.

`prices_data.json` is written by `tools/generate_prices.py`:

    {"version": "genai-prices 0.2.3", "providers": [
      {"id": ..., "provider": clause?, "owns": clause?, "fallback": [id...]?, "models": [
        [id, clause, rates | [[condition, rates]...]] ...]} ...]}

A clause is `["=" | "^" | "$" | "*" | "~", text]` (equals, starts, ends, contains, regex) or
`["|" | "&", clause...]`; `provider` recognizes a provider's name, `owns` a model id that came with
no provider.  A condition is null, the ISO date it starts on, or [from, until] in seconds of the UTC
day.  Rates are atto-USD per token, or [base, [input tokens over, rate]...].
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from otel_agentrun.price_providers import ALIASES, OPENAI, UNPRICED, spellings
from otel_agentrun.price_rates import Rates

DATA: Final = Path(__file__).with_name("prices_data.json")

SECOND_NS: Final = 10**9
DAY_SECS: Final = 86_400
Clause = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates that depend on the time: the last one whose condition holds, else the first."""

    entries: tuple[tuple[Any, Rates], ...]

    def at(self, at_ns: int) -> Rates:
        for condition, rates in self.entries[::-1]:
            if _holds(condition, at_ns):
                return rates
        return self.entries[0][1]


class PriceTable:
    """The list as loaded; every search walks it, so callers keep what they found."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.version: str = data["version"]
        self._providers: dict[str, Mapping[str, Any]] = {
            provider["id"]: provider for provider in data["providers"]
        }

    def find(self, provider: str, model: str) -> Schedule | None:
        """The prices of a model as an emitter spells both; `None` where the list does not say."""
        name, ref = provider.strip().lower(), model.strip().lower()
        host, certain = self._named(name)
        if not ref or (host is None and any(text in UNPRICED for text in spellings(name))):
            return None
        if host is not None:
            found = self._model(host, ref)
            if found is not None:
                return self._schedule(host, found, inferred=False)
        # LiteLLM writes the provider before the model: `openai/gpt-4o-mini`.  Elsewhere a slash is
        # part of the id (`openai/gpt-oss-120b` at Groq), so a host we are sure of is not overruled.
        head, slash, rest = ref.partition("/")
        if slash:
            if head in UNPRICED:
                return None
            prefixed, _ = self._named(head)
            open_host = not certain or host == OPENAI
            if prefixed is not None and (open_host or prefixed == host):
                found = self._model(prefixed, rest)
                if found is not None:
                    return self._schedule(prefixed, found, inferred=False)
        if certain and host != OPENAI:
            return None
        for owner, entry in self._providers.items():
            if "owns" in entry and _matches(entry["owns"], ref):
                found = self._model(owner, ref)
                return None if found is None else self._schedule(owner, found, inferred=True)
        return None

    def provider_id(self, provider: str) -> str:
        """One spelling for all names of a provider; an unknown one is itself in lower case."""
        name = provider.strip().lower()
        return self._named(name)[0] or name

    def _named(self, name: str) -> tuple[str | None, bool]:
        """The list a name stands for, and whether it can stand for nothing else."""
        for text in spellings(name):
            found = ALIASES.get(text, text)
            if found in self._providers:
                return found, True
            if text in UNPRICED:
                return None, False
        for identifier, entry in self._providers.items():
            if "provider" in entry and _matches(entry["provider"], name):
                return identifier, False
        return None, False

    def _model(self, provider: str, ref: str) -> Sequence[Any] | None:
        found = self._listed(provider, ref)
        if found is None:
            dashed = _dashed_date(ref)
            if dashed != ref:
                found = self._listed(provider, dashed)
        return found

    def _listed(self, provider: str, ref: str) -> Sequence[Any] | None:
        entry = self._providers[provider]
        for listed in (provider, *entry.get("fallback", ())):
            for model in self._providers[listed]["models"] if listed in self._providers else ():
                if _matches(model[1], ref):
                    return model  # type: ignore[no-any-return]  # JSON
        return None

    def _schedule(self, provider: str, model: Sequence[Any], *, inferred: bool) -> Schedule:
        identifier, _, prices = model
        if isinstance(prices, Mapping):
            prices = [[None, prices]]
        known = {
            "source": "genai-prices",
            "version": self.version,
            "provider": provider,
            "model": identifier,
            "inferred": inferred,
        }
        return Schedule(tuple((_condition(when), _rates(rates, known)) for when, rates in prices))


@cache
def builtin() -> PriceTable:
    """The list that comes with this version; read on first use (about 5 ms)."""
    with DATA.open(encoding="ascii") as file:
        return PriceTable(json.load(file))


def _matches(clause: Clause, text: str) -> bool:
    """`text` is lower case."""
    sign = clause[0]
    if sign == "|":
        return any(_matches(inner, text) for inner in clause[1:])
    if sign == "=":
        return bool(text == clause[1])
    if sign == "^":
        return text.startswith(clause[1])
    if sign == "*":
        return clause[1] in text
    if sign == "$":
        return text.endswith(clause[1])
    if sign == "&":
        return all(_matches(inner, text) for inner in clause[1:])
    return re.search(clause[1], text) is not None


_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _dashed_date(ref: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: gateways write the one, price lists the other."""

    def dashed(found: re.Match[str]) -> str:
        year, month, day = found.groups()
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            return found[0]
        return f"-{year}-{month}-{day}"

    return _COMPACT_DATE.sub(dashed, ref)


def _condition(when: Any) -> Any:
    """A start date becomes its nanosecond, a time of day a pair of seconds."""
    if isinstance(when, str):
        return int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()) * SECOND_NS
    return tuple(when) if when is not None else None


def _holds(condition: Any, at_ns: int) -> bool:
    if condition is None:
        return True
    if isinstance(condition, int):
        return at_ns >= condition
    start, end = condition
    second = at_ns // SECOND_NS % DAY_SECS
    if end < start:
        return bool(second >= start or second < end)
    return bool(start <= second < end)


def _rates(prices: Mapping[str, Any], known: Mapping[str, Any]) -> Rates:
    """Tiers of single prices become whole sets of rates, one for each number of tokens in any."""
    starts = {tier[0] for price in prices.values() if isinstance(price, list) for tier in price[1:]}
    tiers = tuple(
        (start, Rates(**{key: _tier(price, start) for key, price in prices.items()}))
        for start in sorted(starts, reverse=True)
    )
    base = {key: price[0] if isinstance(price, list) else price for key, price in prices.items()}
    return Rates(**base, **known, tiers=tiers)


def _tier(price: Any, start: int) -> Any:
    if not isinstance(price, list):
        return price
    return max((tier for tier in price[1:] if tier[0] <= start), default=(0, price[0]))[1]
