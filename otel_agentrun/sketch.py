"""A sketch of a call's arguments: enough to tell a question put in other words from another one.

A digest says whether two calls are equal, and their text is not kept where rules look at them.  The
sketch keeps, per argument, its words as 16-bit hashes: `query` with five words is `3b1f:` and five
times four hex digits.  At most `WORDS_MAX` words: of long texts those with the smallest hashes, a
sample that equal words of two texts fall into alike (a bottom-k sketch; Broder, 1997).

Hashes of words can be guessed, so a sketch is made only of what may be stored as text: of redacted
text, and never where a content policy keeps values out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from heapq import nsmallest
from typing import Any, Final
from zlib import crc32

from otel_agentrun import arguments
from otel_agentrun.plain_json import ADDRESS_MARK, dumps
from otel_agentrun.structure import is_structure

__all__ = ["CHARS_MAX", "WORDS_MAX", "Words", "of_another", "read", "similarity", "sketch"]

WORDS_MAX: Final = 24
SLOTS_MAX: Final = 12
"""Arguments of one call that are told apart; at least two words of each are kept."""
CHARS_MAX: Final = 4096
"""Text beyond that is not looked at."""
CACHED_CHARS_MAX: Final = 1024
REMEMBERED_MAX: Final = 16_384
REMEMBERED_BYTES_MAX: Final = 64
HEX: Final = 4

Words = Mapping[str, frozenset[str]]
"""Hash of an argument's name -> hashes of its words."""

KEY: Final = b"\x01"
"""Ends the name of an argument, as a token."""
GAPS: Final = b"{}[]()<>\"'`,;=!?|\\*&%$#~^"
SPELLING: Final = bytes(
    ord(" ") if code in GAPS else ord(chr(code).lower()) if code < 0x80 else code
    for code in range(256)
)
"""Small letters, and spaces between words, in UTF-8."""
# `alice@example.com`, `2026-05-01`, `https://a.example/b`: one word, as one thing is meant by it.
EDGES: Final = b"@./:+-_"
# Scripts without spaces between words: a character is the word.
SPACELESS: Final = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
)
ESCAPES: Final = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
NOTHING: Final[frozenset[str]] = frozenset()


class _Coded(dict[bytes, str]):
    """Word -> four hex digits, name of an argument -> the same between a space and a colon; equal
    in every process."""

    def __missing__(self, token: bytes) -> str:
        word = token.strip(KEY + EDGES)
        found = f"{crc32(word) & 0xFFFF:04x}" if word else ""
        if token.endswith(KEY):
            found = f" {found}:"
        if len(self) < REMEMBERED_MAX and len(token) <= REMEMBERED_BYTES_MAX:
            self[token] = found
        return found


# Switches are not what is asked for.
_coded: Final = _Coded(dict.fromkeys((b"true", b"false", b"null", b"none"), "")).__getitem__


def sketch(value: Any) -> str:
    """Of the arguments as they came; "" for none, and for what is only their structure."""
    if value is None or value == "":
        return ""
    if type(value) is str and len(value) <= CACHED_CHARS_MAX:
        return _of_short(value)
    return _of(value)


@lru_cache(maxsize=4096)
def _of_short(text: str) -> str:
    return _of(text)


def _of(value: Any) -> str:
    text, is_json = _spelled(value)
    text = text[:CHARS_MAX]
    if not text.isascii():
        text = SPACELESS.sub(r" \1 ", text.lower())
    spelled = text.encode("utf-8", "surrogatepass")
    if is_json:
        spelled = spelled.replace(b'":', KEY + b" ")
    tokens = spelled.translate(SPELLING).split()
    if not tokens:
        return ""
    if len(tokens) <= WORDS_MAX:
        coded = "".join(map(_coded, tokens))
        return coded[1:] if coded[:1] == " " else f":{coded}"
    return _sampled(tokens)


def _sampled(tokens: Sequence[bytes]) -> str:
    """At most `WORDS_MAX` words of so many."""
    words: set[str] = set()
    slots = {"": words}
    for code in map(_coded, tokens):
        if code[:1] == " ":
            words = slots.setdefault(code[1:-1], set())
        elif code:
            words.add(code)
    chosen = [slot for slot in sorted(slots) if slots[slot]][:SLOTS_MAX]
    share = WORDS_MAX // max(len(chosen), 1)
    return " ".join(f"{slot}:{''.join(nsmallest(share, slots[slot]))}" for slot in chosen)


def _spelled(value: Any) -> tuple[str, bool]:
    """The arguments as JSON without escapes or as bare text; which of them."""
    if type(value) is str:
        if (
            value[:2] == '{"'
            and "\\" not in value
            and '"kwargs"' not in value
            and '"input_str"' not in value
            and ADDRESS_MARK not in value
        ):
            return ("", True) if is_structure(value) else (value, True)
        value = arguments.parse(value)
    if type(value) is dict and "type" in value and is_structure(dumps(value)):
        return "", True
    value = arguments.cleaned(value)
    if type(value) is str:
        return value, False
    try:
        return ESCAPES.sub(" ", arguments.ENCODER.encode(value)[: 2 * CHARS_MAX]), True
    except (TypeError, ValueError, RecursionError):
        return repr(value), False


# ---------------------------------------------------------------------- comparing


@lru_cache(maxsize=1024)
def read(sketch: str) -> Words:
    """The words of a sketch."""
    found: dict[str, frozenset[str]] = {}
    for part in sketch.split():
        slot, _, words = part.partition(":")
        if words:
            each = frozenset(words[at : at + HEX] for at in range(0, len(words), HEX))
            found[slot] = found.get(slot, NOTHING) | each
    return found


def similarity(one: Words, other: Words) -> float:
    """Words in common, of all words of both: 1 for equal ones, 0 for nothing in common."""
    common = every = 0
    for slot in one.keys() | other.keys():
        mine, theirs = one.get(slot, NOTHING), other.get(slot, NOTHING)
        common += len(mine & theirs)
        every += len(mine | theirs)
    return common / every if every else 0.0


def of_another(one: Words, other: Words) -> bool:
    """Whether an argument that both have shares no word (another order, another recipient), or they
    have no argument in common."""
    both = one.keys() & other.keys()
    return not both or any(one[slot].isdisjoint(other[slot]) for slot in both)
