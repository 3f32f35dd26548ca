"""Spellings, an operator's own prices, and how sure a cost is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otel_agentrun.price_rates import NANO_USD_MAX, Rates
from otel_agentrun.prices import ESTIMATED, EXACT, UNKNOWN, EndpointPrice, ModelPrice, PriceBook
from otel_agentrun.step import Usage

BOOK = PriceBook()
AT_NS = 1_790_000_000_000_000_000
USAGE = Usage(input_tokens=1000, output_tokens=100)
MINI_NANO_USD = 1000 * 150 + 100 * 600
"""gpt-4o-mini: 0.15 USD and 0.60 USD per million tokens."""


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("OpenAI", "GPT-4o-mini"),
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("openai", "openai/gpt-4o-mini"),
        ("litellm", "openai/gpt-4o-mini"),
        ("gcp.vertex.agent", "openai/gpt-4o-mini"),
        ("openai.chat", "gpt-4o-mini"),
        ("openai.responses", "gpt-4o-mini"),
        ("azure.ai.openai", "gpt-4o-mini"),
        ("azure-openai.chat", "gpt-4o-mini"),
        ("Azure", "azure/gpt-4o-mini"),
        ("langchain_openai", "gpt-4o-mini"),
    ],
)
def test_every_spelling_of_a_provider_finds_the_model(provider: str, model: str) -> None:
    """The dialects name one provider in many ways; a price must not depend on the framework."""
    assert BOOK.cost_nano_usd(USAGE, provider, model, AT_NS) == (MINI_NANO_USD, EXACT)


@pytest.mark.parametrize(
    ("provider", "model", "listed"),
    [
        ("anthropic", "claude-3-5-haiku-20241022", "anthropic"),
        ("anthropic.messages", "claude-3-5-haiku-latest", "anthropic"),
        ("aws.bedrock", "anthropic.claude-3-5-haiku-20241022-v1:0", "aws"),
        ("amazon-bedrock", "us.anthropic.claude-3-5-haiku-20241022-v1:0", "aws"),
        ("litellm", "bedrock/anthropic.claude-3-5-haiku-20241022-v1:0", "aws"),
        ("gcp.vertex_ai", "gemini-2.5-flash", "google"),
        ("gcp.gemini", "gemini-2.5-flash", "google"),
        ("gcp.gen_ai", "gemini-2.5-flash", "google"),
        ("google.generative-ai", "gemini-2.5-flash", "google"),
        ("gemini", "gemini/gemini-2.5-flash", "google"),
        ("mistral_ai", "mistral-large-latest", "mistral"),
        ("x_ai", "grok-3", "x-ai"),
        ("xai.chat", "grok-3", "x-ai"),
        ("deepseek", "deepseek-chat", "deepseek"),
        ("moonshot_ai", "kimi-k2-0905-preview", "moonshotai"),
        ("cohere", "command-r-plus", "cohere"),
        ("groq", "llama-3.1-8b-instant", "groq"),
        ("perplexity", "sonar", "perplexity"),
        ("azure.ai.openai", "gpt-4o", "azure"),
    ],
)
def test_a_provider_is_priced_by_its_own_list(provider: str, model: str, listed: str) -> None:
    """Every value of `gen_ai.provider.name` with a list resolves to that list, and is exact."""
    rates = BOOK.rates(provider, model, AT_NS)

    assert rates is not None
    assert (rates.provider, rates.inferred) == (listed, False)
    assert (rates.source, rates.version) == ("genai-prices", "genai-prices 0.2.3")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("strands-agents", "gpt-4o-mini"),
        ("", "gpt-4o-mini"),
        ("microsoft.agent_framework", "gpt-4o-mini"),
    ],
)
def test_without_a_provider_the_model_decides_and_the_cost_is_estimated(
    provider: str, model: str
) -> None:
    """Frameworks name themselves instead of the vendor; the vendor's list price is then likely."""
    assert BOOK.cost_nano_usd(USAGE, provider, model, AT_NS) == (MINI_NANO_USD, ESTIMATED)


