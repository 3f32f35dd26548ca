"""What the HTTP API and the command line share: the operations, and how their input is read.

`Operations` has two implementations: `collector.api.local` works on a store, inside a collector or
without one; `collector.api.remote` asks a running collector over HTTP.  Both take and return the
same values, so that `agentrun runs list` prints the same thing either way.  This module imports
nothing heavy: the command line starts with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from collector.api.values import TEXT_MAX, Document, RequestError, format_time, parse_time
from collector.store.filters import RunFilter

if TYPE_CHECKING:
    from collector.api.orders import ApprovalOperations, ControlOperations
    from collector.dashboards.stats import StatQuery
    from collector.ledger.query import LedgerOperations


FILTERS: Final[Mapping[str, str]] = {
    "agent": "agent name",
    "workflow": "workflow name",
    "task_type": "task type",
    "status": "initiated, running, paused, completed, failed, killed or timed_out",
    "stop_reason": "why the run stopped",
    "session": "session id",
    "conversation": "conversation id",
    "user": "user id",
    "request": "request id",
    "trace": "trace id: runs that have spans of this trace",
    "environment": "deployment environment",
    "version": "version of the agent or of the application",
}
"""Filter name -> what it compares with, exactly and case-sensitively.  `since`, `until`, `tag` and
`limit` have forms of their own."""

STATUSES: Final = frozenset(
    {"initiated", "running", "paused", "completed", "failed", "killed", "timed_out"}
)
LIMIT_MAX: Final = 100_000
COMMENT_MAX: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery(RunFilter):
    """Which runs to list, as a request or a command line names them."""

    def within(self, workspace: str) -> RunQuery:
        """The same query for a tenant: nothing of another workspace."""
        return replace(self, workspace=workspace)

    def parameters(self) -> list[tuple[str, str]]:
        """As query parameters of `GET /v1/runs`; `parse_query` reads them back."""
        pairs = [(name, value) for name in FILTERS if (value := getattr(self, name))]
        pairs += [("tag", f"{key}={value}") for key, value in self.tags.items()]
        pairs += _period(self.since_ns, self.until_ns)
        return [*pairs, ("limit", str(self.limit))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which runs to erase: ids, or everything that matches all other fields.  Never empty."""

    run_ids: tuple[str, ...] = ()
    user: str = ""
    session: str = ""
    since_ns: int | None = None
    until_ns: int | None = None

    def __post_init__(self) -> None:
        period = self.since_ns is not None or self.until_ns is not None
        by_filter = self.user or self.session or period
        if not self.run_ids and not by_filter:
            raise RequestError(
                "nothing selected: erasing needs run ids, or user, session, since or until",
                "Name what to erase; there is no way to erase everything by accident.",
            )
        if self.run_ids and by_filter:
            raise RequestError(
                "run ids and filters together are ambiguous",
                "Erase by run id, or by user, session, since and until.",
            )

    def parameters(self) -> list[tuple[str, str]]:
        """The filters as query parameters of `DELETE /v1/runs`."""
        pairs = [(name, value) for name in ("user", "session") if (value := getattr(self, name))]
        return pairs + _period(self.since_ns, self.until_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Somebody's or something's judgment of a run, at any time after it began."""

    run_id: str
    name: str
    """What is judged: `rating`, `helpful`, `downstream_completed`, ..."""
    score: float | None = None
    label: str = ""
    comment: str = ""

    def __post_init__(self) -> None:
        problems = []
        if not self.run_id:
            problems.append("run_id is missing")
        if not self.name.strip():
            problems.append("name is missing")
        if self.score is None and not self.label and not self.comment:
            problems.append("one of score, label and comment is needed")
        if self.score is not None and not math.isfinite(self.score):
            problems.append("score must be a finite number")
        for what, most in (("name", TEXT_MAX), ("label", TEXT_MAX), ("comment", COMMENT_MAX)):
            if len(getattr(self, what)) > most:
                problems.append(f"{what} is longer than {most} characters")
        if problems:
            raise RequestError("feedback: " + "; ".join(problems), "See docs/api.md, Feedback.")


class Operations(Protocol):
    """What can be done with runs.  Documents are JSON-ready.

    Raises RequestError for bad input, NotFoundError for an unknown run, StoreError when the store
    does not answer, RetryableError while the collector cannot take more.
    """

    def runs(self, query: RunQuery) -> list[Document]:
        """Run documents, newest first."""

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        """`{run, steps, events}`; an id that a later fold replaced resolves to its successor.

        `workspace` is the only one to look in; "" is all that the caller may see.
        """

    def explain(self, run_id: str, workspace: str = "") -> Document | None:
        """How each span of a run was read, and what was counted and why; see `run`."""

    def delete(self, selector: Selector, *, actor: str) -> Document:
        """Erase whole trace groups everywhere; what was erased, in numbers, and by whom."""

    def feedback(self, feedback: Feedback, *, actor: str) -> Document:
        """Record feedback and give the run a new revision; the recorded event."""

    def rules(self) -> Document:
        """The rules in force: `{version, file}`."""

    def backtest(self, rules: str, query: RunQuery) -> Document:
        """What a rules file (its text) would have done to the runs that are selected."""

    def suggest(self, query: RunQuery, percentile: float, margin: float) -> Document:
        """Budgets from the runs that are selected: `{file, yaml, groups}`."""

    def stats(self, stat: StatQuery) -> Document:
        """A figure of the dashboards: `{name, title, by, since, until, columns, rows, ...}`."""

    @property
    def control(self) -> ControlOperations:
        """What can be done about running agents."""

    @property
    def approvals(self) -> ApprovalOperations:
        """What people are asked."""

    @property
    def ledger(self) -> LedgerOperations:
        """The decision ledger."""

    def doctor(self) -> list[Document]:
        """Findings `{check, status (ok | warn | fail), message, hint}` of what can be seen here."""


def parse_query(pairs: Iterable[tuple[str, str]], *, now_ns: int) -> RunQuery:
    """Query parameters as a `RunQuery`.  Raises one RequestError that names all problems."""
    fields, tags, problems = _read(pairs, now_ns, FILTERS, known=("tag", "limit"))
    if fields.get("status", "") not in STATUSES | {""}:
        problems.append(f"status: {fields['status']!r} is none of {', '.join(sorted(STATUSES))}")
    if problems:
        raise RequestError("; ".join(problems), "Filters are listed in docs/api.md.")
    return RunQuery(tags=tags, **fields)


def parse_selector(pairs: Iterable[tuple[str, str]], *, now_ns: int) -> Selector:
    """Query parameters of `DELETE /v1/runs` as a `Selector`.  Raises RequestError."""
    fields, _, problems = _read(pairs, now_ns, ("user", "session"), known=())
    if problems:
        raise RequestError("; ".join(problems), "Erasing takes user, session, since and until.")
    return Selector(**fields)


def _read(
    pairs: Iterable[tuple[str, str]],
    now_ns: int,
    exact: Iterable[str],
    *,
    known: Sequence[str],
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """(fields, tags, problems)."""
    exact = frozenset(exact)
    fields: dict[str, Any] = {}
    tags: dict[str, str] = {}
    problems: list[str] = []
    for name, value in pairs:
        if name not in exact and name not in ("since", "until", *known):
            names = ", ".join((*sorted(exact), "since", "until", *known))
            problems.append(f"unknown filter {name!r}; there are {names}")
        elif not value or len(value) > TEXT_MAX:
            problems.append(f"{name}: expected 1 to {TEXT_MAX} characters, got {len(value)}")
        elif name == "tag":
            key, equals, tag = value.partition("=")
            if not key or not equals:
                problems.append(f"tag: expected KEY=VALUE, got {value!r}")
            tags[key] = tag
        elif name in fields or f"{name}_ns" in fields:
            problems.append(f"{name}: given more than once")
        elif name in ("since", "until"):
            try:
                fields[f"{name}_ns"] = parse_time(value, now_ns)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        elif name == "limit":
            if value.isascii() and value.isdecimal() and 1 <= int(value) <= LIMIT_MAX:
                fields[name] = int(value)
            else:
                problems.append(f"limit: expected 1 to {LIMIT_MAX}, got {value!r}")
        else:
            fields[name] = value
    if "until_ns" in fields and fields["until_ns"] <= fields.get("since_ns", -1):
        problems.append("until: must be later than since")
    return fields, tags, problems


def _period(since_ns: int | None, until_ns: int | None) -> list[tuple[str, str]]:
    bounds = (("since", since_ns), ("until", until_ns))
    return [(name, format_time(time_ns)) for name, time_ns in bounds if time_ns is not None]
