"""Spans that no dialect recognizes and that look like an agent's all the same.

They are kept and not counted; a person is told their scope, to map them (docs/dialects.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from otel_agentrun.dialects.kinds import TRANSPORT
from otel_agentrun.step import Step

WORDS: Final = (
    "agent", "agents", "ai", "assistant", "completion", "completions", "embedding", "embeddings",
    "gen_ai", "genai", "langchain", "llm", "mcp", "openai", "prompt", "prompts", "tool_call",
)  # fmt: skip
"""Words that make a scope, a span's name or an attribute's key look like an agent's."""
WORD: Final = re.compile(rf"(?<![a-z]){'(?:' + '|'.join(WORDS) + ')'}(?![a-z])", re.IGNORECASE)
STANDARD: Final = ("user_agent.", "http.", "user.")
"""Keys that have such a word and say nothing: `user_agent.original`."""


def is_unrecognized(step: Step) -> bool:
    """Read by nobody, and no plumbing."""
    return not step.dialect and step.role is not TRANSPORT


def looks_like_an_agent(scope: str, name: str, keys: Iterable[str]) -> bool:
    """By words only: nothing is read into the span."""
    return has_word(scope) or WORD.search(name) is not None or any(map(has_word, keys))


@lru_cache(maxsize=4096)
def has_word(text: str) -> bool:
    """Of a scope or an attribute's key: there are few of them."""
    return WORD.search(text) is not None and not text.startswith(STANDARD)
