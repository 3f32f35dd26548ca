"""What a cost costs: `python -m tests.bench.bench_prices` prints microseconds a call."""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable

from otel_agentrun import price_table
from otel_agentrun.prices import PriceBook
from otel_agentrun.step import Usage

AT_NS = 1_790_000_000_000_000_000
USAGE = Usage(input_tokens=12_000, output_tokens=900, cache_read_tokens=8_000, reasoning_tokens=200)


def micros(call: Callable[[], object], number: int = 100_000) -> float:
    """The best of five: the machine is shared."""
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def main() -> None:
    start = time.perf_counter()
    price_table.builtin()
    figures = [("load the list", (time.perf_counter() - start) * 1e6)]
    book = PriceBook()
    for name, provider, model in (
        ("cost, cached", "openai", "gpt-4o-mini"),
        ("cost, cached, context tiers", "google", "gemini-2.5-pro"),
        ("cost, cached, by time of day", "deepseek", "deepseek-chat"),
        ("cost, cached, unknown model", "", "my-own-model"),
    ):
        figures.append(
            (name, micros(lambda p=provider, m=model: book.cost_nano_usd(USAGE, p, m, AT_NS)))
        )
    table = price_table.builtin()
    figures.append(("first look at a model", micros(lambda: table.find("openai", "gpt-5"), 200)))
    figures.append(("first look, nothing found", micros(lambda: table.find("", "none"), 200)))
    for name, value in figures:
        sys.stdout.write(f"{name:32} {value:10.2f} us\n")


if __name__ == "__main__":
    main()
