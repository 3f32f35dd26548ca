"""A YAML text as nodes that know their place; nothing here knows which settings exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from collector.config.problems import Place, Problem

NESTING_MAX: Final = 32
"""Deeper than any setting; an alias that contains itself ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """`value` as YAML understands it (a date stays text), `text` as it was written."""

    place: Place
    value: str | bool | int | float | None
    text: str
    verbatim_at: int | None = None
    """Columns from `place` to the first character of `text`; `None` where escapes or folding make
    positions inside the text unknown."""

    def inside(self, offset: int) -> Place:
        """The place of a character of `text`."""
        if self.verbatim_at is None:
            return self.place
        return self.place.right(self.verbatim_at + offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    place: Place
    entries: Mapping[str, Node]
    keys: Mapping[str, Place] = field(default_factory=dict)
    """Where each key stands."""


Node = Scalar | Items | Table


def parse(text: str, source: str, problems: list[Problem]) -> Node | None:
    """The one document of a YAML text; `None` when it is empty, or no YAML (a problem then).

    `source` is what places are called; a variable has no lines, see `parse_value`.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else _node(node, loader, text, source, "", 0, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source=source)
        if mark is not None:
            place = Place(source=source, line=mark.line + 1, column=mark.column + 1)
        problems.append(
            Problem(
                place=place,
                key="",
                expected="YAML",
                got=error.problem or error.context or "something else",
                why="nothing after this place can be read.",
                fix="check indentation, quotes and brackets at this place.",
            )
        )
    except (yaml.YAMLError, ValueError) as error:
        problems.append(
            Problem(
                place=Place(source=source),
                key="",
                expected="YAML",
                got=" ".join(str(error).split()),
                why="the text holds something that YAML does not allow.",
                fix="save it as UTF-8 text without control characters.",
            )
        )
    return None


def parse_value(text: str, name: str, problems: list[Problem]) -> Node | None:
    """The value of a variable: YAML in one place, `[a, b]` and `{a: 1}` included."""
    node = parse(text, name, problems)
    return None if node is None else placed(node, Place(source=name))


def placed(node: Node, place: Place) -> Node:
    """The same values, all of them at one place."""
    match node:
        case Scalar():
            return Scalar(place=place, value=node.value, text=node.text)
        case Items():
            return Items(place=place, items=tuple(placed(item, place) for item in node.items))
        case Table():
            entries = {key: placed(value, place) for key, value in node.entries.items()}
            return Table(place=place, entries=entries, keys=dict.fromkeys(entries, place))


def _node(
    node: yaml.Node,
    loader: yaml.SafeLoader,
    text: str,
    source: str,
    key: str,
    depth: int,
    problems: list[Problem],
) -> Node:
    place = Place(source=source, line=node.start_mark.line + 1, column=node.start_mark.column + 1)
    if depth > NESTING_MAX:
        problems.append(
            Problem(
                place=place,
                key=key,
                expected=f"at most {NESTING_MAX} levels",
                got="more",
                why="no setting is nested so deeply; an alias that contains itself is.",
                fix="remove the alias or the extra levels.",
            )
        )
        return Scalar(place=place, value=None, text="")
    if node.tag not in _TAGS:
        problems.append(
            Problem(
                place=place,
                key=key,
                expected="a value without a tag",
                got=f"the tag `{node.tag.replace(_YAML, '!!')}`",
                why="tags have no meaning here; a secret is not fetched by one, for example.",
                fix="delete the tag; AGENTRUN_ variables set any value from outside the file.",
            )
        )
    if isinstance(node, yaml.SequenceNode):
        return Items(
            place=place,
            items=tuple(
                _node(item, loader, text, source, f"{key}[{index}]", depth + 1, problems)
                for index, item in enumerate(node.value)
            ),
        )
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        for name_node, value_node in node.value:
            at = Place(
                source=source,
                line=name_node.start_mark.line + 1,
                column=name_node.start_mark.column + 1,
            )
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            dotted = f"{key}.{name}" if key else name
            if name in entries:
                problems.append(
                    Problem(
                        place=at,
                        key=dotted,
                        expected="each key once",
                        got=f"`{name}` again (first on line {keys[name].line})",
                        why="only one of the two could have an effect.",
                        fix="keep one of them.",
                    )
                )
                continue
            keys[name] = at
            entries[name] = _node(value_node, loader, text, source, dotted, depth + 1, problems)
        return Table(place=place, entries=entries, keys=keys)
    assert isinstance(node, yaml.ScalarNode)  # the third and last kind
    return _scalar(node, loader, text, place)


def _scalar(node: yaml.ScalarNode, loader: yaml.SafeLoader, text: str, place: Place) -> Scalar:
    written: str = node.value
    value: object = written
    if node.tag in _PLAIN_TAGS:
        try:
            value = loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            value = written
    if not isinstance(value, str | bool | int | float) and value is not None:
        value = written
    quotes = 1 if node.style in ("'", '"') else 0
    start = node.start_mark.index + quotes
    verbatim = node.style in (None, "", "'", '"') and text[start : start + len(written)] == written
    return Scalar(place=place, value=value, text=written, verbatim_at=quotes if verbatim else None)


_YAML: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = frozenset(_YAML + name for name in ("null", "bool", "int", "float"))
_TAGS: Final = _PLAIN_TAGS | {
    _YAML + name for name in ("str", "seq", "map", "timestamp", "merge", "value")
}
"""What YAML gives to values that carry no tag."""
