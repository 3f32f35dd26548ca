"""Redaction of whole columns: what `otel_agentrun.redact` does to one value, fast.

Almost no value holds a secret.  One pass over the column (`redaction_scan`) finds the few that
might, by patterns that admit everything the exact detectors find and little else; only those become
Python strings.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.errors import ConfigError
from collector.redaction_scan import HintScanner
from otel_agentrun.detectors import DETECTORS, SECRET_NAMES
from otel_agentrun.redact import (
    CACHED_KEYS_MAX,
    KEY_BYTES,
    Redactor,
    RedactSettings,
    Treatment,
    problems,
)

__all__ = ["ArrowRedactor", "load_or_create_key", "redact_problems"]

SMALL_COLUMN: Final = 16
"""Up to so many values Python searches for configured patterns itself: Arrow compiles them anew for
each column."""
OTHER, CERTAIN, IDENTITY = range(3)
"""What a key says about its value: nothing; it has to change; it may name a user."""
MEMBER_END: Final = r"""\\*["'][ \t\r\n]*[:=]"""


class ArrowRedactor:
    """Redacts columns of text; threads may share one."""

    def __init__(self, settings: RedactSettings) -> None:
        """Raises `ConfigError` with every problem of `settings`, one a line."""
        found = redact_problems(settings)
        if found:
            raise ConfigError("\n".join(found))
        self.redactor = Redactor(settings)
        self._scanner = HintScanner(_hints(settings))
        self._patterns = "|".join(f"(?:{_for_re2(pattern)})" for _, pattern in settings.patterns)
        self._always = settings.identity_mode == "always"
        self._auto = settings.identity_mode == "auto"
        self._structure = settings.content == "structure"
        self._kinds: tuple[dict[str | None, int], ...] = ({}, {})

    def values(
        self, values: pa.Array[Any], keys: pa.Array[Any] | None, *, content: bool = False
    ) -> tuple[pa.Array[Any], int]:
        """`values` (string or large_string) as they may be stored, and how many changed.

        `keys` has the attribute key of each value, as text or dictionary-encoded; `None` for values
        without keys.  `content` as in `Redactor.value`.  Nulls and the type stay.
        """
        suspects = np.zeros(len(values), dtype=bool)
        suspects[self._scanner.suspects(values)] = True
        if self._patterns:
            suspects |= self._may_match_patterns(values)
        codes, names = _codes(keys)
        if codes is None:
            if content and self._structure:
                suspects[:] = True
        else:
            kinds = self._kinds_of(names, content=content)
            if kinds.any():
                kinds = kinds[codes]
                suspects |= kinds == CERTAIN
                if self._auto:
                    self._add_identities(values, np.flatnonzero(kinds == IDENTITY), suspects)
        at = np.flatnonzero(suspects)
        if len(at) == 0:
            return values, 0
        return self._replace(values, at, codes, names, content=content)

    def _may_match_patterns(self, values: pa.Array[Any]) -> Any:
        if len(values) <= SMALL_COLUMN:
            return True
        matched: Any = pc.match_substring_regex(values, self._patterns)
        return pc.fill_null(matched, False).to_numpy(zero_copy_only=False)

    def _kinds_of(self, names: list[str | None], *, content: bool) -> Any:
        known = self._kinds[content]
        kinds: list[Any] = list(map(known.get, names))
        if None in kinds:
            kinds = [self._kind(name, content=content) for name in names]
            if len(known) + len(names) > CACHED_KEYS_MAX:  # senders choose the keys
                known.clear()
            if len(names) <= CACHED_KEYS_MAX:
                known.update(zip(names, kinds, strict=True))
        return np.array(kinds, np.uint8)

    def _kind(self, name: str | None, *, content: bool) -> int:
        """Does the key say that its value has to change, or to be looked at?"""
        treatment = Treatment.NONE if name is None else self.redactor.treatment(name)
        if treatment & Treatment.REDACT:
            return CERTAIN
        if self._structure and self.redactor.is_content(treatment, content=content):
            return CERTAIN
        if treatment & Treatment.IDENTITY:
            return CERTAIN if self._always else IDENTITY
        return OTHER

    def _add_identities(self, values: pa.Array[Any], rows: Any, suspects: Any) -> None:
        """Suspect those of `rows` whose values are an e-mail address or a phone number."""
        if len(rows) == 0:
            return
        texts = values.take(pa.array(rows)).to_pylist()
        changing = {text for text in set(texts) if text and self.redactor.identity(text)}
        if changing:
            suspects[rows] |= [text in changing for text in texts]

    def _replace(
        self, values: pa.Array[Any], at: Any, codes: Any, names: list[str | None], *, content: bool
    ) -> tuple[pa.Array[Any], int]:
        changed: list[int] = []
        replacements: list[str] = []
        # Resent histories repeat values within a batch.
        known: dict[tuple[str, str | None], str] = {}
        for index, text in zip(at.tolist(), values.take(pa.array(at)).to_pylist(), strict=True):
            if text is None:
                continue
            key = None if codes is None else names[codes[index]]
            redacted = known.get((text, key))
            if redacted is None:
                redacted = self.redactor.value(text, key, content=content)
                known[(text, key)] = redacted
            if redacted != text:
                changed.append(index)
                replacements.append(redacted)
        if not changed:
            return values, 0
        mask = np.zeros(len(values), dtype=bool)
        mask[changed] = True
        replaced = pc.replace_with_mask(
            values, pa.array(mask), pa.array(replacements, type=values.type)
        )
        return replaced, len(changed)


def redact_problems(settings: RedactSettings) -> tuple[str, ...]:
    """Everything that is wrong with `settings`, what RE2 says about the patterns included."""
    found = list(problems(settings))
    for name, pattern in settings.patterns:
        if any(problem.startswith(f"patterns.{name}:") for problem in found):
            continue
        try:
            pc.match_substring_regex(pa.array([""]), _for_re2(pattern))
        except pa.ArrowInvalid as error:
            found.append(
                f"patterns.{name}: RE2 refuses it: {error}. Why: the collector searches with RE2. "
                "Fix: use the syntax at https://github.com/google/re2/wiki/Syntax."
            )
    return tuple(found)


def load_or_create_key(path: Path) -> bytes:
    """The installation's key at `path`; made of 32 random bytes, mode 0600, when there is none.

    Of several processes that start at once one makes the key and all read it.  Raises `ConfigError`
    when the file holds something else, `OSError` when it cannot be read or made.
    """
    if not path.exists():
        _create_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{path}: expected a redaction key of {KEY_BYTES} bytes, got {len(key)}.\n"
            "  Why: markers of equal secrets are equal only under one unchanged key.\n"
            "  Fix: restore the file from a backup, or delete it to start with a new key."
        )
    return key


