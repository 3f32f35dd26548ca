"""What a match expression means: tests over values of any type, none of which can raise.

The rules are written down for operators in `otel_agentrun.match`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

Values = Mapping[str, object]
Test = Callable[[Values], bool]
Operand = Callable[[Values], object]


def opposite(test: Test) -> Test:
    return lambda values: not test(values)


def any_of(operand: Operand, test: Callable[[object], bool]) -> Test:
    return lambda values: any(test(value) for value in each(operand(values)))


def compared(left: Operand, right: Operand, test: Callable[[object, object], bool]) -> Test:
    def compare(values: Values) -> bool:
        others = each(right(values))
        return any(test(one, other) for one in each(left(values)) for other in others)

    return compare


def lookup(name: str) -> Operand:
    def look(values: Values) -> object:
        found = find(values, name)
        return "" if found is None else found

    return look


def find(values: Mapping[str, object], name: str) -> object:
    """The key itself wins over a walk through nested mappings."""
    found = values.get(name)
    while found is None and "." in name:
        head, _, name = name.partition(".")
        inner = values.get(head)
        if not isinstance(inner, Mapping):
            return None
        values = inner
        found = values.get(name)
    return found


def each(value: object) -> Sequence[object]:
    """The values a side holds.  An empty list counts as missing, as an absent name does."""
    if isinstance(value, list | tuple):
        return value or ("",)
    if isinstance(value, AbstractSet):
        return tuple(value) or ("",)
    return (value,)


def truth(value: object) -> bool:
    if isinstance(value, str):
        return value != "" and value.lower() != "false"
    if isinstance(value, bool | int | float):
        return value != 0
    return False


def as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value) if isinstance(value, int | float) else ""
    except ValueError:  # an integer of more digits than Python writes out
        return ""


def number(value: object) -> int | float | None:
    """A number or a text that spells a finite one; a boolean is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        return number if number - number == 0 else None
    return None


def equal(one: object, other: object) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        if isinstance(one, int | float) and isinstance(other, int | float):
            return one is other
        return as_text(one).lower() == as_text(other).lower()
    if isinstance(one, int | float) or isinstance(other, int | float):
        left, right = number(one), number(other)
        return left is not None and left == right
    return as_text(one) == as_text(other)


def ordered(test: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def compare(one: object, other: object) -> bool:
        left, right = number(one), number(other)
        if left is not None and right is not None:
            return test(left, right)
        if isinstance(one, str) and isinstance(other, str) and one and other:
            return test(one, other)
        return False

    return compare


ORDER: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "<": ordered(operator.lt),
    "<=": ordered(operator.le),
    ">": ordered(operator.gt),
    ">=": ordered(operator.ge),
}
