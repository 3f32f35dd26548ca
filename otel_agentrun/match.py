"""Match expressions: pure conditions over a mapping of names to values.

    agent_name == "support" and environment in ["prod", "staging"]
    not (tags.team =~ "^(billing|risk)$") or attempt >= 3

Grammar, loosest first: `or`, `and`, `not`, then one of
`== != < <= > >= in, not in, =~, !~` or a bare name ("is it set?").  A value is a name, a text in
double or single quotes, a number, `true`, `false`, or a list of these in brackets.  The right side
of `=~` and `!~` is a quoted regular expression, searched anywhere in the text.

What a comparison means, so that an expression can never raise while it runs:

- A missing name is the empty text `""`, and so is a value that is no text, number, boolean or list
  of these.  `tags.team` is the key `tags.team`, else the key `team` of the mapping under `tags`.
- A number and a text compare as numbers when the text spells one (telemetry often carries numbers
  as text), otherwise they differ; a boolean equals `true`/`false` in any case.
- `<` and its kin are false for values that have no common order, a missing one among them.
- Where a side holds several values (`models =~ "^gpt-"`), one that fits is enough.  `!=`, `not in`
  and `!~` are the exact opposites of `==`, `in` and `=~`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from otel_agentrun.match_values import (
    ORDER,
    Operand,
    Test,
    any_of,
    as_text,
    compared,
    each,
    equal,
    lookup,
    opposite,
    truth,
)

__all__ = ["Match", "MatchError", "compile_match"]

DEPTH_MAX: Final = 64
"""Parentheses and `not` inside each other: far past any real condition, far below the stack."""


class MatchError(ValueError):
    """An expression that cannot be read: `column` (from 1), what was expected there, what stood."""

    def __init__(self, column: int, expected: str, got: str) -> None:
        super().__init__(f"column {column}: expected {expected}, got {got}")
        self.column = column
        self.expected = expected
        self.got = got


@dataclass(frozen=True, slots=True)
class Match:
    """A compiled expression; call it with the values.  Two are equal when their text is."""

    text: str
    names: frozenset[str] = field(compare=False)
    """Every name the expression looks at."""
    _test: Test = field(compare=False, repr=False)

    def __call__(self, values: Mapping[str, object]) -> bool:
        return self._test(values)


def compile_match(text: str) -> Match:
    """Compile an expression; time and memory grow linearly with its length.

    Raises:
        MatchError: where the text stops being an expression, and what was expected there.
    """
    parser = _Parser(_tokens(text), end_column=len(text) + 1)
    test = parser.disjunction()
    token = parser.token
    if token is not None:
        token.refuse("`and`, `or` or the end")
    return Match(text, frozenset(parser.names), test)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`name`, `text`, `number`, or the operator, bracket or keyword itself."""
    source: str
    column: int
    value: object = None
    columns: tuple[int, ...] = ()
    """Of a quoted text: the column of each of its characters."""

    def refuse(self, expected: str) -> NoReturn:
        raise MatchError(self.column, expected, f"`{self.source}`")


