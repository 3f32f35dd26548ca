"""What there is to move: tables as the engine describes them, and SQL about their rows.

Nothing here lists tables or columns by hand: a migration of the schema that adds one is moved
without a change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from collector.errors import StoreError
from collector.migrate.ends import End
from collector.store import schema

NOT_MOVED: Final = {
    "schema_migrations": "compared instead: each store has its own",
    "store_canary": "signs of life of the source's collectors",
}
FIRST: Final = "trace_tombstones"
"""Before anything of an erased trace could come."""
LAST: Final = "agent_runs"
"""Who sees a run finds its steps."""
TTL: Final = re.compile(r"\bTTL (?:toDateTime\()?ReceivedAt\)? \+ toIntervalDay\((\d+)\)")
ENGINE: Final = re.compile(r"(?:Replicated|Shared)?(\w*)MergeTree\((.*?)\)")
COLLAPSING: Final = ("Replacing", "Aggregating")
"""Engines to which a repeated row does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table, alike in both stores."""

    name: str
    columns: tuple[tuple[str, str], ...]
    """(name, type) of all that are stored."""
    partition: str
    """Partition key, "" for none."""
    keys: tuple[str, ...]
    """Sorting key."""
    engine: str
    """`Replacing`, `Aggregating`, or "" for a plain MergeTree."""
    version: str = ""
    """Column by which a row replaces another; "" is the last one written."""
    deleted: str = ""
    """Column that marks a row as deleted: FINAL leaves it out, and it says what replaced it."""
    graves: bool = False
    """Only these rows are meant."""
    days: int | None = None
    """Retention."""

    @property
    def title(self) -> str:
        return f"{self.name} (deleted rows)" if self.graves else self.name

    @property
    def absorbs(self) -> bool:
        """Whether a row may be sent twice."""
        return self.engine in COLLAPSING

    @property
    def source(self) -> str:
        """What to select from: rows that others replaced do not count."""
        if self.graves:
            table, key = f"`{self.name}`", self.key_hash
            return (
                f"(SELECT {self.select} FROM {table}"
                f" WHERE {key} GLOBAL IN (SELECT {key} FROM {table} WHERE {self.deleted})"
                f" AND {key} GLOBAL NOT IN (SELECT {key} FROM {table} FINAL)"
                f" ORDER BY {self.version} DESC LIMIT 1 BY {key})"
            )
        return f"`{self.name}` FINAL" if self.absorbs else f"`{self.name}`"

    @property
    def select(self) -> str:
        return ", ".join(f"`{name}`" for name, _ in self.columns)

    @property
    def row_hash(self) -> str:
        """A number of a row's content."""
        return f"cityHash64({', '.join(_hashable(name, kind) for name, kind in self.columns)})"

    @property
    def key_hash(self) -> str:
        return f"cityHash64({', '.join(self.keys)})"

    @property
    def row_bytes(self) -> str:
        return f"byteSize({self.select})"

    def has(self, column: str) -> bool:
        return any(name == column for name, _ in self.columns)

    def within(self, partition: str) -> str:
        """Condition of a partition."""
        return f"{self.partition} = {quoted(partition)}" if self.partition else "1"


def _hashable(name: str, kind: str) -> str:
    """The hash of NULL is NULL, and so is that of a row with one; an array that a merge unites has
    no order."""
    column = f"`{name}`"
    if "Nullable(" in kind:
        return f"isNull({column}), ifNull(toString({column}), '')"
    if kind.startswith("SimpleAggregateFunction(groupUniq"):
        return f"arraySort({column})"
    return column


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def versions(end: End) -> dict[int, tuple[str, str]]:
    """Number -> (name, digest) of the migrations in force; empty for a database without tables."""
    if not end.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND name = 'schema_migrations'"
    ):
        return {}
    rows = end.query(
        "SELECT Number, argMax(Name, (At, Action)) AS Name, argMax(Sha256, (At, Action)) AS Digest"
        " FROM schema_migrations GROUP BY Number"
        " HAVING argMax(Action, (At, Action)) = 'up' ORDER BY Number"
    )
    return {row["Number"]: (row["Name"], row["Digest"]) for row in rows}


def compare_schemas(source: End, target: End) -> None:
    """Raises StoreError unless both have the same migrations."""
    ours, theirs = versions(source), versions(target)
    known = {migration.number for migration in schema.migrations()}
    if not ours:
        raise StoreError("the source has no tables of ours", "Name the store of a collector.")
    if ours == theirs:
        return
    sides = [
        f"the {side} is at {max(found.items())[1][0]}" if found else f"the {side} has no tables"
        for side, found in (("source", ours), ("target", theirs))
    ]
    if max(ours) > max(known) or (theirs and max(theirs) > max(known)):
        fix = "Use the newer otel-agentrun that wrote it."
    elif set(ours) == set(theirs):
        fix = "The same numbers have other contents: start both once with one release."
    else:
        behind = "source" if len(ours) < len(theirs) else "target"
        fix = f"Run `agentrun schema apply --store URL` with the URL of the {behind} first."
    raise StoreError(f"the schemas differ: {', '.join(sides)}", fix)


def tables(end: End) -> list[Table]:
    """All tables that hold data, in the order in which they are to be moved."""
    rows = end.query(
        "SELECT name, engine, engine_full, partition_key, sorting_key, create_table_query"
        " FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    columns: dict[str, list[tuple[str, str]]] = {}
    for row in end.query(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
        " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL')"
        " ORDER BY table, position"
    ):
        columns.setdefault(row["table"], []).append((row["name"], row["type"]))
    found = [
        _table(row, tuple(columns[row["name"]]))
        for row in rows
        if row["name"].removesuffix("_local") not in NOT_MOVED
    ]
    graves = [replace(each, graves=True) for each in found if each.deleted]
    return sorted(
        [*graves, *found], key=lambda each: (each.name != FIRST, each.name == LAST, each.title)
    )


def _table(row: dict[str, Any], columns: tuple[tuple[str, str], ...]) -> Table:
    engine = ENGINE.match(row["engine_full"])
    retention = TTL.search(row["create_table_query"])
    arguments = [part.strip() for part in engine[2].split(",")] if engine else []
    # Path and name of a replica come first, and are quoted.
    named = [part for part in arguments if part and not part.startswith("'")]
    kind = row["engine"].removesuffix("MergeTree")
    return Table(
        name=row["name"].removesuffix("_local"),
        columns=columns,
        partition=row["partition_key"],
        keys=split(row["sorting_key"]),
        engine=kind.removeprefix("Replicated").removeprefix("Shared"),
        version=named[0] if named else "",
        deleted=named[1] if len(named) > 1 else "",
        days=int(retention[1]) if retention else None,
    )


def split(expressions: str) -> tuple[str, ...]:
    """`f(a, b), c` as its parts."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(expressions):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(expressions[start:at].strip())
            start = at + 1
    return tuple(part for part in (*parts, expressions[start:].strip()) if part)
