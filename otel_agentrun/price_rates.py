"""What one model's tokens cost, and what one call therefore costs.

Rates are whole atto-USD (1e-18 USD) per token, so that a sum is exact whatever the price and is
rounded once, to the nano-USD (1e-9 USD) in which money is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from otel_agentrun.step import Usage

EXACT: Final = "exact"
"""The emitter reported all tokens, and the provider it named has a price for each kind."""
ESTIMATED: Final = "estimated"
"""A part was not reported or contradicts itself, or the provider was inferred from the model."""
UNKNOWN: Final = "unknown"
"""No price, or nothing to multiply it with: there is no amount."""

ATTO_PER_NANO: Final = 10**9
NANO_USD_MAX: Final = 2**63 - 1
"""Money is an Int64; a call past 9 billion USD is a broken token count."""

Cost = tuple[int | None, str]
"""(nano-USD, confidence); the amount is `None` exactly where the confidence is `unknown`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Atto-USD per token (`request`: per call).

    `None` for cached tokens is "charged as input", for reasoning "charged as output", for input and
    output "no price known", which is not zero.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    request: int = 0
    tiers: tuple[tuple[int, Rates], ...] = ()
    """(tokens, rates): a call with more input tokens than this pays these rates for all its tokens.
    The greatest number of tokens first."""
    source: str = ""
    """`genai-prices` or `config`."""
    version: str = ""
    """Kept with every run: `genai-prices 0.2.3`, `config 1f2e3d4c`."""
    provider: str = ""
    """Whose price list this is, spelled as in the source."""
    model: str = ""
    """The entry of that list."""
    inferred: bool = False
    """The emitter named no provider we know: the model id alone decided."""

    def cost(self, usage: Usage) -> Cost:
        """What one call costs, rounded half to even."""
        rates = self
        exact = not self.inferred
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        cache_read, cache_write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        reasoning = usage.reasoning_tokens or 0

        cached = cache_read + cache_write
        if input_tokens is None:
            if output_tokens is None and not cached:
                return None, UNKNOWN
            input_tokens, exact = cached, False
        elif input_tokens < cached:
            # Input includes cached tokens; where it cannot, the emitter counted them apart.
            input_tokens, exact = input_tokens + cached, False
        if output_tokens is None:
            exact = exact and rates.output is None  # an embedding has no output to report
            output_tokens = reasoning
        elif output_tokens < reasoning:
            output_tokens, exact = output_tokens + reasoning, False
        if min(input_tokens, output_tokens, cache_read, cache_write, reasoning) < 0:
            return None, UNKNOWN

        for over, tier in rates.tiers:
            if input_tokens > over:
                rates = tier
                break

        atto_usd = rates.request
        if rates.cache_read is not None:
            atto_usd += cache_read * rates.cache_read
            input_tokens -= cache_read
        if rates.cache_write is not None:
            atto_usd += cache_write * rates.cache_write
            input_tokens -= cache_write
        if rates.reasoning is not None:
            atto_usd += reasoning * rates.reasoning
            output_tokens -= reasoning
        if rates.input is not None:
            atto_usd += input_tokens * rates.input
        elif input_tokens:
            return None, UNKNOWN
        if rates.output is not None:
            atto_usd += output_tokens * rates.output
        elif output_tokens:
            return None, UNKNOWN

        nano_usd, rest = divmod(atto_usd, ATTO_PER_NANO)
        if rest * 2 > ATTO_PER_NANO or (rest * 2 == ATTO_PER_NANO and nano_usd & 1):
            nano_usd += 1
        if nano_usd > NANO_USD_MAX:
            return None, UNKNOWN
        return nano_usd, EXACT if exact else ESTIMATED


def nano_usd(usd: float) -> int:
    """An amount an operator wrote, read as the decimal it was written as."""
    return int((Decimal(repr(usd)) * 10**9).to_integral_value(ROUND_HALF_EVEN))


def atto_usd_per_token(usd_per_mtok: float) -> int:
    """USD per million tokens as a rate."""
    return int((Decimal(repr(usd_per_mtok)) * 10**12).to_integral_value(ROUND_HALF_EVEN))
