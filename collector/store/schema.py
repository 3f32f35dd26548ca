"""Numbered migrations of `schemas/clickhouse/`, for one node or a cluster.

A file is SQL with three slots, so that the same text serves both: `$local` (the suffix of a shard's
own tables), `$on_cluster` and `$replicated`.  Comment lines are instructions where a cluster needs
two statements: `-- distributed: TABLE KEY`, `-- drop: TABLE`, `-- add column: TABLE NAME TYPE ...`
and `-- drop column: TABLE NAME`.  Retention is a setting, not a migration: TTLs are compared with
the config at every `apply`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from string import Template
from typing import Final

from collector.errors import StoreError
from collector.resources import data
from collector.store.client import EMBEDDED, Store

UP: Final = ".up.sql"
DOWN: Final = ".down.sql"
DISTRIBUTED: Final = re.compile(r"-- distributed: (\w+) (.+)")
DROP: Final = re.compile(r"-- drop: (\w+)")
COLUMN: Final = re.compile(r"-- (add|drop) column: (\w+) (.+)")
INSTRUCTIONS: Final = r"(?=^-- (?:distributed|drop|(?:add|drop) column): )"

MIGRATIONS_TABLE: Final = """\
CREATE TABLE IF NOT EXISTS schema_migrations$local $on_cluster
(
    Number UInt32,
    Name String,
    Sha256 String,
    Action Enum8('up' = 1, 'down' = 2),
    At DateTime64(9)
)
ENGINE = ${replicated}MergeTree
ORDER BY (Number, At);

