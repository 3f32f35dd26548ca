"""Redaction of one value: detectors, configured patterns and keys, identity, content policy.

A secret becomes `[redacted:<rule>:<8 hex>]`, an identity `[user:<16 hex>]`.  The hex digits are a
keyed BLAKE2b of the value under the installation's key: equal values stay equal, and nobody without
the key can test a guess.  Redacting twice changes nothing.  The collector runs the same code over
columns (`collector.redaction`), so what a value becomes does not depend on where it was redacted.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final, Literal

from otel_agentrun.detectors import DETECTORS, Detector, Span, members
from otel_agentrun.redact_keys import (
    CONTENT_KEYS,
    ID_KEYS,
    IDENTITY_KEYS,
    KEPT_KEYS,
    PLAIN_KEYS,
    REDACTED_KEYS,
)
from otel_agentrun.structure import structure

__all__ = [
    "DEFAULT_DETECTORS",
    "RedactSettings",
    "Redactor",
    "Treatment",
    "detectors",
    "problems",
    "structure",
]

DEFAULT_DETECTORS: Final = frozenset(d.name for d in DETECTORS if d.default)

MARKER: Final = re.compile(r"\[redacted:[a-z][a-z0-9_]{0,31}:[0-9a-f]{8}\]|\[user:[0-9a-f]{16}\]")
RULE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
KEY_BYTES: Final = 32
KEY_ORDER: Final = 1 << 16
"""Matches of configured keys come after those of detectors and patterns."""
PASSES_MAX: Final = 8
"""A marker can free a match beside it (a word boundary appears); rescans end here at the latest."""
CACHED_KEYS_MAX: Final = 16384
MARKS: Final = "-_.=:"
"""Most needles hold one of them; a text without it holds none of these needles."""
KEY_CHARS_MAX: Final = 512
"""Of longer keys the first and last 256 characters are compared."""

EMAIL_LIKE: Final = re.compile(r"[^\s@]{1,128}@[^\s@]{1,255}\.[^\s@.]{2,63}")
PHONE_LIKE: Final = re.compile(r"\+?\(?[0-9](?:[ ().-]{0,2}[0-9]){6,14}")


Match = tuple[int, int, int, str, str]
"""Start, minus end, precedence, rule, quote: sorts by start, then longest, then first rule."""


class Treatment(IntFlag):
    """What a key says about its value."""

    NONE = 0
    REDACT = 1
    """The whole value is a secret."""
    IDENTITY = 2
    CONTENT = 4
    PLAIN = 8
    """No content even in an event or a log record."""
    ID = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactSettings:
    """Rules in force.  Keys may hold `*` (anything) and `?`; case, `-` and `_` do not matter."""

    key: bytes = field(repr=False)
    """The installation's key, 32 bytes."""
    detectors: frozenset[str] = DEFAULT_DETECTORS
    patterns: tuple[tuple[str, str], ...] = ()
    """(rule name, regular expression) pairs, in the syntax that RE2 and Python's `re` share."""
    keys: tuple[str, ...] = REDACTED_KEYS
    identity_keys: tuple[str, ...] = IDENTITY_KEYS
    identity_mode: Literal["auto", "always", "never"] = "auto"
    """`auto`: only values that look like an e-mail address or a phone number."""
    content: Literal["full", "redacted", "structure"] = "redacted"


