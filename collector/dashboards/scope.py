"""What figures can be grouped by, filtered by and limited to.

One table each for runs and steps, so that the command line, the API and every dashboard agree on
what "by version" means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from collector.dashboards.macros import quoted
from collector.dashboards.retrievals import retrievals
from collector.dashboards.versions import COMPLAINT, EVERY_VERSION, VERSIONS

RUNS: Final[Mapping[str, str]] = {
    "all": "''",
    "agent": "AgentName",
    "workflow": "WorkflowName",
    "task-type": "TaskType",
    "model": "arrayJoin(emptyArrayToSingle(Models))",
    "tool": "arrayJoin(emptyArrayToSingle(Tools))",
    "user": "UserId",
    "session": "SessionId",
    "virtual-key": "VirtualKey",
    "department": "Department",
    "workspace": "Workspace",
    "environment": "Environment",
    "version": "if(AgentVersion != '', AgentVersion, AppVersion)",
}
"""Dimension -> expression over `runs`.  By model or tool a run counts once for each it used."""

STEPS: Final[Mapping[str, str]] = {
    "all": "''",
    "agent": "AgentName",
    "model": "Model",
    "tool": "ToolName",
    "step": "if(ToolName != '', ToolName, if(Model != '', Model, Name))",
    "kind": "Kind",
}
"""Dimension -> expression over `steps`, without a look at their runs."""

RUNS_OF_STEPS: Final[Mapping[str, str]] = {
    **STEPS,
    "workflow": "run.WorkflowName",
    "task-type": "run.TaskType",
    "user": "run.UserId",
    "session": "run.SessionId",
    "virtual-key": "run.VirtualKey",
    "department": "run.Department",
    "workspace": "run.Workspace",
    "environment": "run.Environment",
    "version": "if(run.AgentVersion != '', run.AgentVersion, run.AppVersion)",
}
"""Dimension -> expression over `steps`, joined with `runs AS run`."""

OWNERS: Final = {name: sql for name, sql in RUNS.items() if name not in ("model", "tool")}
"""Those of `RUNS` of which a run has one: their groups add up, so money is split by them."""

DIMENSIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "runs": RUNS,
    "owners": OWNERS,
    "steps": STEPS,
    "steps-and-runs": RUNS_OF_STEPS,
    "versions": VERSIONS,
}
"""What a query's header names as its `dimensions`."""

FILTERS: Final[Mapping[str, str]] = {
    "environment": "Environment",
    "workspace": "Workspace",
    "agent": "AgentName",
    "workflow": "WorkflowName",
    "task_type": "TaskType",
    "version": "if(AgentVersion != '', AgentVersion, AppVersion)",
    "user": "UserId",
    "session": "SessionId",
}
"""Variable of every dashboard of many runs -> expression over `runs`."""


LIST_FILTERS: Final[Mapping[str, str]] = {
    "model": "hasAny(Models, [${model:sqlstring}])",
    "tool": "hasAny(Tools, [${tool:sqlstring}])",
    "department": "Department IN (${department:sqlstring})",
    "virtual_key": "VirtualKey IN (${virtual_key:sqlstring})",
    "status": "Status IN (${status:sqlstring})",
    "stop_reason": "StopReason IN (${stop_reason:sqlstring})",
    "outcome": "Outcome IN (${outcome:sqlstring})",
    "tag": "has(arrayMap((name, text) -> concat(name, '=', text), mapKeys(Tags), mapValues(Tags)),"
    " ${tag:sqlstring})",
    "min_cost": "$level.CostUsd >= toFloat64OrZero(${min_cost:sqlstring})",
    "id": "(RunId = ${id:sqlstring} OR RequestId = ${id:sqlstring}"
    " OR ConversationId = ${id:sqlstring} OR has(TraceIds, ${id:sqlstring}))",
}
"""Variable of the list of runs, beside `FILTERS` -> condition."""


def _condition(name: str, expression: str) -> str:
    return f"$__conditionalAll({expression} IN (${{{name}:sqlstring}}), ${name})"


def _run_filters() -> str:
    return "\n  AND ".join(_condition(name, sql) for name, sql in FILTERS.items())


def _step_filters() -> str:
    """An agent's name is a column of steps; the rest is looked up among the runs of the period (and
    of the day before: a run may have begun earlier than its steps) only where it is asked for."""
    found = [_condition("agent", "AgentName")]
    for name, expression in FILTERS.items():
        if name != "agent":
            runs = (
                "RunId IN (SELECT RunId FROM $database.agent_runs"
                " WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime"
                f" AND {expression} IN (${{{name}:sqlstring}}))"
            )
            found.append(f"$__conditionalAll({runs}, ${name})")
    return "\n  AND ".join(found)