_LEXEME: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<quoted>["'])
      | (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<name>[^\W\d](?:[\w.-]*\w)?)
      | (?P<operator>==|!=|<=|>=|=~|!~|<|>|\(|\)|\[|\]|,)""",
    re.VERBOSE,
)
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "true", "false"})
_ESCAPES: Final = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t"}
_MEANT: Final = {"=": "`==`", "&": "`and`", "|": "`or`", "!": "`not` or `!=`", "~": "`=~`"}


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        found = _LEXEME.match(text, at)
        if found is None:
            got = text[at]
            raise MatchError(at + 1, _MEANT.get(got, "a name, a value or an operator"), f"`{got}`")
        if found.lastgroup == "quoted":
            token, at = _quoted(text, at)
            tokens.append(token)
            continue
        source = found[0]
        if found.lastgroup == "number":
            # A very long row of digits is no integer that `int` accepts; as a float it is infinite.
            whole = source.lstrip("+-").isdecimal() and len(source) < 400
            value: object = int(source) if whole else float(source)
            tokens.append(_Token("number", source, at + 1, value))
        elif found.lastgroup == "name":
            kind = source if source in _KEYWORDS else "name"
            tokens.append(_Token(kind, source, at + 1, source))
        elif found.lastgroup == "operator":
            tokens.append(_Token(source, source, at + 1))
        at = found.end()
    return tokens


def _quoted(text: str, start: int) -> tuple[_Token, int]:
    r"""A quoted text.  An unknown escape stays as it is: "\d+" needs no second backslash."""
    quote = text[start]
    characters: list[str] = []
    columns: list[int] = []
    at = start + 1
    while at < len(text) and text[at] != quote:
        columns.append(at + 1)
        if text[at] == "\\" and text[at + 1 : at + 2] in _ESCAPES:
            characters.append(_ESCAPES[text[at + 1]])
            at += 2
        else:
            characters.append(text[at])
            at += 1
    if at >= len(text):
        raise MatchError(len(text) + 1, f"a closing {quote}", "the end")
    columns.append(at + 1)
    value = "".join(characters)
    return _Token("text", text[start : at + 1], start + 1, value, tuple(columns)), at + 1


class _Parser:
    """Recursive descent; every method leaves `token` at the first one that is not its own."""

    def __init__(self, tokens: Sequence[_Token], end_column: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._end_column = end_column
        self._depth = 0
        self.names: set[str] = set()

    @property
    def token(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, *kinds: str) -> _Token | None:
        token = self.token
        if token is None or token.kind not in kinds:
            return None
        self._at += 1
        return token

    def _need(self, expected: str, *kinds: str) -> _Token:
        token = self._take(*kinds)
        if token is None:
            self._refuse(expected)
        return token

    def _refuse(self, expected: str) -> NoReturn:
        token = self.token
        if token is None:
            raise MatchError(self._end_column, expected, "the end")
        token.refuse(expected)

    def disjunction(self) -> Test:
        tests = [self._conjunction()]
        while self._take("or"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda values: any(test(values) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._negation()]
        while self._take("and"):
            tests.append(self._negation())
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)

    def _negation(self) -> Test:
        opening = self._take("not", "(")
        if opening is None:
            return self._comparison()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            opening.refuse(f"at most {DEPTH_MAX} levels of `not` and parentheses")
        if opening.kind == "not":
            test = opposite(self._negation())
        else:
            test = self.disjunction()
            self._need("`)`, `and` or `or`", ")")
        self._depth -= 1
        return test

    def _comparison(self) -> Test:
        start = self.token
        left = self._operand("a condition")
        sign = self._take("==", "!=", "<", "<=", ">", ">=", "=~", "!~", "in", "not")
        if sign is None:
            # A bare value is always true: `name == "a" or "b"` must not pass for what was meant.
            if start is None or start.kind != "name":
                self._refuse("an operator such as `==` after a value")
            return lambda values: any(truth(value) for value in each(left(values)))
        if sign.kind in ("=~", "!~"):
            pattern = self._pattern()
            test = any_of(left, lambda value: pattern.search(as_text(value)) is not None)
            return test if sign.kind == "=~" else opposite(test)
        if sign.kind in ("in", "not"):
            if sign.kind == "not":
                self._need("`in` after `not`", "in")
            test = self._membership(left)
            return test if sign.kind == "in" else opposite(test)
        right = self._operand(f"a value after `{sign.source}`")
        if sign.kind in ("==", "!="):
            test = compared(left, right, equal)
            return test if sign.kind == "==" else opposite(test)
        return compared(left, right, ORDER[sign.kind])

    def _membership(self, left: Operand) -> Test:
        token = self.token
        if token is None or token.kind not in ("[", "name"):
            self._refuse('a list such as `["a", "b"]` or a name after `in`')
        right = self._operand("a list")

        return compared(left, right, equal)

    def _pattern(self) -> re.Pattern[str]:
        token = self._need("a quoted regular expression", "text")
        try:
            return re.compile(str(token.value))
        except re.error as error:
            column = token.columns[min(error.pos or 0, len(token.columns) - 1)]
            raise MatchError(
                column, "a regular expression", f"`{token.value}` ({error.msg})"
            ) from None
        except (OverflowError, RecursionError) as error:
            # A repeat count or nesting past what `re` can hold.
            raise MatchError(
                token.column, "a regular expression", f"`{token.value}` ({error})"
            ) from None

    def _operand(self, expected: str) -> Operand:
        if self._take("["):
            items = self._items()
            return lambda values: items
        name = self._take("name")
        if name is not None:
            self.names.add(name.source)
            return lookup(name.source)
        value = self._literal(expected)
        return lambda values: value

    def _items(self) -> tuple[object, ...]:
        items: list[object] = []
        while not self._take("]"):
            items.append(self._literal("a value or `]`"))
            if not self._take(","):
                self._need("`,` or `]`", "]")
                break
        return tuple(items)

    def _literal(self, expected: str) -> object:
        token = self._need(expected, "text", "number", "true", "false")
        return token.kind == "true" if token.kind in ("true", "false") else token.value
