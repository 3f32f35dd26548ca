"""Redaction of whole columns: what `otel_agentrun.redact` does to one value, fast.

Almost no value holds a secret.  One RE2 pass over the column finds the few that might, by a pattern
that admits everything the exact detectors find and little else; only those become Python strings.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.errors import ConfigError
from otel_agentrun.detectors import DETECTORS, SECRET_NAMES
from otel_agentrun.redact import (
    KEY_BYTES,
    Redactor,
    RedactSettings,
    Treatment,
    problems,
)

__all__ = ["ArrowRedactor", "load_or_create_key", "redact_problems"]

IDENTITY_HINT: Final = r"@|[0-9][ ().-]{0,2}[0-9][ ().-]{0,2}[0-9][ ().-]{0,2}[0-9]"
"""What every e-mail address or phone number holds."""
SMALL_COLUMN: Final = 16
"""Up to so many values Python is faster: Arrow compiles a pattern for each call (about 0.3 ms)."""
MEMBER_END: Final = r"""\\*["'][ \t\r\n]*[:=]"""


class ArrowRedactor:
    """Redacts columns of text; threads may share one."""

    def __init__(self, settings: RedactSettings) -> None:
        """Raises `ConfigError` with every problem of `settings`, one a line."""
        found = redact_problems(settings)
        if found:
            raise ConfigError("\n".join(found))
        self.redactor = Redactor(settings)
        self._hint = _hint(settings)
        self._patterns = "|".join(f"(?:{_for_re2(pattern)})" for _, pattern in settings.patterns)
        self._always = settings.identity_mode == "always"
        self._structure = settings.content == "structure"

    def values(
        self, values: pa.Array[Any], keys: pa.Array[Any] | None, *, content: bool = False
    ) -> tuple[pa.Array[Any], int]:
        """`values` (string or large_string) as they may be stored, and how many changed.

        `keys` has the attribute key of each value, as text or dictionary-encoded; `None` for values
        without keys.  `content` as in `Redactor.value`.  Nulls and the type stay.
        """
        if len(values) <= SMALL_COLUMN:
            suspects: Any = np.ones(len(values), dtype=bool)
        else:
            suspects = self._suspects(values)
        codes, names = _codes(keys)
        if codes is None:
            if content and self._structure:
                suspects = np.ones(len(values), dtype=bool)
        else:
            certain = self._by_key(names, lambda name: self._is_certain(name, content=content))
            if certain.any():
                suspects |= certain[codes]
            identity = self._by_key(names, self._is_identity)
            if identity.any():
                at = np.flatnonzero(identity[codes])
                named = values.take(pa.array(at))
                suspects[at] |= _mask(pc.match_substring_regex(named, IDENTITY_HINT))
        at = np.flatnonzero(suspects)
        if len(at) == 0:
            return values, 0
        return self._replace(values, at, codes, names, content=content)

    def _suspects(self, values: pa.Array[Any]) -> Any:
        """A mask of the values that a detector or pattern might match."""
        large = pa.types.is_large_string(values.type)
        # As bytes RE2 needs not follow UTF-8, and no hint has a character beyond ASCII.
        raw: Any = values.view(pa.large_binary() if large else pa.binary())
        mask = _mask(pc.match_substring_regex(raw, self._hint))
        if self._patterns:
            mask |= _mask(pc.match_substring_regex(values, self._patterns))
        return mask

    def _by_key(self, names: list[str | None], holds: Callable[[str | None], bool]) -> Any:
        return np.fromiter(map(holds, names), bool, len(names))

    def _is_identity(self, name: str | None) -> bool:
        return name is not None and Treatment.IDENTITY in self.redactor.treatment(name)

    def _is_certain(self, name: str | None, *, content: bool) -> bool:
        """Does the key alone say that the value may have to change?"""
        treatment = Treatment.NONE if name is None else self.redactor.treatment(name)
        if Treatment.REDACT in treatment:
            return True
        if Treatment.IDENTITY in treatment and self._always:
            return True
        return self._structure and self.redactor.is_content(treatment, content=content)

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
    indices: Any = encoded.indices.cast(pa.int64())
    codes: Any = pc.fill_null(indices, len(names))
    return codes.to_numpy(zero_copy_only=False), [*names, None]


def _mask(matched: Any) -> Any:
    if matched.null_count:
        matched = pc.fill_null(matched, False)
    return matched.to_numpy(zero_copy_only=False)


def _hint(settings: RedactSettings) -> str:
    """One RE2 pattern over UTF-8 bytes that admits every match of the rules in force."""
    hints = [detector.hint for detector in DETECTORS if detector.name in settings.detectors]
    # Arrow compiles the pattern anew for each column, so what another part admits is left out.
    named = re.compile(rf"(?:{SECRET_NAMES})$" if "secret" in settings.detectors else r"(?!)")
    hints.extend(_member_hint(glob) for glob in settings.keys if not named.search(glob))
    return "|".join(f"(?:{hint})" for hint in dict.fromkeys(hints))


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
