"""Nodes as the typed values of the schema; every mistake is noted and reading goes on."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from collector.config.document import Items, Node, Scalar, Table
from collector.config.problems import Place, Problem
from collector.config.values import Format, Range, Refused, Secret, SecretUrl
from otel_agentrun.match import Match, MatchError, compile_match

Places = dict[str, Place]
"""Dotted key -> where its value stands, for checks that come after reading."""


class _Bad:
    """What is returned for a value that is no good, once its problem is noted."""


BAD = _Bad()


@cache
def hints(section: type) -> Mapping[str, Any]:
    """Field -> type with its `Range` or `Format`; amounts of money are never negative."""
    found = get_type_hints(section, include_extras=True)
    for name, hint in found.items():
        if "usd" in name.split("_"):
            found[name] = Annotated[hint, Range(0, None, "a price below nothing is a mistake.")]
    return found


def is_section(bare: Any) -> bool:
    """A class of settings; a match expression is a value although it is a dataclass."""
    return isinstance(bare, type) and dataclasses.is_dataclass(bare) and bare is not Match


def unpack(hint: Any) -> tuple[Any, Range | Format | None, bool]:
    """(bare type, constraint, may be None) of an annotation."""
    constraint = None
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            constraint = next((e for e in extras if isinstance(e, Range | Format)), constraint)
        elif get_origin(hint) in (Union, types.UnionType):
            (hint,) = (inner for inner in get_args(hint) if inner is not type(None))
            optional = True
        else:
            return hint, constraint, optional


class Reader:
    """Reads one document; `problems` and `places` grow on the way."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.places: Places = {}

    def note(self, place: Place, key: str, expected: str, got: str, why: str, fix: str) -> _Bad:
        self.problems.append(
            Problem(place=place, key=key, expected=expected, got=got, why=why, fix=fix)
        )
        return BAD

    def section(self, cls: type, base: Any, node: Node | None, key: str) -> Any:
        """A dataclass: what `node` says, else what `base` (an instance, or None) has.

        A value that is no good is replaced by the default, so that later checks find no more than
        is wrong; the note about it keeps the result from being used.
        """
        if node is not None:
            self.places[key] = node.place
        if node is None or (isinstance(node, Scalar) and node.value is None):
            entries: Mapping[str, Node] = {}
            keys: Mapping[str, Place] = {}
        elif isinstance(node, Table):
            entries, keys = node.entries, node.keys
        else:
            self._wrong(node, key, "settings, one `key: value` a line", "it is a section.")
            entries, keys = {}, {}
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in entries.keys() - fields.keys():
            self._unknown(keys[name], f"{key}.{name}" if key else name, name, fields)
        values: dict[str, Any] = {}
        missing = False
        for name, field in fields.items():
            dotted = f"{key}.{name}" if key else name
            hint = hints(cls)[name]
            bare = unpack(hint)[0]
            default = _default(field, base)
            if is_section(bare):
                values[name] = self.section(bare, default, entries.get(name), dotted)
            elif name in entries:
                value = self.value(hint, entries[name], dotted)
                values[name] = default if value is BAD else value
                missing = missing or values[name] is dataclasses.MISSING
            elif default is dataclasses.MISSING:
                missing = True
                place = node.place if node is not None else Place(source="configuration")
                self.note(
                    place, dotted, "a value", "none", "this setting has no default.",
                    f"add `{name}:` with a value.",
                )  # fmt: skip
            else:
                values[name] = default
        return BAD if missing else cls(**values)

    def value(self, hint: Any, node: Node, key: str) -> Any:
        """One setting, or BAD."""
        bare, constraint, optional = unpack(hint)
        self.places[key] = node.place
        if isinstance(node, Scalar) and node.value is None:
            if get_origin(bare) is tuple:
                return ()
            if get_origin(bare) is Mapping:
                return MappingProxyType({})
            if optional:
                return None
        if is_section(bare):
            return self.section(bare, None, node, key)
        if get_origin(bare) is tuple:
            return self._tuple(get_args(bare)[0], node, key)
        if get_origin(bare) is Mapping:
            return self._mapping(get_args(bare), node, key)
        if not isinstance(node, Scalar):
            return self._wrong(node, key, _called(bare), "it is a single value.")
        return self._scalar(bare, constraint, node, key)

    def _tuple(self, hint: Any, node: Node, key: str) -> Any:
        if not isinstance(node, Items):
            return self._wrong(node, key, "a list", "there may be several.")
        before = len(self.problems)
        values = [
            self.value(hint, item, f"{key}[{index}]") for index, item in enumerate(node.items)
        ]
        # With an item left out or half read, what later checks say about items would be wrong.
        return tuple(values) if len(self.problems) == before else ()

    def _mapping(self, of: tuple[Any, ...], node: Node, key: str) -> Any:
        name_hint, hint = of
        if not isinstance(node, Table):
            return self._wrong(node, key, "a mapping, one `name: value` a line", "names differ.")
        values = {}
        for name, inner in node.entries.items():
            name_node = Scalar(place=node.keys[name], value=name, text=name)
            dotted = f"{key}.{name}"
            good = self.value(name_hint, name_node, dotted) is not BAD
            value = self.value(hint, inner, dotted)
            self.places[dotted] = node.keys[name]  # later checks are about the name
            if good and value is not BAD:
                values[name] = value
        return MappingProxyType(values)

    def _scalar(self, bare: Any, constraint: Range | Format | None, node: Scalar, key: str) -> Any:
        value = node.value
        if get_origin(bare) is Literal:
            return self._choice(get_args(bare), node, key)
        if bare is bool:
            if isinstance(value, bool):
                return value
            return self._wrong(node, key, "true or false", "it switches something on or off.")
        if bare in (int, float):
            return self._number(bare, constraint, node, key)
        if bare in (Secret, SecretUrl) and not isinstance(value, str):
            return self.note(
                node.place, key, "text", "a value that YAML takes for something else",
                "a key of digits only is a number to YAML.", "put it in quotes.",
            )  # fmt: skip
        if not isinstance(value, str):
            if value is None:
                fix = "write a value, or delete the key."
                return self._wrong(node, key, _called(bare), "the key stands there alone.", fix)
            fix = f'put it in quotes: "{node.text}".'
            why = "YAML reads this as something else."
            return self._wrong(node, key, _called(bare), why, fix)
        if isinstance(constraint, Format):
            try:
                constraint.check(value)
            except Refused as refused:
                got = refused.got or (f"`{value}`" if value else "an empty text")
                return self.note(
                    node.inside(refused.offset) if refused.offset else node.place,
                    key, refused.expected, got, refused.why, refused.fix,
                )  # fmt: skip
        if bare is Match:
            return self._match(node, key)
        if bare is Path:
            if not value or "\0" in value:
                return self._wrong(node, key, "a path", "it names a file or folder.")
            return Path(value).expanduser()
        if bare in (Secret, SecretUrl):
            return bare(value)
        return value

    def _choice(self, choices: Collection[str], node: Scalar, key: str) -> Any:
        # An unquoted `off` or `no` is a boolean to YAML: what was written decides.
        if node.text in choices:
            return node.text
        near = difflib.get_close_matches(node.text.lower(), choices, 1)
        return self._wrong(
            node, key, _any_of(choices), "no other value has a meaning.",
            f"did you mean `{near[0]}`?" if near else f"write {_any_of(choices)}.",
        )  # fmt: skip

    def _number(
        self, bare: type[int] | type[float], constraint: Any, node: Scalar, key: str
    ) -> Any:
        value = node.value
        bounds = constraint if isinstance(constraint, Range) else None
        called = "an integer" if bare is int else "a number"
        if bounds is not None:
            called += _bounds(bounds)
        if isinstance(value, str) and bare is float and node.verbatim_at in (0, None):
            value = _float(value)  # YAML 1.1 takes `1e-3` for text
        wrong_type = isinstance(value, bool) or not isinstance(value, int | float)
        if wrong_type or (bare is int and not isinstance(value, int)):
            return self._wrong(node, key, called, "it is a quantity.")
        if not math.isfinite(value):  # type: ignore[arg-type]  # a number, see above
            return self._wrong(node, key, called, "it is a finite quantity.")
        low_or_high = bounds is not None and (
            value < bounds.low or (bounds.high is not None and value > bounds.high)  # type: ignore[operator]
        )
        if low_or_high and bounds is not None:
            return self._wrong(node, key, called, bounds.why)
        return bare(value)  # type: ignore[arg-type]  # a number, see above

    def _match(self, node: Scalar, key: str) -> Match | _Bad:
        try:
            return compile_match(node.text)
        except MatchError as error:
            return self.note(
                node.inside(error.column - 1), key, error.expected,
                f"{error.got} (column {error.column} of the expression)",
                "the expression decides which runs this applies to.",
                "correct it; docs/match.md has the grammar.",
            )  # fmt: skip

    def _wrong(self, node: Node, key: str, expected: str, why: str, fix: str = "") -> _Bad:
        return self.note(node.place, key, expected, shown(node), why, fix or f"write {expected}.")

    def _unknown(self, place: Place, key: str, name: str, known: Collection[str]) -> None:
        near = difflib.get_close_matches(name, known, 1)
        self.note(
            place, key, "a known setting", f"`{name}`",
            "a misspelled setting would silently keep its default.",
            f"did you mean `{near[0]}`?" if near else f"delete it; known here: {', '.join(known)}.",
        )  # fmt: skip