def test_a_proxy_that_speaks_openai_is_priced_by_the_model() -> None:
    """OpenAI's client pointed at a gateway still says `openai`."""
    rates = BOOK.rates("openai", "claude-3-5-haiku-latest", AT_NS)

    assert rates is not None
    assert (rates.provider, rates.inferred) == ("anthropic", True)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "my-own-model"),
        ("", ""),
        ("openai", ""),
        ("", "unheard-of"),
        ("ollama", "deepseek-r1:7b"),
        ("ollama", "openai/gpt-oss-20b"),
        ("litellm", "ollama/deepseek-chat"),
        ("hosted_vllm", "gpt-4o-mini"),
        ("ibm.watsonx.ai", "mistral-large"),
        ("anthropic", "gpt-4o-mini"),
        ("groq", "openai/gpt-4o-mini"),
    ],
)
def test_what_no_list_says_is_unknown(provider: str, model: str) -> None:
    """Promise 4: never a guess, least of all a vendor's price for the operator's own machine."""
    assert BOOK.rates(provider, model, AT_NS) is None
    assert BOOK.cost_nano_usd(USAGE, provider, model, AT_NS) == (None, UNKNOWN)


RATES = Rates(input=10 * 10**9, output=20 * 10**9, cache_read=10**9, cache_write=12 * 10**9)
"""10, 20, 1 and 12 nano-USD per token."""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(input_tokens=100, output_tokens=10), (1200, EXACT)),
        (Usage(input_tokens=100, output_tokens=10, cache_read_tokens=60), (660, EXACT)),
        (
            Usage(input_tokens=100, output_tokens=0, cache_read_tokens=60, cache_write_tokens=40),
            (540, EXACT),
        ),
        (Usage(input_tokens=100, output_tokens=10, reasoning_tokens=4), (1200, EXACT)),
        (Usage(input_tokens=100), (1000, ESTIMATED)),
        (Usage(output_tokens=10), (200, ESTIMATED)),
        (Usage(output_tokens=10, cache_read_tokens=5), (205, ESTIMATED)),
        (Usage(input_tokens=1, output_tokens=0, cache_read_tokens=60), (70, ESTIMATED)),
        (Usage(input_tokens=0, output_tokens=1, reasoning_tokens=4), (100, ESTIMATED)),
        (Usage(input_tokens=0, output_tokens=0), (0, EXACT)),
        (Usage(), (None, UNKNOWN)),
        (Usage(reasoning_tokens=4), (None, UNKNOWN)),
        (Usage(input_tokens=-1, output_tokens=1), (None, UNKNOWN)),
        (Usage(input_tokens=10**18, output_tokens=0), (None, UNKNOWN)),
    ],
)
def test_a_cost_says_how_sure_it_is(usage: Usage, expected: tuple[int | None, str]) -> None:
    """Tokens that were not reported, or contradict each other, are `estimated`, not hidden."""
    assert RATES.cost(usage) == expected


def test_a_cost_is_rounded_half_to_even_once_per_call() -> None:
    """Money is whole nano-USD per step before it is added (DESIGN, "The way of a span")."""
    half = Rates(input=500_000_000, output=0)

    assert [half.cost(Usage(input_tokens=n, output_tokens=0))[0] for n in range(6)] == [
        0,
        0,
        1,
        2,
        2,
        2,
    ]
    assert half.cost(Usage(input_tokens=2 * NANO_USD_MAX, output_tokens=0))[0] == NANO_USD_MAX


def test_a_missing_rate_is_not_zero() -> None:
    """Speech is priced by the hour: its tokens have no price. Embeddings have no output."""
    embedding = Rates(input=10**9)

    assert embedding.cost(Usage(input_tokens=5)) == (5, EXACT)
    assert embedding.cost(Usage(input_tokens=5, output_tokens=0)) == (5, EXACT)
    assert embedding.cost(Usage(input_tokens=5, output_tokens=1)) == (None, UNKNOWN)
    assert Rates().cost(USAGE) == (None, UNKNOWN)


