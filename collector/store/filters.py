"""Which runs: the filters of the command line and the API as conditions over `agent_runs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol


class Wanted(Protocol):
    """What `RunFilter` has; `collector.api.service.RunQuery` has it too."""

    @property
    def agent(self) -> str: ...
    @property
    def workflow(self) -> str: ...
    @property
    def task_type(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def stop_reason(self) -> str: ...
    @property
    def session(self) -> str: ...
    @property
    def conversation(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def request(self) -> str: ...
    @property
    def trace(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def workspace(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def since_ns(self) -> int | None: ...
    @property
    def until_ns(self) -> int | None: ...
    @property
    def limit(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """ "" and `None` are "any"; comparisons are exact."""

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
    tags: Mapping[str, str] = field(default_factory=dict)
    since_ns: int | None = None
    """Started at or after."""
    until_ns: int | None = None
    """Started before."""
    limit: int | None = 50
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


def where(wanted: Wanted) -> tuple[str, dict[str, Any]]:
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
