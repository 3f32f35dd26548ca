"""Erase whole trace groups: from every table, and from the files of an embedded store.

What must not come back is refused before anything is deleted: tombstones for the traces first, then
the rows, then a deleted row of the highest version per run, which no late snapshot replaces.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pyarrow as pa

from collector.errors import StoreError
from collector.model import TIME
from collector.runs.run import Removed
from collector.store import rows
from collector.store.client import Store, chunks
from collector.store.codecs import UINT64_MAX
from collector.store.filters import RunFilter, between, time_sql
from collector.store.reader import Reader
from collector.store.schema import local_table
from collector.store.writer import MONTH, by_partition

FILES_SECS: Final = 30.0
"""Rewritten parts leave the disk of an embedded store within this time, or erasing has failed."""
POLL_SECS: Final = 0.1

BY_TRACE: Final = "TraceId IN %(ids)s"
BY_RUN: Final = (
    "LogAttributes['agentrun.run.id'] IN %(ids)s OR IngestAttributes['agentrun.run.id'] IN %(ids)s"
)
"""Log records of no trace that name their run."""
TABLES: Final = {
    "spans": ("otel_traces", BY_TRACE),
    "traces_index": ("otel_traces_trace_id_ts", BY_TRACE),
    "content": ("agent_content", BY_TRACE),
    "logs": ("otel_logs", BY_TRACE),
    "steps": ("agent_steps", BY_TRACE),
    # Nothing of a request is kept in a dead letter; an error may name a trace.
    "dead_letters": ("dead_letters", "arrayExists(id -> position(Error, id) > 0, %(ids_array)s)"),
}
"""What is counted -> its table, and which rows belong to some trace ids."""


class Selection(Protocol):
    """Run ids, or what all other fields match; `collector.api.service.Selector` has these."""

    @property
    def run_ids(self) -> tuple[str, ...]: ...
    @property
    def user(self) -> str: ...
    @property
    def session(self) -> str: ...
    @property
    def since_ns(self) -> int | None: ...
    @property
    def until_ns(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a selection stands for: whole trace groups."""

    group_ids: frozenset[str] = frozenset()
    run_ids: frozenset[str] = frozenset()
    trace_ids: frozenset[str] = frozenset()
    period: tuple[int | None, int | None] | None = None
    """Where a period alone was selected: what belongs to no trace is erased by its time."""

    @property
    def tombstones(self) -> frozenset[str]:
        """Trace ids, and the ids of runs that an application named: they do not begin with one."""
        named = {id_ for id_ in self.run_ids if id_.partition("-")[0] not in self.trace_ids}
        return self.trace_ids | named


