"""One attribute by itself: its name, its type, its value.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from collector.semconv.problem import Observed, Problem, Severity, perhaps, shown
from collector.semconv.registry import OURS, Registry
from otel_agentrun.semconv import STEP_KIND

GEN_AI: Final = "gen_ai."


def check(
    key: str, value: Any, seen: Observed, subject: str, registry: Registry, *, ours: bool
) -> Iterator[Problem]:
    """One attribute by itself: its name, its type, its value."""
    if key in registry.renamed:
        yield Problem(
            severity=Severity.ADVICE,
            rule="renamed",
            subject=subject,
            attribute=key,
            what=f"{key} has another name",
            why=f"the conventions at {registry.genai_commit[:7]} call it {registry.renamed[key]}",
            fix=f"send {registry.renamed[key]}; both are read",
            where=seen.where,
        )
        return
    known = registry.find(key)
    if known is None:
        yield from _unknown(key, seen, subject, registry)
        return
    severity = Severity.VIOLATION if known.ours or ours else Severity.ADVICE
    if not fits(value, known.type):
        yield Problem(
            severity=severity,
            rule="wrong_type",
            subject=subject,
            attribute=key,
            what=f"{key} is {type_of(value)} ({shown(value)})",
            why=f"its type is {known.type}",
            fix=f"send {_article(known.type)}",
            where=seen.where,
        )
    elif known.closed and value not in {each.value for each in known.values}:
        allowed = ", ".join(each.value for each in known.values)
        yield Problem(
            severity=severity,
            rule="value_not_allowed",
            subject=subject,
            attribute=key,
            what=f"{key} is {shown(value)}",
            why=f"allowed are {allowed}",
            fix=perhaps(str(value), [each.value for each in known.values], "use one of them"),
            where=seen.where,
        )


def _unknown(key: str, seen: Observed, subject: str, registry: Registry) -> Iterator[Problem]:
    if key.startswith(OURS):
        yield Problem(
            severity=Severity.VIOLATION,
            rule="unknown_name",
            subject=subject,
            attribute=key,
            what=f"there is no attribute {key}",
            why="agentrun.* holds nothing but what the registry names",
            fix=perhaps(
                key,
                [known for known in registry.attributes if known.startswith(OURS)],
                "use agentrun.tag.<key> for a label of your own",
            ),
            where=seen.where,
        )
    elif key.startswith(GEN_AI) and STEP_KIND in seen.attributes:
        yield Problem(
            severity=Severity.ADVICE,
            rule="unknown_name",
            subject=subject,
            attribute=key,
            what=f"{key} is not among the GenAI attributes that our spans use",
            why=f"the registry refers to {registry.genai_commit[:7]} of the conventions",
            fix=perhaps(key, registry.attributes, "leave it, if other tools read it"),
            where=seen.where,
        )


def fits(value: Any, stated: str) -> bool:
    """Whether a value is of a type of the registry.  `any` takes structures and JSON text.

    A whole number is a double, too: JavaScript's SDK sends 1.0 as an integer.
    """
    if stated == "any" or (stated == "double" and type_of(value) == "int"):
        return True
    if stated.endswith("[]"):
        return isinstance(value, list | tuple) and all(fits(one, stated[:-2]) for one in value)
    return type_of(value) == stated


def type_of(value: Any) -> str:
    """The registry's word for the type of a value; `map`, `bytes` and `empty` are none of its."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "boolean"
    for type_, name in (
        (str, "string"), (int, "int"), (float, "double"), (bytes, "bytes"), (Mapping, "map"),
    ):  # fmt: skip
        if isinstance(value, type_):
            return name
    kinds = sorted({type_of(one) for one in value})
    return f"{kinds[0]}[]" if len(kinds) == 1 else "mixed[]" if kinds else "empty[]"


def _article(type_: str) -> str:
    if type_.endswith("[]"):
        return f"an array of {type_[:-2]}s"
    return f"an {type_}" if type_[0] in "aeiou" else f"a {type_}"
