"""What the stored runs of one agent, user, ... have drawn together from a budget they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from collector.runs.windows import Wanted
from collector.store import rows
from collector.store.client import Store
from collector.store.filters import time_sql
from otel_agentrun.rules.budgets import WindowKey, field_of
from otel_agentrun.rules.schema import Budget

AMOUNTS: Final[Mapping[str, str]] = {
    "cost_usd": "sum(ModelCostNanoUsdTotal + ToolCostNanoUsdTotal + PaymentCostNanoUsdTotal) / 1e9",
    "tokens": "sum(InputTokensTotal + OutputTokensTotal)",
    "input_tokens": "sum(InputTokensTotal)",
    "output_tokens": "sum(OutputTokensTotal)",
    "steps": "sum(StepsTotal)",
    "model_calls": "sum(ModelCallsTotal)",
    "tool_calls": "sum(ToolCallsTotal)",
    "retrievals": "sum(RetrievalsTotal)",
    "retries": "sum(RetriesTotal)",
    "plan_steps": "sum(PlanStepsTotal)",
}
"""Measure of a budget -> what runs have drawn, of what is known (no estimates), in its unit."""
COLUMN_OF: Final = {field.attribute: field.column for field in rows.RUN}


def drawn(store: Store, budget: Budget, wanted: Wanted) -> dict[WindowKey, float]:
    """The sums of a budget's windows, without the runs that are not to be counted.

    Child runs are in the totals of their roots.  Raises StoreError.
    """
    found: dict[WindowKey, float] = dict.fromkeys(wanted, 0.0)
    together: dict[tuple[str, int], list[WindowKey]] = defaultdict(list)
    for key in wanted:
        together[key[1], key[3]].append(key)
    whose = COLUMN_OF[field_of(budget)]
    names = sorted(budget.match.names) if budget.match is not None else []
    columns = ", ".join([f"{whose} AS whose", *(f"{COLUMN_OF[n]} AS name_{n}" for n in names)])
    for (workspace, since_ns), keys in together.items():
        left_out = [run_id for key in keys for run_id in wanted[key]]
        given: dict[str, Any] = {"whose": [key[2] for key in keys], "workspace": workspace}
        given["left_out"] = left_out or [""]
        answer = store.query(
            f"SELECT {columns}, {AMOUNTS[budget.measure]} AS amount FROM agent_runs FINAL"
            f" WHERE toStartOfHour(StartTime) >= toStartOfHour({time_sql(since_ns)})"
            f" AND StartTime >= {time_sql(since_ns)} AND {whose} IN %(whose)s"
            " AND Workspace = %(workspace)s AND ParentRunId = '' AND RunId NOT IN %(left_out)s"
            f" AND StartTime < {_end_sql(budget.window, since_ns)} GROUP BY ALL",
            given,
        )
        for row in answer:
            if budget.match is None or budget.match({n: row[f"name_{n}"] for n in names}):
                key = (budget.name, workspace, str(row["whose"]), since_ns)
                found[key] += float(row["amount"])
    return found


def _end_sql(window: str, since_ns: int) -> str:
    return f"{time_sql(since_ns)} + INTERVAL 1 {window.upper()}"
