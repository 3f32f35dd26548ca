"""Which runs: the filters of the command line and the API, and what they are in SQL.

Imports nothing heavy: the command line starts with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LIMIT_DEFAULT: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Newest first; "" and `None` stand for "any", comparisons are exact."""

    agent: str = ""
    workflow: str = ""
    task_type: str = ""
    status: str = ""
    stop_reason: str = ""
    session: str = ""
    conversation: str = ""
    user: str = ""
    request: str = ""
    trace: str = ""
    """Runs that have spans of this trace."""
    environment: str = ""
    version: str = ""
    """Of the agent or of the application."""
    workspace: str = ""
    """Set by the API for a tenant's key; not a filter that a request can name."""
    tags: Mapping[str, str] = field(default_factory=dict)
    since_ns: int | None = None
    """Started at or after this time."""
    until_ns: int | None = None
    """Started before this time."""
    limit: int | None = LIMIT_DEFAULT
    """`None` for all of them."""


COLUMNS: Final = {
    "agent": "AgentName",
    "workflow": "WorkflowName",
    "task_type": "TaskType",
    "status": "Status",
    "stop_reason": "StopReason",
    "session": "SessionId",
    "conversation": "ConversationId",
    "user": "UserId",
    "request": "RequestId",
    "environment": "Environment",
    "workspace": "Workspace",
}
"""Filter -> the column it equals."""


def where(wanted: RunFilter) -> tuple[str, dict[str, Any]]:
    """(` WHERE …`, parameters)."""
    conditions = ["1"]
    given: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        if value := getattr(wanted, name):
            conditions.append(f"{column} = %({name})s")
            given[name] = value
    if wanted.version:
        conditions.append("(AgentVersion = %(version)s OR AppVersion = %(version)s)")
        given["version"] = wanted.version
    if wanted.trace:
        conditions.append("has(TraceIds, %(trace)s)")
        given["trace"] = wanted.trace
    for index, (key, value) in enumerate(wanted.tags.items()):
        conditions.append(f"Tags[%(key{index})s] = %(value{index})s")
        given |= {f"key{index}": key, f"value{index}": value}
    period = between(wanted.since_ns, wanted.until_ns, "StartTime")
    return f" WHERE {' AND '.join(conditions)}{period}", given


def time_sql(ns: int) -> str:
    """Unix nanoseconds as a DateTime64(9)."""
    return f"fromUnixTimestamp64Nano({int(ns)}, 'UTC')"


def between(since_ns: int | None, until_ns: int | None, column: str = "Timestamp") -> str:
    """` AND …` for since <= column < until."""
    since = "" if since_ns is None else f" AND {column} >= {time_sql(since_ns)}"
    until = "" if until_ns is None else f" AND {column} < {time_sql(until_ns)}"
    return since + until