class Eraser:
    """Every method raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader = Reader(store)

    def find(self, selection: Selection) -> Found:
        """All runs and traces of the groups that any selected run is in."""
        if selection.run_ids:
            runs = [run for run_id in selection.run_ids if (run := self._reader.run(run_id))]
        else:
            runs = self._reader.runs(
                RunFilter(
                    user=selection.user,
                    session=selection.session,
                    since_ns=selection.since_ns,
                    until_ns=selection.until_ns,
                    limit=None,
                )
            )
        period = None
        trace_ids = {trace_id for run in runs for trace_id in run.trace_ids}
        if not selection.run_ids and not selection.user and not selection.session:
            period = (selection.since_ns, selection.until_ns)
            trace_ids |= self._traces_started(*period)
        groups = {run.group_id for run in runs} | self._reader.groups_of(trace_ids)
        run_ids = {run.run_id for run in runs}
        for ids in chunks(groups):
            given = {"ids": ids}
            for table in ("agent_steps", "agent_events"):
                trace_ids.update(self._column("TraceId", table, "GroupId IN %(ids)s", given))
            run_ids.update(self._column("RunId", "agent_runs", "GroupId IN %(ids)s", given))
            trace_ids.update(
                self._column("arrayJoin(TraceIds)", "agent_runs", "GroupId IN %(ids)s", given)
            )
        trace_ids.discard("")
        return Found(
            group_ids=frozenset(groups),
            run_ids=frozenset(run_ids),
            trace_ids=frozenset(trace_ids),
            period=period,
        )

    def erase(self, found: Found) -> dict[str, int]:
        """How many runs and traces were erased, and rows by kind; returns when they are gone.

        Raises StoreError also where the files of an embedded store still hold rewritten parts.
        """
        erased = {"runs": len(found.run_ids), "traces": len(found.trace_ids)}
        self._bury(found.tombstones)
        for ids in chunks(found.trace_ids):
            given = {"ids": ids, "ids_array": list(ids)}
            for name, (table, condition) in TABLES.items():
                erased[name] = erased.get(name, 0) + self._delete(table, condition, given)
        for ids in chunks(found.run_ids):
            named = self._delete("otel_logs", BY_RUN, {"ids": ids})
            erased["logs"] = erased.get("logs", 0) + named
        erased["events"] = self._delete_events(found)
        self._delete_runs(found)
        if found.period is not None:
            timed = between(*found.period)
            erased["logs"] = erased.get("logs", 0) + self._delete(
                "otel_logs", f"TraceId = ''{timed}", {}
            )
            erased["dead_letters"] = erased.get("dead_letters", 0) + self._delete(
                "dead_letters", f"1{timed}", {}
            )
        self._wait_for_files()
        erased.pop("traces_index", None)  # says nothing that `traces` does not
        return erased

    def _traces_started(self, since_ns: int | None, until_ns: int | None) -> set[str]:
        """Traces of the period, also those in which no agent acted."""
        conditions = ["1"]
        if since_ns is not None:
            conditions.append(f"min(Start) >= toDateTime({time_sql(since_ns)})")
        if until_ns is not None:
            conditions.append(f"min(Start) < {time_sql(until_ns)}")
        return set(
            self._store.column(
                "SELECT TraceId FROM otel_traces_trace_id_ts GROUP BY TraceId"
                f" HAVING {' AND '.join(conditions)}"
            )
        )

    def _column(self, what: str, table: str, condition: str, given: dict[str, Any]) -> list[Any]:
        return self._store.column(f"SELECT DISTINCT {what} FROM {table} WHERE {condition}", given)

    def _bury(self, tombstones: frozenset[str]) -> None:
        now = time.time_ns()
        ids = sorted(tombstones)
        self._store.insert_arrow(
            "trace_tombstones",
            pa.table(
                {
                    "TraceId": pa.array(ids, pa.string()),
                    "ErasedAt": pa.array([now] * len(ids), TIME),
                }
            ),
        )

    def _delete_events(self, found: Found) -> int:
        deleted = 0
        for column, wanted in (
            ("GroupId", found.group_ids),
            ("TraceId", found.trace_ids),
            ("RunId", found.run_ids),
        ):
            for ids in chunks(wanted):
                deleted += self._delete("agent_events", f"{column} IN %(ids)s", {"ids": ids})
        return deleted

    def _delete_runs(self, found: Found) -> None:
        """The rows go; a deleted one of the highest version, with nothing but ids, stays."""
        for ids in chunks(found.run_ids):
            # Another workspace may use the same id: only runs of these groups and traces are meant,
            # and rows of theirs that an earlier fold wrote under another group.
            given = {
                "ids": ids,
                "groups": tuple(found.group_ids),
                "traces": list(found.trace_ids),
            }
            condition = (
                f"RunId IN %(ids)s AND Version < {UINT64_MAX} AND (GroupId IN %(groups)s"
                " OR empty(TraceIds) OR hasAny(TraceIds, %(traces)s))"
            )
            keys = self._store.arrow(
                "SELECT DISTINCT RunId, GroupId, Workspace,"
                " toUnixTimestamp64Nano(StartTime) AS StartNs"
                f" FROM agent_runs WHERE {condition}",
                given,
            ).to_pylist()
            markers = [
                Removed(
                    run_id=key["RunId"],
                    group_id=key["GroupId"],
                    started_at_ns=key["StartNs"],
                    workspace=key["Workspace"],
                    revision=UINT64_MAX,
                )
                for key in keys
            ]
            self._delete("agent_runs", condition, given)
            if markers:
                for part in by_partition(rows.run_rows([], markers), "StartTime", MONTH):
                    self._store.insert_arrow("agent_runs", part)

    def _delete(self, table: str, condition: str, given: dict[str, Any]) -> int:
        """Delete rows and wait until no part has them; how many there were."""
        count = int(self._store.column(f"SELECT count() FROM {table} WHERE {condition}", given)[0])
        if count:
            self._store.command(
                f"ALTER TABLE {local_table(table, self._store.cluster)} DELETE WHERE {condition}",
                given,
                settings={"mutations_sync": 2},
            )
        return count

    def _wait_for_files(self) -> None:
        """Parts that were rewritten stay on disk for a moment; a server has its own policy."""
        if not self._store.embedded:
            return
        until = time.monotonic() + FILES_SECS
        while time.monotonic() < until:
            old = self._store.column(
                "SELECT count() FROM system.parts WHERE database = currentDatabase()"
                " AND NOT active AND table != 'schema_migrations'"  # it holds no one's text
            )
            if old[0] == 0:
                return
            time.sleep(POLL_SECS)
        raise StoreError(
            f"{self._store.url}: erased rows are gone from queries, but not yet from the files",
            "Repeat the command: it waits until the old files are deleted.",
        )
