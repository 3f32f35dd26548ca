"""Settings from environment variables and from the command line, as nodes of the same document.

A variable is `AGENTRUN_` and the dotted key in capitals with `_` for each dot: `store.url` is
`AGENTRUN_STORE_URL`, `receiver.grpc.tls.cert_file` is `AGENTRUN_RECEIVER_GRPC_TLS_CERT_FILE`.  No
two settings share a variable (a test says so).  Text is taken as it is, other types are read as
YAML: a list is `[a, b]`, a mapping `{email: true}`, and it replaces the one in the file as a whole.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, Literal, get_origin

import yaml

from collector.config.document import Node, Scalar, Table, parse_value, placed
from collector.config.problems import Place, Problem
from collector.config.reader import hints, is_section, unpack
from collector.config.schema import Config

PREFIX: Final = "AGENTRUN_"

OTHERS: Final = frozenset({"AGENTRUN_CONFIG", "AGENTRUN_API_KEY", "AGENTRUN_COLLECTOR"})
"""Variables of the command line that look like settings."""

KUBERNETES: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_\d+_(TCP|UDP)(_|$)|$)")
"""What Kubernetes sets in every pod for a service whose name begins with `agentrun`."""


@cache
def settings() -> Mapping[str, Any]:
    """Dotted key of every setting that has a value of its own -> its type."""
    return dict(_settings(Config, ""))


def _settings(section: type, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(section):
        bare = unpack(hints(section)[field.name])[0]
        key = f"{prefix}{field.name}"
        if is_section(bare):
            yield from _settings(bare, f"{key}.")
        else:
            yield key, hints(section)[field.name]


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + key.upper().replace(".", "_")


def from_environment(env: Mapping[str, str], problems: list[Problem]) -> dict[str, Node]:
    """Dotted key -> value, for every variable that is set."""
    found: dict[str, Node] = {}
    for key, hint in settings().items():
        name = variable(key)
        if name in env:
            node = _typed(hint, env[name], name, problems)
            if node is not None:
                found[key] = node
    return found


def unknown_variables(
    env: Mapping[str, str], used: frozenset[str], problems: list[Problem]
) -> None:
    """Misspelled settings; variables of others, and `used` ones (`key_env`), are left alone."""
    known = {variable(key): key for key in settings()}
    sections = tuple(
        f"{PREFIX}{field.name.upper()}_"
        for field in dataclasses.fields(Config)
        if is_section(unpack(hints(Config)[field.name])[0])
    )
    for name in sorted(env):
        if not name.startswith(PREFIX) or name in known or name in OTHERS or name in used:
            continue
        near = difflib.get_close_matches(name, known, 1, 0.8)
        if KUBERNETES.search(name) or not (name.startswith(sections) or near):
            continue
        fix = f"did you mean `{near[0]}`?" if near else "unset it; docs/configuration.md has all."
        problems.append(
            Problem(
                place=Place(source=name),
                key="",
                expected="a variable that belongs to a setting",
                got="one that does not",
                why="a misspelled variable would silently change nothing.",
                fix=fix,
            )
        )


def from_options(options: Mapping[str, object], problems: list[Problem]) -> dict[str, Node]:
    """Dotted key -> value of what the command line set; unknown keys are mistakes of our own."""
    found: dict[str, Node] = {}
    for key, value in options.items():
        name = f"command line ({key})"
        if key not in settings():
            raise KeyError(f"no setting is called {key!r}")
        if isinstance(value, str):
            node = _typed(settings()[key], value, name, problems)
        else:
            node = parse_value(yaml.safe_dump(value), name, problems)
        if node is not None:
            found[key] = node
    return found


def _typed(hint: Any, text: str, name: str, problems: list[Problem]) -> Node | None:
    bare = unpack(hint)[0]
    place = Place(source=name)
    is_text = bare not in (bool, int, float) and get_origin(bare) is not Mapping
    if is_text and get_origin(bare) not in (tuple, Literal):
        return Scalar(place=place, value=text, text=text)
    node = parse_value(text, name, problems)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return Scalar(place=place, value="", text=text)  # set to nothing: not what was meant
    return node


def overlaid(document: Node | None, values: Mapping[str, Node]) -> Node | None:
    """The document with settings replaced; a part that is no mapping stays, to be refused."""
    for key, value in values.items():
        document = _with(document, key.split("."), value)
    return document


def _with(node: Node | None, path: list[str], value: Node) -> Node:
    if not path:
        return placed(value, value.place)
    if node is not None and not isinstance(node, Table) and not _empty(node):
        return node
    entries = dict(node.entries) if isinstance(node, Table) else {}
    keys = dict(node.keys) if isinstance(node, Table) else {}
    entries[path[0]] = _with(entries.get(path[0]), path[1:], value)
    keys.setdefault(path[0], value.place)
    return Table(place=node.place if node is not None else value.place, entries=entries, keys=keys)


def _empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
