"""One step as rules see it: the step, what it cost, and what is known of its arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from otel_agentrun.step import Step

__all__ = ["NO_WORDS", "Seen", "similarity", "words"]

WORDS_MAX: Final = 64
"""Words of one call that are compared; the rest of very long arguments does not decide."""
NO_WORDS: Final[frozenset[int]] = frozenset()
_WORD: Final = re.compile(r"\w+")


class Seen:
    """Made once per step and never changed, but for `cost_so_far`, which the watch fills in."""

    __slots__ = (
        "arguments", "cost_nano_usd", "cost_so_far", "key", "requested", "step", "words",
    )  # fmt: skip

    def __init__(
        self,
        step: Step,
        cost_nano_usd: int | None = None,
        words: frozenset[int] = NO_WORDS,
        arguments: Mapping[str, object] | None = None,
        requested: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """`words` and `arguments` of a tool call, and `requested` (arguments by call id) of a model
        call, where the text is at hand: a `Step` has only its digest."""
        self.step = step
        self.key = (step.start_ns, step.span_id)
        self.cost_nano_usd = cost_nano_usd
        self.cost_so_far = 0
        self.words = words
        self.arguments = arguments
        self.requested = requested


@lru_cache(maxsize=1024)
def words(arguments: str) -> frozenset[int]:
    """The words of a call's arguments as hashes: equal within a process, and no content.

    A word knows how often it came before (`a a` is not `a`), and its case does not matter.
    """
    counts: dict[str, int] = {}
    found = set()
    for match in _WORD.finditer(arguments):
        word = match[0].lower()
        count = counts[word] = counts.get(word, 0) + 1
        found.add(hash((word, count)))
        if len(found) >= WORDS_MAX:
            break
    return frozenset(found)


def similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """Words in common, of all words of both: 1 for equal sets, 0 for nothing in common."""
    if not one or not other:
        return 0.0
    common = len(one & other)
    return common / (len(one) + len(other) - common)