LEVELS: Final[Mapping[str, str]] = {"tasks": "Tasks", "every": "Every run"}
"""Variable `level` -> its label.  A task is a run without parent, with all that its descendants
used; of `every` run its own share counts, which is how a single agent of several is looked at."""
_TASKS: Final = "(${level:sqlstring} = 'every' OR ParentRunId = '')"
_TOTALS: Final = (
    "Steps", "PlanSteps", "ModelCalls", "ModelErrors", "ToolCalls", "ToolErrors", "Retrievals",
    "Validations", "Retries", "Handoffs", "InputTokens", "OutputTokens", "CacheReadTokens",
    "CostUsd", "ModelCostNanoUsd", "ToolCostNanoUsd", "PaymentCostNanoUsd", "RevenueNanoUsd",
    "CacheWriteTokens", "CostConfidence",
)  # fmt: skip


def _of_level(column: str) -> str:
    return f"if(${{level:sqlstring}} = 'every', {column}, {column}Total)"


_DRAWN: Final[Mapping[str, str]] = {
    "cost_usd": "CostUsdTotal",
    "tokens": "InputTokensTotal + OutputTokensTotal",
    "input_tokens": "InputTokensTotal",
    "output_tokens": "OutputTokensTotal",
    "steps": "StepsTotal",
    "model_calls": "ModelCallsTotal",
    "tool_calls": "ToolCallsTotal",
    "retrievals": "RetrievalsTotal",
    "retries": "RetriesTotal",
    "plan_steps": "PlanStepsTotal",
}
"""Measure of a budget that runs can share -> what one run drew; others are each run's own."""


def _budget_own() -> str:
    drawn = ", ".join(f"budget.2 = '{kind}', toFloat64({sql})" for kind, sql in _DRAWN.items())
    return f"multiIf({drawn}, budget.4)"


FRAGMENTS: Final[Mapping[str, str]] = {
    "$complaint": COMPLAINT,
    "$every_version": EVERY_VERSION,
    "$list_filters": "\n  AND ".join(
        f"$__conditionalAll({condition}, ${name})" for name, condition in LIST_FILTERS.items()
    ),
    "$run_filters": _TASKS + "\n  AND " + _run_filters(),
    "$each_run_filters": _run_filters(),
    **{f"$level.{column}": _of_level(column) for column in _TOTALS},
    "$step_filters": _step_filters(),
    "$retrievals": retrievals(_step_filters()),
    "$budget_own": _budget_own(),
}
"""What a query file writes -> what stands in its panel.  `$level.Steps` is the column or its total,
as `level` says; `$each_run_filters` are the filters of runs at any level; `$budget_own` is what a
run by itself drew from `budget`, a tuple of `Budgets`."""

TABLE: Final = re.compile(r"\$database\.(\w+)( FINAL)?")
"""How every query names a table."""

_OF_TRACES: Final = (
    "TraceId IN (SELECT arrayJoin(TraceIds) FROM {database}.agent_runs FINAL"
    " WHERE Workspace = {workspace})"
)
_OF_SPANS: Final = _OF_TRACES + " AND IngestAttributes['agentrun.workspace'] IN ('', {workspace})"
"""Of a trace that two workspaces share, each sees what its own keys sent."""
_OF_RUNS: Final = (
    "(RunId, GroupId) IN (SELECT RunId, GroupId FROM {database}.agent_runs FINAL"
    " WHERE Workspace = {workspace})"
)
WITHIN: Final[Mapping[str, str]] = {
    "runs": "Workspace = {workspace}",
    "agent_runs": "Workspace = {workspace}",
    "steps": _OF_RUNS,
    "agent_steps": _OF_RUNS,
    "agent_events": _OF_RUNS,
    "agent_feedback": _OF_RUNS,
    "otel_traces": _OF_SPANS,
    "otel_logs": _OF_SPANS,
    "agent_content": _OF_TRACES,
}
"""Table or view -> which of its rows belong to one workspace.  Others are not for tenants."""


def tables_within(sql: str, database: str, workspace: str) -> str:
    """The query over one workspace's rows alone, whatever it filters by itself.

    Raises ValueError for a table that belongs to no workspace.
    """

    def limited(match: re.Match[str]) -> str:
        condition = WITHIN.get(match[1])
        if condition is None:
            raise ValueError(f"{match[1]} holds rows of all workspaces")
        where = condition.format(database=database, workspace=quoted(workspace))
        final = " FINAL" if match[2] else ""
        return f"(SELECT * FROM $database.{match[1]}{final} WHERE {where})"

    return TABLE.sub(limited, sql)