def detectors() -> Mapping[str, str]:
    """Name -> what it finds; the ones that are off by default say so."""
    return {d.name: d.title if d.default else f"{d.title} (off by default)" for d in DETECTORS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done with the values of one key."""

    redact: bool
    identity: bool
    structure: bool
    rules: tuple[Detector, ...]


class Redactor:
    """Redacts single values.  Immutable but for caches of keys; threads may share one."""

    def __init__(self, settings: RedactSettings) -> None:
        """Raises `ValueError` with every problem of `settings`, one a line."""
        found = problems(settings)
        if found:
            raise ValueError("\n".join(found))
        self.settings = settings
        self._detectors = tuple(d for d in DETECTORS if d.name in settings.detectors)
        self._rules = {
            (numbers, personal): tuple(
                detector
                for detector in self._detectors
                if (numbers or not detector.numeric) and (personal or not detector.personal)
            )
            for numbers in (False, True)
            for personal in (False, True)
        }
        self._patterns = tuple((name, re.compile(p, re.ASCII)) for name, p in settings.patterns)
        self._keys = (
            (Treatment.REDACT, keys_pattern(settings.keys)),
            (Treatment.IDENTITY, keys_pattern(settings.identity_keys)),
            (Treatment.CONTENT, keys_pattern(CONTENT_KEYS)),
            (Treatment.PLAIN, keys_pattern(PLAIN_KEYS)),
            (Treatment.ID, keys_pattern(ID_KEYS)),
        )
        self._kept = keys_pattern(KEPT_KEYS)
        self._key_needles = tuple({_needle(glob) for glob in settings.keys})
        as_is = _fewest(
            needle for each in self._detectors if not each.folded for needle in each.needles
        )
        self._as_is = _by_mark(as_is)
        self._folded = _fewest(
            (
                *self._key_needles,
                *(needle for each in self._detectors if each.folded for needle in each.needles),
            )
        )
        self._always = bool(self._patterns) or any(not each.needles for each in self._detectors)
        self._treatments: dict[str, Treatment] = {}
        self._plans: dict[tuple[str | None, bool], Plan] = {}

    def treatment(self, key: str) -> Treatment:
        """What an attribute key, or the name of a JSON member, says about its value."""
        known = self._treatments.get(key)
        if known is None:
            known = Treatment.NONE
            short = key if len(key) <= KEY_CHARS_MAX else key[:256] + key[-256:]
            for flag, pattern in self._keys:
                if pattern.fullmatch(short):
                    known |= flag
            if self._kept.fullmatch(short):
                known = (known | Treatment.PLAIN) & ~Treatment.CONTENT
            if len(self._treatments) >= CACHED_KEYS_MAX:  # senders choose the keys
                self._treatments.clear()
            self._treatments[key] = known
        return known

    def value(self, text: str, key: str | None = None, *, content: bool = False) -> str:
        """`text` as it may be stored.

        `key` is the attribute's key, if it has one.  `content` says that the value is content
        unless its key says otherwise: log bodies, attributes of events and logs.
        """
        if not text:
            return text
        plan = self._plans.get((key, content)) or self._plan(key, content)
        if plan.redact:
            return text if MARKER.fullmatch(text) else self._marker("key", text)
        if plan.identity:
            identity = self.identity(text)
            if identity is not None:
                return identity
        return self._secrets(structure(text) if plan.structure else text, plan.rules)

    def _plan(self, key: str | None, content: bool) -> Plan:
        treatment = Treatment.NONE if key is None else self.treatment(key)
        is_content = self.is_content(treatment, content=content)
        numbers = Treatment.ID not in treatment
        personal = not (is_content and self.settings.content == "full")
        plan = Plan(
            redact=Treatment.REDACT in treatment,
            identity=Treatment.IDENTITY in treatment,
            structure=is_content and self.settings.content == "structure",
            rules=self._rules[numbers, personal],
        )
        if len(self._plans) >= CACHED_KEYS_MAX:  # senders choose the keys
            self._plans.clear()
        self._plans[key, content] = plan
        return plan

    def is_content(self, treatment: Treatment, *, content: bool) -> bool:
        if Treatment.CONTENT in treatment:
            return Treatment.REDACT not in treatment and Treatment.IDENTITY not in treatment
        return content and Treatment.PLAIN not in treatment

    def identity(self, text: str) -> str | None:
        """What replaces the value of an identity key; `None` where it names nobody."""
        mode = self.settings.identity_mode
        if mode == "never" or MARKER.fullmatch(text):
            return None
        value = text.strip()
        if len(value) <= 400 and EMAIL_LIKE.fullmatch(value):
            value = value.lower()
        elif PHONE_LIKE.fullmatch(value) and (value[0] in "+(" or not value.isdigit()):
            value = re.sub(r"[^0-9+]", "", value)
        elif mode == "auto":
            return None
        return f"[user:{self._digest(value, 8)}]"

    def _marker(self, rule: str, secret: str) -> str:
        return f"[redacted:{rule}:{self._digest(secret, 4)}]"

    def _digest(self, secret: str, size: int) -> str:
        data = secret.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self.settings.key, digest_size=size).hexdigest()

    def _secrets(self, text: str, rules: Iterable[Detector]) -> str:
        for _ in range(PASSES_MAX):
            redacted = self._pass(text, rules)
            if redacted == text:
                break
            text = redacted
        return text

    def _pass(self, text: str, rules: Iterable[Detector]) -> str:
        lowered = text.lower()
        if not self._may_match(text, lowered):
            return text
        found = [
            (span.start, -span.end, order, detector.name, span.quote)
            for order, detector in enumerate(rules)
            if detector.may_match(text, lowered)
            for span in detector.find(text)
        ]
        for order, (name, pattern) in enumerate(self._patterns, len(DETECTORS)):
            found.extend(
                (match.start(), -match.end(), order, name, "")
                for match in pattern.finditer(text)
                if match.end() > match.start()
            )
        if any(needle in lowered for needle in self._key_needles):
            found.extend(
                (span.start, -span.end, KEY_ORDER, "key", span.quote)
                for span in members(text, self._is_key_member)
            )
        if not found:
            return text
        return self._splice(text, found)

    def _may_match(self, text: str, lowered: str) -> bool:
        """Whether any rule could find anything: asked once, as most texts hold no secret."""
        if self._always:
            return True
        # Plain loops: a generator costs twice as much.
        for mark, needles in self._as_is:
            if mark in text:
                for needle in needles:
                    if needle in text:
                        return True
        for needle in self._folded:  # noqa: SIM110
            if needle in lowered:
                return True
        return False

    def _is_key_member(self, name: str, value: str) -> bool:
        return Treatment.REDACT in self.treatment(name)

    def _splice(self, text: str, found: list[Match]) -> str:
        """Replace matches; of overlapping ones the first and longest names the rule for all."""
        if "[redacted:" in text or "[user:" in text:
            found = _outside_markers(text, found)
        found.sort()
        parts: list[str] = []
        at = 0
        index = 0
        while index < len(found):
            start, minus_end, _, rule, quote = found[index]
            end = -minus_end
            index += 1
            while index < len(found) and found[index][0] < end:
                end = max(end, -found[index][1])
                index += 1
            span = _whole_escapes(text, Span(start, end))
            parts += (text[at : span.start], quote, self._marker(rule, text[start:end]), quote)
            at = span.end
        parts.append(text[at:])
        return "".join(parts)


def _outside_markers(text: str, found: Iterable[Match]) -> list[Match]:
    """Matches without what lies in markers: the marker of an earlier pass is no secret."""
    markers = [match.span() for match in MARKER.finditer(text)]
    starts = [start for start, _ in markers]
    outside: list[Match] = []
    for start, minus_end, order, rule, quote in found:
        end = -minus_end
        index = bisect_right(starts, start) - 1
        while 0 <= index < len(markers) and markers[index][0] <= start < markers[index][1]:
            start = markers[index][1]
            index += 1
        index = bisect_right(starts, end - 1) - 1
        if index >= 0:
            end = max(end, markers[index][1]) if markers[index][0] >= start else end
        if start < end:
            outside.append((start, -end, order, rule, quote))
    return outside


def _whole_escapes(text: str, span: Span) -> Span:
    """In JSON `\\npm_...` is a line end and `pm_...`: take the backslash along, not half of it."""
    backslashes = 0
    while span.start - backslashes > 0 and text[span.start - backslashes - 1] == "\\":
        backslashes += 1
    if backslashes & 1 and text[span.start] in "nrtbfu":
        return span._replace(start=span.start - 1)
    return span


def _fewest(needles: Iterable[str]) -> tuple[str, ...]:
    """Without those that contain another one."""
    known = set(needles)
    return tuple(sorted(one for one in known if not any(o != one and o in one for o in known)))


def _by_mark(needles: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(text that all of the needles hold, needles); one without a mark stands for itself."""
    groups: dict[str, tuple[str, ...]] = {}
    for needle in needles:
        mark = next((each for each in MARKS if each in needle), needle)
        groups[mark] = (*groups.get(mark, ()), needle)
    return tuple(groups.items())


def keys_pattern(globs: Iterable[str]) -> re.Pattern[str]:
    """One pattern for all of `globs`; `*.` at the start is optional, so names of members match."""
    return re.compile("|".join(map(_glob, globs)) or r"(?!)", re.IGNORECASE | re.ASCII)


def _glob(glob: str) -> str:
    head, rest = ("(?:.*[.])?", glob[2:]) if glob.startswith("*.") else ("", glob)
    rest = rest.replace("[0-9]", "\0")
    return head + "".join(_GLOB.get(char) or re.escape(char) for char in rest)


def _needle(glob: str) -> str:
    """The longest text that every name which `glob` matches holds, lower case."""
    return max(re.split(r"[*?_.\-]+", glob.lower()), key=len)


_GLOB: Final = {"*": "(?s:.*)", "?": "(?s:.)", "_": "[_-]?", "-": "[_-]?", "\0": "[0-9]"}


def problems(settings: RedactSettings) -> tuple[str, ...]:
    """Everything that is wrong with `settings`; empty when it can be used."""
    found: list[str] = []
    if len(settings.key) != KEY_BYTES:
        found.append(f"redaction key: expected {KEY_BYTES} bytes, got {len(settings.key)}.")
    known = {detector.name for detector in DETECTORS}
    found.extend(
        f"detectors: no detector is called {name!r}. Known: {', '.join(sorted(known))}."
        for name in sorted(settings.detectors - known)
    )
    names = [name for name, _ in settings.patterns]
    for name, pattern in settings.patterns:
        if RULE_NAME.fullmatch(name) is None:
            found.append(
                f"patterns.{name}: a rule name is 1 to 32 of a-z, 0-9 and _, a letter first: it "
                "becomes part of the marker."
            )
        elif name in known or name == "key" or names.count(name) > 1:
            found.append(f"patterns.{name}: the name is taken; choose another.")
        problem = pattern_problem(pattern)
        if problem is not None:
            found.append(f"patterns.{name}: {problem}")
    found.extend(
        f"keys: {key!r} must name something, in ASCII; else it would match every key."
        for key in (*settings.keys, *settings.identity_keys)
        if not key.strip("*?.") or not key.isascii()
    )
    return tuple(found)


_ONLY_PYTHON: Final = (
    (re.compile(r"\(\?(?:=|!|<=|<!)"), "looks ahead or behind"),
    (re.compile(r"\(\?>"), "holds an atomic group"),
    (re.compile(r"\(\?\("), "holds a condition"),
    (re.compile(r"\(\?P=|\\[1-9]"), "refers back to a group"),
    (re.compile(r"\(\?[a-zA-Z]*[xLau]"), "uses a flag that RE2 does not have"),
    (re.compile(r"[*+?}]\+"), "holds a possessive repeat"),
    (re.compile(r"\\[uUN]"), "uses an escape that RE2 does not have"),
    (re.compile(r"\{,"), "holds {,n}, which RE2 reads as text: write {0,n}"),
    (re.compile(r"\(\?#"), "holds a comment"),
)


def pattern_problem(pattern: str) -> str | None:
    """Why a configured pattern cannot be used, or `None`; what RE2 itself says is asked by the
    collector."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(pattern, re.ASCII)
    except (re.error, RecursionError, OverflowError, Warning, ValueError) as error:
        return f"not a valid regular expression: {error}."
    plain = re.sub(r"\\\\|\\\[|\\\]", "", pattern)
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "x", plain)
    for probe, what in _ONLY_PYTHON:
        if probe.search(bare):
            return (
                f"it {what}. Why: the collector searches with RE2, which cannot do that. "
                "Fix: match the secret itself."
            )
    for text in ("", "a", "0", " ", "\n", "-"):
        match = compiled.search(text)
        if match is not None and match.end() == match.start():
            return (
                "it matches the empty string. Why: it would match between any two characters. "
                "Fix: require at least one character."
            )
    return None
