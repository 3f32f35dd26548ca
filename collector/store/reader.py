"""Questions to the store, answered with values; only the newest version of a row counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from collector.runs.assembler import Tie
from collector.runs.events import APPROVAL_REQUESTED, DECISION
from collector.runs.run import PlacedStep, Run
from collector.store import raw, rows
from collector.store.client import Store, chunks
from collector.store.filters import RunFilter, between, time_sql, where
from otel_agentrun.step import Event, SpanView

__all__ = ["Reader", "RunFilter"]

OPEN: Final = ("initiated", "running", "paused")
HOPS_MAX: Final = 16
"""A run replaced by a run that was replaced by ..."""
SECOND_NS: Final = 1_000_000_000
STEP_SELECT: Final = f"SELECT {rows.select_list(rows.STEP_COLUMNS)} FROM agent_steps FINAL"
RUN_SELECT: Final = f"SELECT {rows.select_list(rows.RUN_COLUMNS)} FROM agent_runs FINAL"
EVENT_SELECT: Final = f"SELECT {rows.select_list(rows.EVENT_COLUMNS)} FROM agent_events FINAL"


TIED_NS: Final = 6 * 3600 * 10**9
"""A call of a client is looked for among runs that began within so long of it."""


class Reader:
    """Every method raises StoreError.  Safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # What the assembler asks

    def known_traces(self, trace_ids: Iterable[str]) -> set[str]:
        """Those of which anything is stored."""
        return self._traces(trace_ids, "")

    def traces_of_others(self, trace_ids: Iterable[str], writer_id: int) -> set[str]:
        """Those that another collector process wrote spans of: it may have folded less than all."""
        return self._traces(trace_ids, f" AND arrayExists(w -> w != {int(writer_id)}, Writers)")

    def _traces(self, trace_ids: Iterable[str], condition: str) -> set[str]:
        found: set[str] = set()
        for ids in chunks(trace_ids):
            found.update(
                self.store.column(
                    "SELECT DISTINCT TraceId FROM otel_traces_trace_id_ts"
                    f" PREWHERE TraceId IN %(ids)s WHERE 1{condition}",
                    {"ids": ids},
                )
            )
        return found

    def linking_traces(self, trace_ids: Iterable[str]) -> set[str]:
        """Those with a span that links to one of these stored traces."""
        found: set[str] = set()
        for ids in chunks(trace_ids):
            found.update(
                self.store.column(
                    "SELECT DISTINCT TraceId FROM otel_traces"
                    " WHERE arrayExists(id -> id IN %(ids)s, `Links.TraceId`)"
                    + between(*self._period(ids)),
                    {"ids": ids},
                )
            )
        return found

    def tombstones(self, trace_ids: Iterable[str]) -> set[str]:
        """Those that were erased: their spans are refused."""
        found: set[str] = set()
        for ids in chunks(trace_ids):
            found.update(
                self.store.column(
                    "SELECT DISTINCT TraceId FROM trace_tombstones WHERE TraceId IN %(ids)s",
                    {"ids": ids},
                )
            )
        return found

    def erased_traces(self) -> set[str]:
        """Every erased trace, to be held in memory by the collector."""
        return set(self.store.column("SELECT DISTINCT TraceId FROM trace_tombstones"))

    def groups_of(
        self,
        trace_ids: Iterable[str] = (),
        *,
        run_ids: Iterable[tuple[str, str]] = (),
        conversation_ids: Iterable[tuple[str, str]] = (),
        session_ids: Iterable[tuple[str, str]] = (),
        ties: Iterable[Tie] = (),
    ) -> set[str]:
        """Trace groups that have steps or events of these traces, or runs with these
        (workspace, id) pairs."""
        found: set[str] = set()
        for ids in chunks(trace_ids):
            since, until = self._period(ids)
            for table in ("agent_steps", "agent_events"):
                found.update(
                    self.store.column(
                        f"SELECT DISTINCT GroupId FROM {table} FINAL WHERE TraceId IN %(ids)s"
                        + (between(since, until) if table == "agent_steps" else ""),
                        {"ids": ids},
                    )
                )
        for column, pairs in (
            ("RunId", run_ids),
            ("ConversationId", conversation_ids),
            ("SessionId", session_ids),
        ):
            found |= self._named(f"agent_runs FINAL WHERE {column} IN %(ids)s", pairs)
        if ties := list(ties):
            times = [tie.at_ns for tie in ties]
            near = between(min(times) - TIED_NS, max(times) + TIED_NS, "StartTime")
            # Without FINAL, which takes twice as long: the group of an outdated row is no harm.
            found |= self._named(
                f"agent_runs WHERE arrayExists(id -> id IN %(ids)s, TieIds){near}",
                [(tie.workspace, tie.name) for tie in ties],
            )
        found.discard("")
        return found

    def _named(self, source: str, pairs: Iterable[tuple[str, str]]) -> set[str]:
        """Groups of the rows of `source` that have one of these ids in its workspace."""
        by_workspace: dict[str, list[str]] = {}
        for workspace, value in pairs:
            by_workspace.setdefault(workspace, []).append(value)
        found: set[str] = set()
        for workspace, values in by_workspace.items():
            for ids in chunks(values):
                found.update(
                    self.store.column(
                        f"SELECT DISTINCT GroupId FROM {source} AND Workspace = %(workspace)s",
                        {"ids": ids, "workspace": workspace},
                    )
                )
        return found

    def load_group(
        self, group_ids: Iterable[str]
    ) -> tuple[list[PlacedStep], list[tuple[Event, str]], list[Run]]:
        """Steps, (event, run id) and runs of trace groups, to be folded again."""
        steps: list[PlacedStep] = []
        events: list[tuple[Event, str]] = []
        runs: list[Run] = []
        for ids in chunks(group_ids):
            given = {"ids": ids}
            where = " WHERE GroupId IN %(ids)s"
            steps += rows.placed_steps(self.store.arrow(STEP_SELECT + where, given))
            events += rows.events_of(self.store.arrow(EVENT_SELECT + where, given))
            runs += rows.runs_of(self.store.arrow(RUN_SELECT + where, given))
        return steps, events, runs

    def open_runs(self, since_ns: int = 0) -> list[Run]:
        """Runs that have not ended, for a restart; their groups are to be loaded."""
        return rows.runs_of(
            self.store.arrow(
                RUN_SELECT + f" WHERE Status IN %(open)s AND StartTime >= {time_sql(since_ns)}",
                {"open": OPEN},
            )
        )

    # What people ask

    def runs(self, wanted: RunFilter) -> list[Run]:
        """Newest first."""
        condition, given = where(wanted)
        limit = "" if wanted.limit is None else f" LIMIT {int(wanted.limit)}"
        order = " ORDER BY StartTime DESC, RunId"
        return rows.runs_of(self.store.arrow(RUN_SELECT + condition + order + limit, given))

    def run(self, run_id: str, workspace: str = "") -> Run | None:
        """An id that a later fold replaced resolves to the run that took its steps.

        `workspace` is the only one to look in; "" is all: two may use one id, the newest is meant.
        """
        within = " AND Workspace = %(workspace)s" if workspace else ""
        seen: set[str] = set()
        while run_id and run_id not in seen and len(seen) < HOPS_MAX:
            seen.add(run_id)
            given = {"id": run_id, "workspace": workspace}
            # The key holds the start, so that two collectors may leave two rows: the newest counts.
            found = rows.runs_of(
                self.store.arrow(
                    RUN_SELECT + f" WHERE RunId = %(id)s{within} ORDER BY Version DESC LIMIT 1",
                    given,
                )
            )
            if found:
                return found[0]
            run_id = self.store.query(
                "SELECT argMax(ReplacedBy, Version) AS Heir FROM agent_runs"
                f" WHERE RunId = %(id)s{within} AND IsDeleted AND ReplacedBy != ''",
                given,
            )[0]["Heir"]
        return None

    def steps(self, runs: Sequence[Run]) -> list[PlacedStep]:
        """Steps of these runs by (start time, span id); a child run's root is one of them too."""
        if not runs:
            return []
        found: list[PlacedStep] = []
        # A run may start after its first step: what its root was given lies before the root.
        since = min(run.started_at_ns for run in runs) - SECOND_NS
        run_ids = tuple(run.run_id for run in runs)
        groups = tuple({run.group_id for run in runs})
        traces = {trace_id for run in runs for trace_id in run.trace_ids}
        for ids in chunks(traces):
            found += rows.placed_steps(
                self.store.arrow(
                    STEP_SELECT + " WHERE TraceId IN %(ids)s"
                    " AND GroupId IN %(groups)s"
                    f" AND (RunId IN %(runs)s OR ChildRunId IN %(runs)s){between(since, None)}",
                    {"ids": ids, "runs": run_ids, "groups": groups},
                )
            )
        return sorted(found, key=lambda placed: placed.step.key)

    def events(self, runs: Sequence[Run]) -> list[tuple[Event, str]]:
        """(event, run id) of these runs, by time."""
        found: list[tuple[Event, str]] = []
        groups = tuple({run.group_id for run in runs})
        for ids in chunks(run.run_id for run in runs):
            found += rows.events_of(
                self.store.arrow(
                    EVENT_SELECT + " WHERE RunId IN %(ids)s AND GroupId IN %(groups)s",
                    {"ids": ids, "groups": groups},
                )
            )
        return sorted(found, key=lambda pair: (pair[0].at_ns, pair[0].event_id))

    def approval_events(self, runs: Sequence[Run]) -> list[tuple[Event, str]]:
        """(event, run id): what people were asked in these runs, and every decision."""
        found: list[tuple[Event, str]] = []
        groups = tuple({run.group_id for run in runs})
        names = (APPROVAL_REQUESTED, DECISION)
        for ids in chunks(run.run_id for run in runs):
            found += rows.events_of(
                self.store.arrow(
                    EVENT_SELECT + " WHERE RunId IN %(ids)s AND GroupId IN %(groups)s"
                    " AND Name IN %(names)s",
                    {"ids": ids, "groups": groups, "names": names},
                )
            )
        return found

    def spans(
        self,
        trace_ids: Collection[str],
        span_ids: Collection[str] | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> list[SpanView]:
        """Raw spans with all attributes, events and links; starts within the times when given.

        None of a trace whose raw data has expired.
        """
        return raw.read_spans(self.store, trace_ids, span_ids, since_ns, until_ns)

    def logs(
        self,
        trace_ids: Collection[str],
        span_ids: Collection[str] | None = None,
        *,
        since_ns: int | None = None,
    ) -> list[Event]:
        """Log records of these traces (and spans) as events, by time."""
        return raw.read_logs(self.store, trace_ids, span_ids, since_ns)

    def _period(self, trace_ids: Sequence[str]) -> tuple[int | None, int | None]:
        """First and last start of these traces' spans, and of those that link to them; (None, None)
        where some are not indexed."""
        row = self.store.query(
            "SELECT uniqExact(TraceId) AS traces, toInt64(toUnixTimestamp(min(Start))) AS first,"
            " toInt64(toUnixTimestamp(max(End))) AS last"
            " FROM otel_traces_trace_id_ts WHERE TraceId IN %(ids)s",
            {"ids": trace_ids},
        )[0]
        if row["traces"] < len(trace_ids):
            return None, None
        return row["first"] * SECOND_NS, (row["last"] + 1) * SECOND_NS
