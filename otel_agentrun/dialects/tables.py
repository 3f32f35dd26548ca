"""Tables of keys, compiled: attribute key -> what it means, how its value is read, and its rank."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_agentrun import semconv
from otel_agentrun.dialects import labels as run_labels
from otel_agentrun.step import as_number, as_text

Found = dict[str, Any]
"""Table field -> converted value, of one span."""
Labels = dict[str, str]

COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "run_id": (semconv.RUN_ID,),
    "step_id": (semconv.STEP_ID,),
    "agent_id": (semconv.AGENT_ID,),
    "attempt": (semconv.RETRY_ATTEMPT,),
    "retry_reason": (semconv.RETRY_REASON,),
    "handoff_to": (semconv.HANDOFF_TO,),
    "status": (semconv.STEP_STATUS,),
    "error_type": (semconv.ERROR_TYPE,),
    "cost": (semconv.COST_USD,),
    "payment": (semconv.PAYMENT_USD,),
    "revenue": (semconv.REVENUE_USD,),
    "prompt_name": ("gen_ai.prompt.name",),
    "prompt_version": ("gen_ai.prompt.version",),
    "tool_version": (semconv.TOOL_VERSION,),
    "input_structure": (semconv.INPUT_STRUCTURE,),
    "arguments_hash": (semconv.TOOL_ARGUMENTS_HASH,),
    "result_hash": (semconv.TOOL_RESULT_HASH,),
}
"""Read from every span whatever its dialect; a dialect's own keys for a field come after these."""

STATUS_KEYS: Final = frozenset(
    {"http.response.status_code", "http.status_code", "error.code", "error.message"}
)
TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
COUNTS: Final = frozenset({*TOKENS, "step_id", "attempt", "hit_count"})
MONEY: Final = frozenset({"cost", "reported_cost", "payment", "revenue"})
LISTS: Final = frozenset({"finish_reasons", "tags"})
RAW: Final = frozenset({"arguments", "result", "input", "output", "documents"})
"""Fields kept as they came, because their size or their structure is what is asked for."""
COUNT_MAX: Final = 1 << 53
NANO_MAX: Final = (1 << 63) - 1
CACHED_KEYS_MAX: Final = 16_384
REMEMBERED_MAX: Final = 16_384
REMEMBERED_CHARS_MAX: Final = 100
NO_KEYS: Final[Mapping[str, tuple[str, ...]]] = {}
OWN_LABEL_RANK: Final = 100
"""A dialect's own spelling of a label comes after the keys that all dialects share."""

Convert = Callable[[Any], Any]
Entry = tuple[str, int, Convert | None, bool]
"""(field, rank among the keys of the field, converter (`None`: as text), is a label)."""


def as_count(value: Any) -> int | None:
    """A whole number from 0 to 2**53; anything else, NaN included, counts as absent."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        finite = as_number(value)
        if finite is None:
            return None
        number = int(finite)
    return number if 0 <= number <= COUNT_MAX else None


def as_nano_usd(value: Any) -> int | None:
    """US dollars to nano-USD; `None` for what is no amount."""
    number = as_number(value)
    if number is None or number < 0 or number * 1e9 > NANO_MAX:
        return None
    return round(number * 1e9)


def as_strings(value: Any) -> tuple[str, ...] | None:
    """A string array from a sequence, JSON text or one bare value."""
    if isinstance(value, str):
        return _strings_in(value)
    if isinstance(value, list | tuple):
        return tuple(item if isinstance(item, str) else as_text(item) for item in value)
    return (as_text(value),)


def _strings_in(text: str) -> tuple[str, ...]:
    if not text.startswith("["):
        return (text,)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return (text,)
    return tuple(item if isinstance(item, str) else as_text(item) for item in parsed)


class Remembered(dict[str, Any]):
    """Text -> what a converter makes of it.  Bounded: once full, it asks the converter."""

    def __init__(self, convert: Convert) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> Any:
        value = self._convert(text)
        if len(self) < REMEMBERED_MAX and len(text) <= REMEMBERED_CHARS_MAX:
            self[text] = value
        return value


# A look-up is C code.  Finish reasons are a handful of texts, and most counts come again.
OF_TEXT: Final[Mapping[Convert, Convert]] = {
    as_count: Remembered(as_count).__getitem__,
    as_strings: Remembered(as_strings).__getitem__,
}
"""Converter -> the same one for values that are text."""


def _converter(field: str) -> Convert | None:
    if field in COUNTS:
        return as_count
    if field in MONEY:
        return as_nano_usd
    if field in LISTS:
        return as_strings
    return as_is if field in RAW else None


def as_is(value: Any) -> Any:
    return value


def unquoted(text: str) -> str:
    """Text that an emitter may have sent as a JSON string, without its quotes."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    if "\\" not in text:
        return text[1:-1]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _pattern(prefix: str) -> re.Pattern[str]:
    """A prefix, or a whole key in which `*` stands for one part without dots."""
    before, star, after = map(re.escape, prefix.partition("*"))
    return re.compile(f"{before}[^.]+{after}$" if star else before)


class Table(dict[str, "Entry | None"]):
    """Attribute key -> what it means.  Unknown keys are classified once and remembered, bounded."""

    def __init__(
        self,
        keys: Mapping[str, tuple[str, ...]],
        prefixes: Mapping[str, str],
        label: Callable[[str], str] | None = None,
        more: Mapping[str, tuple[str, ...]] = NO_KEYS,
    ) -> None:
        """`label` names the label that a key of the dialect's own states, or is "" for none.

        `more` are keys from the config, read where no key of the dialect's says the field.
        """
        super().__init__()
        self._prefixes = tuple((_pattern(key), field) for key, field in prefixes.items())
        self._label = label
        merged = {
            field: (*COMMON.get(field, ()), *keys.get(field, ())) for field in {**COMMON, **keys}
        }
        for field, names in merged.items():
            for rank, key in enumerate(names):
                assert key not in self, f"{key} feeds two fields"
                self[key] = (field, rank, _converter(field), False)
        for field, names in more.items():
            for rank, key in enumerate(names, len(merged.get(field, ()))):
                if key not in self:
                    self[key] = (field, rank, _converter(field), False)

    def __missing__(self, key: str) -> Entry | None:
        entry = self._classify(key)
        if len(self) < CACHED_KEYS_MAX:
            self[key] = entry
        return entry

    def _classify(self, key: str) -> Entry | None:
        label = run_labels.name_of(key)
        if label is not None:
            return (*label, None, True)
        if self._label is not None and (name := self._label(key)):
            return (name, OWN_LABEL_RANK, None, True)
        for pattern, field in self._prefixes:
            if pattern.match(key):
                return (field, 0, as_is, False)
        return None
