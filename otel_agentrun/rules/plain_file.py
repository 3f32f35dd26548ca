"""Rules from plain values (a dictionary, JSON), for applications: no YAML reader is needed.

    rules = read(json.load(file))          # what `agentrun rules check --json` prints under `rules`

The collector reads YAML with file, line and column; this reads the same settings by name.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from otel_agentrun.constraints import Format, Range, Refused
from otel_agentrun.match import Match, MatchError, compile_match
from otel_agentrun.rules.checks import mistakes
from otel_agentrun.rules.schema import RulesFile

__all__ = ["RulesError", "read"]

MISSING: Final = dataclasses.MISSING


class RulesError(ValueError):
    """Every mistake, one a line."""


def read(values: Mapping[str, Any]) -> RulesFile:
    """Raises RulesError with everything that is wrong."""
    problems: list[str] = []
    found: RulesFile | None = _section(RulesFile, values, "", problems)
    if found is not None and not problems:
        problems += [
            f"{each.key}: expected {each.expected}, got {each.got}. {each.fix}"
            for each in mistakes(found)
        ]
    if problems or found is None:
        raise RulesError("\n".join(problems))
    return found


def _section(cls: type, values: Any, key: str, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(f"{key or 'rules'}: expected settings by name, got {_shown(values)}")
        return None
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, 1)
            problems.append(
                f"{_dotted(key, name)}: unknown" + (f"; did you mean `{near[0]}`?" if near else "")
            )
    hints = get_type_hints(cls, include_extras=True)
    before = len(problems)
    given: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            given[name] = _value(hints[name], values[name], _dotted(key, name), problems)
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{_dotted(key, name)}: has no default; a value is needed")
    return cls(**given) if len(problems) == before else None


def _value(hint: Any, value: Any, key: str, problems: list[str]) -> Any:
    constraint = None
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *extras = get_args(hint)
            constraint = next((e for e in extras if isinstance(e, Range | Format)), constraint)
        elif origin in (Union, types.UnionType):
            if value is None:
                return None
            (hint,) = (inner for inner in get_args(hint) if inner is not type(None))
        else:
            break
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return _wrong(key, "a list", value, problems)
        item = get_args(hint)[0]
        return tuple(
            _value(item, each, f"{key}[{index}]", problems) for index, each in enumerate(value)
        )
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return _wrong(key, "values by name", value, problems)
        name_hint, item = get_args(hint)
        return types.MappingProxyType(
            {
                _value(name_hint, name, f"{key}.{name}", problems): _value(
                    item, each, f"{key}.{name}", problems
                )
                for name, each in value.items()
            }
        )
    if dataclasses.is_dataclass(hint) and hint is not Match:
        return _section(hint, value, key, problems)  # type: ignore[arg-type]  # a class, see above
    return _single(hint, constraint, value, key, problems)


def _single(hint: Any, constraint: Any, value: Any, key: str, problems: list[str]) -> Any:
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return value if value in choices else _wrong(key, _any_of(choices), value, problems)
    if hint is bool:
        return value if isinstance(value, bool) else _wrong(key, "true or false", value, problems)
    if hint in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or (hint is int and value != int(value)):
            return _wrong(key, "an integer" if hint is int else "a number", value, problems)
        if isinstance(constraint, Range) and (
            value < constraint.low or (constraint.high is not None and value > constraint.high)
        ):
            most = "" if constraint.high is None else f" and at most {constraint.high:g}"
            return _wrong(key, f"at least {constraint.low:g}{most}", value, problems)
        return hint(value)
    if not isinstance(value, str):
        return _wrong(key, "text", value, problems)
    if hint is Match:
        try:
            return compile_match(value)
        except MatchError as error:
            return _wrong(key, f"{error.expected} at column {error.column}", value, problems)
    if isinstance(constraint, Format):
        try:
            constraint.check(value)
        except Refused as refused:
            return _wrong(key, refused.expected, value, problems)
    return value


def _wrong(key: str, expected: str, value: Any, problems: list[str]) -> None:
    problems.append(f"{key}: expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _any_of(choices: Sequence[str]) -> str:
    *most, last = (f"`{choice}`" for choice in choices)
    return f"{', '.join(most)} or {last}" if most else last


def _dotted(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)