def _create_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.write(handle, secrets.token_bytes(KEY_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            # A link never replaces a key that another process has made meanwhile.
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _codes(keys: pa.Array[Any] | None) -> tuple[Any, list[str | None]]:
    """For each element the place of its key among the distinct keys; a null key is one of them."""
    if keys is None:
        return None, []
    encoded: Any = keys if pa.types.is_dictionary(keys.type) else keys.dictionary_encode()
    names: list[str | None] = encoded.dictionary.to_pylist()
    indices: Any = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), len(names))
        names.append(None)
    return indices.to_numpy(), names


def _hints(settings: RedactSettings) -> list[str]:
    """Patterns over UTF-8 bytes that together admit every match of the rules in force."""
    hints = [detector.hint for detector in DETECTORS if detector.name in settings.detectors]
    # What another hint admits is left out.
    named = re.compile(rf"(?:{SECRET_NAMES})$" if "secret" in settings.detectors else r"(?!)")
    hints.extend(_member_hint(glob) for glob in settings.keys if not named.search(glob))
    return list(dict.fromkeys(hints))


def _member_hint(glob: str) -> str:
    """The end of a quoted name that `glob` matches, and a colon.

    What a `*` at the start stands for is left out: the rest of the name is enough.
    """
    rest = glob[2:] if glob.startswith("*.") else glob
    name = "".join(_MEMBER_CHARS.get(char) or re.escape(char) for char in rest.lstrip("*"))
    return f"(?i:{name}){MEMBER_END}"


_MEMBER_CHARS: Final = {"*": r"""[^"'\\]*""", "?": r"""[^"'\\]+""", "_": "[_-]?", "-": "[_-]?"}


def _for_re2(pattern: str) -> str:
    """`pattern` so that RE2 matches at least where Python does.

    `\\s` lacks the vertical tab in RE2, and `$` does not match before a last line end.
    """
    out: list[str] = []
    in_class = False
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            pair = pattern[index : index + 2]
            out.append((r"\s\x0b" if in_class else r"[\s\x0b]") if pair == r"\s" else pair)
            index += 2
            continue
        if char == "[" and not in_class:
            in_class = True
            head = re.match(r"\[\^?\]?", pattern[index:])
            assert head is not None  # it begins with the bracket just seen
            out.append(head[0])
            index += len(head[0])
            continue
        if char == "]":
            in_class = False
        out.append(r"(?:$|\n?\z)" if char == "$" and not in_class else char)
        index += 1
    return "".join(out)