def shown(node: Node) -> str:
    """A value for a message: what it is, and what was written where that helps."""
    match node:
        case Items():
            return "a list"
        case Table():
            return "a mapping"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=""):
            return "an empty text"
        case Scalar(value=str()):
            return f"`{node.text}`" if len(node.text) <= 80 else f"`{node.text[:77]}...`"
        case Scalar():
            return node.text


def _default(field: dataclasses.Field[Any], base: Any) -> Any:
    if base is not None and base is not dataclasses.MISSING:
        return getattr(base, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _float(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _called(bare: Any) -> str:
    if bare is bool:
        return "true or false"
    if bare is int:
        return "an integer"
    if bare is float:
        return "a number"
    if get_origin(bare) is Literal:
        return _any_of(get_args(bare))
    return {Path: "a path", Match: "a match expression", SecretUrl: "a URL"}.get(bare, "text")


def _any_of(choices: Collection[str]) -> str:
    *most, last = (f"`{choice}`" for choice in choices)
    return f"{', '.join(most)} or {last}" if most else last


def amount(number: float) -> str:
    """Without an exponent: people compare it with what they wrote."""
    return str(int(number)) if number == int(number) else str(number)


def _bounds(bounds: Range) -> str:
    if bounds.high is None:
        return f" of at least {amount(bounds.low)}"
    return f" from {amount(bounds.low)} to {amount(bounds.high)}"
