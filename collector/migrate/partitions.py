"""One partition: what it holds, how it is read in blocks, and whether another store has it all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from collector.migrate.ends import End
from collector.migrate.tables import Table, quoted

WHOLE: Final = ""
"""The partition of a table without a partition key."""
COMPARED_ROWS: Final = 500_000
"""Rows whose hashes are compared at a time: 24 bytes each, from both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Rows of a partition, those that others replaced not counted, and what they add up to.

    Two numbers that do not depend on the order: one that adds, one that is not fooled by what
    adds up to nothing.
    """

    rows: int = 0
    bytes: int = 0
    added: int = 0
    xored: int = 0

    def equals(self, other: Sum) -> bool:
        """`bytes` are of the engine's memory, and left out."""
        return (self.rows, self.added, self.xored) == (other.rows, other.added, other.xored)


def sums(end: End, table: Table, where: str, partition: str | None = None) -> dict[str, Sum]:
    """By partition, or of one of them; partitions without rows are missing."""
    key = f"toString({table.partition})" if table.partition else quoted(WHOLE)
    only = "" if partition is None else f" AND {table.within(partition)}"
    rows = end.query(
        f"SELECT {key} AS p, count() AS n, sum({table.row_bytes}) AS b,"
        f" sum({table.row_hash}) AS s, groupBitXor({table.row_hash}) AS x"
        f" FROM {table.source} WHERE ({where}){only} GROUP BY p ORDER BY p"
    )
    return {
        row["p"]: Sum(rows=row["n"], bytes=row["b"], added=row["s"], xored=row["x"]) for row in rows
    }


def blocks(
    end: End, table: Table, partition: str, where: str, rows_max: int, bytes_max: int
) -> Iterator[pa.Table]:
    """The rows of a partition in blocks of about `rows_max` and `bytes_max` at most.

    By ranges of the first key where that is a span of time, which the engine finds by its index;
    what is too large for a block then, and tables with other keys, by a hash of the other keys.
    """
    inside = f"({where}) AND {table.within(partition)}"
    first, rest = table.keys[0], table.keys[1:]
    timed = "(" in first and bool(rest)
    step = f"toString({first})" if timed else "''"
    groups = end.query(
        f"SELECT {step} AS k, count() AS n, sum({table.row_bytes}) AS b"
        f" FROM {table.source} WHERE {inside} GROUP BY k ORDER BY k"
    )
    run: list[str] = []
    rows = size = 0
    for group in groups:
        parts = max(-(-group["n"] // rows_max), -(-group["b"] // bytes_max))
        if run and (rows + group["n"] > rows_max or size + group["b"] > bytes_max):
            yield _read(end, table, f"{inside} AND {_between(first, run)}")
            run, rows, size = [], 0, 0
        if parts <= 1:
            run.append(group["k"])
            rows, size = rows + group["n"], size + group["b"]
            continue
        exact = f" AND {first} = {quoted(group['k'])}" if timed else ""
        spread = f"cityHash64({', '.join(rest if timed else table.keys)}) % {parts}"
        for part in range(parts):
            yield _read(end, table, f"{inside}{exact} AND {spread} = {part}")
    if run:
        yield _read(end, table, f"{inside} AND {_between(first, run)}" if timed else inside)


def _between(key: str, found: list[str]) -> str:
    return f"{key} >= {quoted(found[0])} AND {key} <= {quoted(found[-1])}"


def _read(end: End, table: Table, where: str) -> pa.Table:
    return end.arrow(f"SELECT {table.select} FROM {table.source} WHERE {where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """How rows of the source are found in a target that has other rows too."""

    equal: int = 0
    newer: int = 0
    """The target's row has the same key and a greater version, or both were united."""
    different: int = 0
    """The same key, not the same content, and no reason for it."""
    missing: int = 0

    @property
    def complete(self) -> bool:
        return not self.different and not self.missing


def contained(
    source: End, target: End, table: Table, partition: str, where: str, rows: int
) -> Contained:
    """Compare keys and contents one by one; `rows` is how many there are at most."""
    buckets = max(1, -(-rows // COMPARED_ROWS))
    version = f"toUInt64({table.version})" if table.version else "toUInt64(0)"
    equal = newer = different = missing = 0
    for bucket in range(buckets):
        sql = (
            f"SELECT {table.key_hash} AS k, {table.row_hash} AS r, {version} AS v"
            f" FROM {table.source} WHERE ({where}) AND {table.within(partition)}"
            f" AND {table.key_hash} % {buckets} = {bucket} ORDER BY k"
        )
        ours, theirs = (_columns(end.arrow(sql)) for end in (source, target))
        at = np.searchsorted(theirs[0], ours[0])
        there = at < len(theirs[0])
        there[there] = theirs[0][at[there]] == ours[0][there]
        where_there = at[there]
        same = theirs[1][where_there] == ours[1][there]
        later = theirs[2][where_there] > ours[2][there]
        if table.engine == "Aggregating":
            later[:] = True
        missing += int(np.count_nonzero(~there))
        equal += int(np.count_nonzero(same))
        newer += int(np.count_nonzero(~same & later))
        different += int(np.count_nonzero(~same & ~later))
    return Contained(equal=equal, newer=newer, different=different, missing=missing)


def _columns(table: pa.Table) -> list[np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    if table.num_columns == 0:  # no rows at all
        return [np.zeros(0, np.uint64)] * 3
    return [table[name].to_numpy() for name in ("k", "r", "v")]
