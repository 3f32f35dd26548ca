"""Moves what one store holds to another: table by table, partition by partition, in blocks.

There is no record of what was done: a partition that the target has already, by count and checksum,
is skipped, and any other is sent as a whole, which changes nothing about rows that are there.  So
it can be interrupted at any time and started again, and it finds what somebody changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from collector.errors import StoreError
from collector.migrate.ends import End
from collector.migrate.partitions import Sum, blocks, contained, sums
from collector.migrate.tables import FIRST, Table, compare_schemas, quoted, tables
from otel_agentrun.semconv import RUN_ID

KEPT_OF_ERASED: Final = frozenset({FIRST, "decision_ledger"})
"""They hold ids and digests only, and a chain with a hole proves nothing."""
RUN_IDS: Final = ("RunId", f"LogAttributes['{RUN_ID}']", f"IngestAttributes['{RUN_ID}']")
"""Where a row without a trace names its run."""
DAY_SECS: Final = 86_400
MARGIN_SECS: Final = 3600
"""Rows that expire so soon are left: the two stores would not drop them at the same moment."""
BLOCK_ROWS: Final = 20_000
BLOCK_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wanted."""

    now_secs: int
    """Unix time; retention counts from it."""
    since_secs: int | None = None
    """Only rows received since then."""
    dry_run: bool = False
    """Compare and count, write nothing."""
    block_rows: int = BLOCK_ROWS
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True, kw_only=True)
class Partition:
    """What became of one."""

    partition: str
    rows: int
    state: str
    """`there`: nothing to do; `moved`; `missing`: it would be moved; `differs`: see `problem`."""
    newer: int = 0
    """Rows of which the target has a later version."""
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Moved:
    """What became of a table."""

    table: str
    rows: int = 0
    rows_sent: int = 0
    partitions: list[Partition] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return all(each.state in ("there", "moved") for each in self.partitions)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "verified": self.well}


Progress = Callable[[str, int, int], None]


def migrate(source: End, target: End, plan: Plan, progress: Progress) -> list[Moved]:
    """`progress(table, rows done, rows in all)` is called after each block.

    Raises StoreError: unlike schemas, a store that fails, a table that cannot be sent twice.
    """
    compare_schemas(source, target)
    theirs = {table.title: table for table in tables(target)}
    erased = _erased(target)
    found = []
    for table in tables(source):
        twin = theirs[table.title]
        days = min((t.days for t in (table, twin) if t.days is not None), default=None)
        where = _where(table, plan, days, erased)
        found.append(_move(source, target, table, where, plan, progress))
    return found


def _erased(target: End) -> tuple[str, ...]:
    """Traces that were erased in the target: they must not come back."""
    return tuple(row["TraceId"] for row in target.query(f"SELECT TraceId FROM {FIRST} FINAL"))


def _where(table: Table, plan: Plan, days: int | None, erased: tuple[str, ...]) -> str:
    """Which rows are meant, in both stores."""
    conditions = []
    if table.has("ReceivedAt"):
        since = plan.since_secs or 0
        if days is not None:
            since = max(since, plan.now_secs - days * DAY_SECS + MARGIN_SECS)
        if since:
            conditions.append(f"ReceivedAt >= toDateTime({since})")
    if erased and table.name not in KEPT_OF_ERASED:
        ids = ", ".join(map(quoted, erased))
        if table.has("TraceId"):
            conditions.append(f"TraceId NOT IN ({ids})")
        if table.has("TraceIds"):
            conditions.append(f"NOT hasAny(TraceIds, [{ids}])")
        conditions += [  # a run's id begins with its trace's
            f"splitByChar('-', {run_id})[1] NOT IN ({ids})"
            for run_id in RUN_IDS
            if table.has(run_id.partition("[")[0])
        ]
    return " AND ".join(conditions) or "1"


def _move(
    source: End, target: End, table: Table, where: str, plan: Plan, progress: Progress
) -> Moved:
    ours, theirs = sums(source, table, where), sums(target, table, where)
    moved = Moved(table=table.title, rows=sum(each.rows for each in ours.values()))
    done = 0
    progress(table.title, done, moved.rows)
    for name, have in ours.items():
        before = theirs.get(name, Sum())
        part = _compared(source, target, table, name, where, have, before)
        if part.state != "there" and not plan.dry_run:
            if not table.absorbs and before.rows:
                raise StoreError(
                    f"{table.name}: partition {name} of the target has other rows, and rows sent"
                    " twice would be there twice",
                    f"Drop that partition in the target, if its rows came from here: ALTER TABLE"
                    f" {table.name} DROP PARTITION {name}",
                )
            at = done
            for block in blocks(source, table, name, where, plan.block_rows, plan.block_bytes):
                target.insert_arrow(table.name, block)
                moved.rows_sent += block.num_rows
                at += block.num_rows
                progress(table.title, min(at, moved.rows), moved.rows)
            after = sums(target, table, where, name).get(name, Sum())
            part = _compared(source, target, table, name, where, have, after)
            part.state = "moved" if part.state == "there" else "differs"
        moved.partitions.append(part)
        done += have.rows
        progress(table.title, done, moved.rows)
    return moved


def _compared(
    source: End, target: End, table: Table, name: str, where: str, have: Sum, found: Sum
) -> Partition:
    """Whether the target has what the source has."""
    part = Partition(partition=name, rows=have.rows, state="there")
    if have.equals(found):
        return part
    if found.rows < have.rows:
        part.state = "missing"
        part.problem = f"{found.rows:,} of {have.rows:,} rows"
        return part
    rows = contained(source, target, table, name, where, max(have.rows, found.rows))
    part.newer = rows.newer
    if not rows.complete:
        part.state = "missing" if rows.missing else "differs"
        part.problem = f"{rows.missing:,} rows are missing, {rows.different:,} are different"
    return part