-- distributed: schema_migrations Number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days that rows are kept after the collector received them; `None` keeps them."""

    traces_days: int | None = 30
    logs_days: int | None = 30
    content_days: int | None = 30
    steps_days: int | None = 180
    runs_days: int | None = 400
    events_days: int | None = 400
    dead_letters_days: int | None = 30
    tombstones_days: int | None = 400
    """At least as long as anything could be resent."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            days = getattr(self, entry.name)
            if days is not None and days < 1:
                raise ValueError(f"{entry.name} must be at least 1 day, got {days}")

    def days(self) -> dict[str, int | None]:
        """By table."""
        return {
            "otel_traces": self.traces_days,
            "otel_traces_trace_id_ts": self.traces_days,
            "otel_logs": self.logs_days,
            "agent_content": self.content_days,
            "agent_steps": self.steps_days,
            "agent_runs": self.runs_days,
            "agent_events": self.events_days,
            "dead_letters": self.dead_letters_days,
            "trace_tombstones": self.tombstones_days,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    number: int
    name: str
    up: str
    down: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """All there are, in order.  A missing half is our own mistake."""
    folder = data("schemas") / "clickhouse"
    found: list[Migration] = []
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not path.name.endswith(UP):
            continue
        name = path.name.removesuffix(UP)
        number = int(name.split("_", 1)[0])
        assert number == len(found) + 1, f"migrations must be numbered without gaps: {path.name}"
        found.append(
            Migration(
                number=number,
                name=name,
                up=path.read_text(encoding="utf-8"),
                down=(folder / f"{name}{DOWN}").read_text(encoding="utf-8"),
            )
        )
    return tuple(found)


def statements(sql: str, cluster: str | None) -> list[str]:
    """Fill the slots and split into statements, Distributed tables included."""
    found = []
    filled = Template(sql).substitute(
        local="_local" if cluster else "",
        on_cluster=f"ON CLUSTER '{cluster}'" if cluster else "",
        replicated="Replicated" if cluster else "",
    )
    for chunk in re.split(rf";\s*\n|{INSTRUCTIONS}", filled, flags=re.MULTILINE):
        first, _, rest = chunk.strip().partition("\n")
        if drop := DROP.fullmatch(first):
            found += _drops(drop[1], cluster)
        elif distributed := DISTRIBUTED.fullmatch(first):
            found += _distributed(distributed[1], distributed[2], cluster)
        elif column := COLUMN.fullmatch(first):
            found += _columns(column[1], column[2], column[3], cluster)
        else:
            rest = chunk
        if statement := _without_comments(rest):
            found.append(statement)
    return found


def _distributed(table: str, key: str, cluster: str | None) -> list[str]:
    if not cluster:
        return []
    return [
        f"CREATE TABLE IF NOT EXISTS {table} ON CLUSTER '{cluster}' AS {table}_local\n"
        f"ENGINE = Distributed('{cluster}', currentDatabase(), '{table}_local', {key})"
    ]


def _drops(table: str, cluster: str | None) -> list[str]:
    if not cluster:
        return [f"DROP TABLE IF EXISTS {table} SYNC"]
    on_cluster = f"ON CLUSTER '{cluster}'"
    return [
        f"DROP TABLE IF EXISTS {table} {on_cluster} SYNC",
        f"DROP TABLE IF EXISTS {table}_local {on_cluster} SYNC",
    ]


def _columns(verb: str, table: str, column: str, cluster: str | None) -> list[str]:
    """The shards' tables first when a column comes, last when it goes."""
    guard = "IF NOT EXISTS" if verb == "add" else "IF EXISTS"
    tables = [table]
    if cluster:
        tables = [f"{table}{suffix} ON CLUSTER '{cluster}'" for suffix in ("_local", "")]
    if verb == "drop":
        tables.reverse()
    return [f"ALTER TABLE {each} {verb.upper()} COLUMN {guard} {column}" for each in tables]


def _without_comments(sql: str) -> str:
    lines = (line.rstrip() for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return re.sub(r" +\n", "\n", "\n".join(line for line in lines if line)).rstrip("; \n")


def local_table(table: str, cluster: str | None) -> str:
    """The table that ALTER takes, with its ON CLUSTER."""
    return f"{table}_local ON CLUSTER '{cluster}'" if cluster else table


def _ttl(table: str, days: int | None, cluster: str | None) -> str:
    target = local_table(table, cluster)
    if days is None:
        return f"ALTER TABLE {target} REMOVE TTL"
    return f"ALTER TABLE {target} MODIFY TTL toDateTime(ReceivedAt) + toIntervalDay({days})"


def render(cluster: str | None = None, retention: Retention | None = None) -> str:
    """Everything `apply` would run on an empty database, as one SQL text."""
    parts = statements(MIGRATIONS_TABLE, cluster)
    for migration in migrations():
        body = statements(migration.up, cluster)
        parts += [f"-- {migration.name}\n{body[0]}", *body[1:]]
    for table, days in (retention or Retention()).days().items():
        if days is not None:
            parts.append(_ttl(table, days, cluster))
    return ";\n\n".join(parts) + ";\n"


def applied(store: Store) -> dict[int, str]:
    """Number -> digest of the migrations in force."""
    rows = store.query(
        "SELECT Number, argMax(Sha256, (At, Action)) AS Digest FROM schema_migrations"
        " GROUP BY Number HAVING argMax(Action, (At, Action)) = 'up' ORDER BY Number"
    )
    return {row["Number"]: row["Digest"] for row in rows}


def apply(store: Store, retention: Retention | None = None) -> list[str]:
    """Bring the schema up to date; names of what was applied.  Safe to repeat.

    Raises StoreError where the database is newer than this version.
    """
    for statement in statements(MIGRATIONS_TABLE, store.cluster):
        store.command(statement)
    done = applied(store)
    known = migrations()
    if done and max(done) > len(known):
        raise StoreError(
            f"{store.url}: the schema is at migration {max(done)}, this version knows {len(known)}",
            "Use the newer otel-agentrun that wrote it, or roll back with that version.",
        )
    new = [migration for migration in known if migration.number not in done]
    for migration in new:
        for statement in statements(migration.up, store.cluster):
            store.command(_embedded(statement) if store.embedded else statement)
        _record(store, migration, "up")
    _apply_retention(store, retention or Retention())
    return [migration.name for migration in new]


def rollback(store: Store, to: int) -> list[str]:
    """Undo the migrations above number `to`, newest first, with their data; names of them."""
    done = applied(store)
    undone = [m for m in reversed(migrations()) if m.number > to and m.number in done]
    for migration in undone:
        for statement in statements(migration.down, store.cluster):
            store.command(statement)
        _record(store, migration, "down")
    return [migration.name for migration in undone]


def _record(store: Store, migration: Migration, action: str) -> None:
    store.command(
        "INSERT INTO schema_migrations (Number, Name, Sha256, Action, At)"
        " VALUES (%(number)s, %(name)s, %(digest)s, %(action)s, now64(9))",
        {
            "number": migration.number,
            "name": migration.name,
            "digest": migration.sha256,
            "action": action,
        },
    )


def _embedded(statement: str) -> str:
    """Add to a table's settings what only an embedded store needs: a server has its own policy."""
    if not statement.startswith("CREATE TABLE"):
        return statement
    settings = ", ".join(f"{name} = {value}" for name, value in EMBEDDED.items())
    return (
        f"{statement}, {settings}"
        if "\nSETTINGS " in statement
        else (f"{statement}\nSETTINGS {settings}")
    )


def _apply_retention(store: Store, retention: Retention) -> None:
    suffix = "_local" if store.cluster else ""
    rows = store.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    )
    current = {row["name"]: row["create_table_query"] for row in rows}
    for table, days in retention.days().items():
        statement = current.get(table + suffix)
        if statement is None:
            continue
        found = re.search(r"\bTTL toDateTime\(ReceivedAt\) \+ toIntervalDay\((\d+)\)", statement)
        if (int(found[1]) if found else None) != days:
            # Parts are not rewritten for it: those that are over are dropped whole.
            store.command(
                _ttl(table, days, store.cluster), settings={"materialize_ttl_after_modify": 0}
            )
