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

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": ("prompt_tokens", "input_tokens", "prompt_token_count", "promptTokenCount"),
    "output_tokens": (
        "completion_tokens", "output_tokens", "candidates_token_count", "candidatesTokenCount",
    ),
    "cache_read_tokens": (
        "cache_read_input_tokens", "cached_content_token_count", "cachedContentTokenCount",
    ),
    "cache_write_tokens": ("cache_creation_input_tokens",),
    "reasoning_tokens": ("thoughts_token_count", "thoughtsTokenCount"),
}  # fmt: skip
DETAILS: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    *(
        (name, {"cached_tokens": "cache_read_tokens", "cache_write_tokens": "cache_write_tokens"})
        for name in ("prompt_tokens_details", "input_tokens_details")
    ),
    *(
        (name, {"reasoning_tokens": "reasoning_tokens"})
        for name in ("completion_tokens_details", "output_tokens_details")
    ),
    (
        "input_token_details",
        {"cache_read": "cache_read_tokens", "cache_creation": "cache_write_tokens"},
    ),
    ("output_token_details", {"reasoning": "reasoning_tokens"}),
)
"""(object inside a usage object, its member -> field)."""
TOTALS: Final = ("total_tokens", "total_token_count", "totalTokenCount")


def load(sent: Any) -> Mapping[str, Any]:
    """The usage object in `sent`, JSON or structure; empty for what is none."""
    if type(sent) is str:
        try:
            sent = plain_json.loads(sent)
        except (ValueError, RecursionError):
            sent = arguments.parse(sent)  # Python's repr
    return sent if isinstance(sent, Mapping) else {}


def counts(usage: Mapping[str, Any]) -> dict[str, int]:
    """Tokens by their name in `Usage`: input with cached ones, output with reasoning."""
    found: dict[str, int] = {}
    for field, names in NAMES.items():
        for name in names:
            if name in usage and (count := as_count(usage[name])) is not None:
                found[field] = count
                break
    for name, members in DETAILS:
        inside = usage.get(name)
        if isinstance(inside, Mapping):
            for member, field in members.items():
                if (count := as_count(inside.get(member))) is not None:
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
