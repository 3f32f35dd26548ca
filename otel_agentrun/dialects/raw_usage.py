"""Usage objects as model APIs answer with them, in the spelling of whichever API.

Sources: OpenAI chat completions and Responses, Anthropic Messages, Gemini `usageMetadata` (API
references), LangChain's `usage_metadata` (langchain-core, messages/ai.py), MLflow's
`mlflow.chat.tokenUsage` (mlflow 3.17, tracing/constant.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments, plain_json
from otel_agentrun.dialects.tables import as_count

FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("prompt_tokens", "input_tokens", "prompt_token_count", "promptTokenCount"), "input_tokens"
    ),
    **dict.fromkeys(
        ("completion_tokens", "output_tokens", "candidates_token_count", "candidatesTokenCount"),
        "output_tokens",
    ),
    **dict.fromkeys(
        ("cache_read_input_tokens", "cached_content_token_count", "cachedContentTokenCount"),
        "cache_read_tokens",
    ),
    "cache_creation_input_tokens": "cache_write_tokens",
    "thoughts_token_count": "reasoning_tokens",
    "thoughtsTokenCount": "reasoning_tokens",
}
"""Member of a usage object -> field of `Usage`."""
OF_INPUT: Final = (("cached_tokens", "cache_read_tokens"), ("cache_write_tokens",) * 2)
OF_OUTPUT: Final = (("reasoning_tokens",) * 2,)
DETAILS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "prompt_tokens_details": OF_INPUT,
    "input_tokens_details": OF_INPUT,
    "completion_tokens_details": OF_OUTPUT,
    "output_tokens_details": OF_OUTPUT,
    "input_token_details": (
        ("cache_read", "cache_read_tokens"),
        ("cache_creation", "cache_write_tokens"),
    ),
    "output_token_details": (("reasoning", "reasoning_tokens"),),
}
"""Object inside a usage object -> its members and their fields."""
TOTALS: Final = ("total_tokens", "total_token_count", "totalTokenCount")


def parsed(sent: Any) -> Any:
    """What is in a JSON text, or in Python's repr; anything else as it is."""
    if type(sent) is not str:
        return sent
    try:
        return plain_json.loads(sent)
    except (ValueError, RecursionError):
        return arguments.parse(sent)


def load(sent: Any) -> Mapping[str, Any]:
    """The usage object in `sent`; empty for what is none."""
    found = parsed(sent)
    return found if isinstance(found, Mapping) else {}


def counts(usage: Mapping[str, Any]) -> dict[str, int]:
    """Tokens by their name in `Usage`: input with cached ones, output with reasoning."""
    found: dict[str, int] = {}
    for name, value in usage.items():
        field = FIELDS.get(name)
        if field is not None:
            if (count := as_count(value)) is not None:
                found.setdefault(field, count)
        elif name in DETAILS and isinstance(value, dict):
            for member, field in DETAILS[name]:
                if member in value and (count := as_count(value[member])) is not None:
                    found.setdefault(field, count)
    if "input_tokens" in found:
        cached = found.get("cache_read_tokens", 0) + found.get("cache_write_tokens", 0)
        if cached and _is_apart(usage, found, cached):
            found["input_tokens"] += cached
    if "thoughts_token_count" in usage or "thoughtsTokenCount" in usage:
        # Gemini counts thoughts beside the answer.
        found["output_tokens"] = found.get("output_tokens", 0) + found.get("reasoning_tokens", 0)
    return found


def _is_apart(usage: Mapping[str, Any], found: Mapping[str, int], cached: int) -> bool:
    """Are cached tokens beside the input, as Anthropic's API counts them?"""
    if cached > found["input_tokens"]:
        return True
    if not {"cache_read_input_tokens", "cache_creation_input_tokens"} & usage.keys():
        return False
    total = next((as_count(usage[name]) for name in TOTALS if name in usage), None)
    return total is None or total == found["input_tokens"] + found.get("output_tokens", 0) + cached