def test_own_prices_come_first_and_the_first_that_fits_wins() -> None:
    """An operator's contract beats the public list, for a provider or for all."""
    book = PriceBook(
        models=[
            ModelPrice(
                match="gpt-4o*", provider="azure", input_usd_per_mtok=1.0, output_usd_per_mtok=2
            ),
            ModelPrice(match="gpt-4o-MINI", input_usd_per_mtok=0.1, output_usd_per_mtok=0.0),
            ModelPrice(
                match="*", provider="acme", input_usd_per_mtok=0.001, output_usd_per_mtok=0.001
            ),
        ]
    )

    assert book.cost_nano_usd(USAGE, "azure.ai.openai", "gpt-4o-mini", AT_NS) == (1_200_000, EXACT)
    assert book.cost_nano_usd(USAGE, "openai", "gpt-4o-mini", AT_NS) == (100_000, EXACT)
    assert book.cost_nano_usd(USAGE, "ACME", "anything", AT_NS) == (1100, EXACT)
    assert book.cost_nano_usd(USAGE, "other", "anything", AT_NS) == (None, UNKNOWN)
    rates = book.rates("openai", "gpt-4o-mini", AT_NS)
    assert rates is not None
    assert rates.source == "config"
    assert rates.version.startswith("config ")


def test_the_version_of_own_prices_follows_their_content() -> None:
    """`price_version` is kept with every run, so that a changed price can be found again."""

    def version(usd: float) -> str:
        book = PriceBook(models=[ModelPrice(match="m", input_usd_per_mtok=usd)])
        rates = book.rates("", "m", AT_NS)
        assert rates is not None
        return rates.version

    assert version(1.0) == version(1.0) != version(2.0)


def test_the_built_in_list_can_be_left_out() -> None:
    """`use_builtin: false`: only what the operator wrote has a price."""
    book = PriceBook(use_builtin=False)

    assert book.cost_nano_usd(USAGE, "openai", "gpt-4o-mini", AT_NS) == (None, UNKNOWN)


def test_tools_and_endpoints_are_priced_per_call() -> None:
    """S2.16: model, tool and payment cost stay apart, each from its own list."""
    book = PriceBook(
        tools={"search_*": 0.005, "*": 0.0000000015},
        endpoints=[
            EndpointPrice(match="api.acme.test", usd=0.01),
            EndpointPrice(match="https://pay.test/v1/*", usd=1),
        ],
    )

    assert book.tool_cost_nano_usd("Search_web") == 5_000_000
    assert book.tool_cost_nano_usd("other") == 2
    assert PriceBook().tool_cost_nano_usd("search_web") is None
    assert book.endpoint_cost_nano_usd("api.acme.test", "") == 10_000_000
    assert book.endpoint_cost_nano_usd("pay.test", "https://pay.test/v1/charge") == 1_000_000_000
    assert book.endpoint_cost_nano_usd("pay.test", "https://pay.test/v2") is None
    assert PriceBook().endpoint_cost_nano_usd("api.acme.test") is None


def test_made_up_names_do_not_grow_the_book() -> None:
    """Names come from telemetry: a client that invents them must not fill the memory."""
    book = PriceBook(use_builtin=False, tools={"x": 1}, endpoints=[EndpointPrice(match="x", usd=1)])
    for index in range(5000):
        book.rates("p", str(index), AT_NS)
        book.tool_cost_nano_usd(str(index))
        book.endpoint_cost_nano_usd(str(index))

    assert max(len(book._found), len(book._found_tools), len(book._found_endpoints)) <= 4096


def test_prices_need_the_standard_library_only() -> None:
    """What an application imports stays light: no genai-prices, no pydantic."""
    code = (
        "import sys; from otel_agentrun.prices import PriceBook; "
        "PriceBook().rates('openai', 'gpt-4o', 0); "
        "print([name for name in ('genai_prices', 'pydantic', 'yaml') if name in sys.modules])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30
    )

    assert answer.stdout.strip() == "[]", answer.stderr
