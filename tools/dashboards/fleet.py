"""1. Fleet: are the agents well, what do they cost, what changed?"""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, numbers, rows, series, shares
from tools.dashboards.variables import many_runs

GLANCE: Final = (
    "runs", "success_rate", "worked_out_rate", "duration_p50_ms", "duration_p95_ms", "cost_usd",
    "cost_per_run_usd", "cost_per_success_usd", "retries_per_run",
)  # fmt: skip
BRIEF: Final = ("dimension", "runs", "success_rate", "duration_p95_ms", "cost_usd")

FLEET: Final = Dashboard(
    uid="agentrun-fleet",
    title="Fleet",
    description="All agents together: volume, success, duration, cost, failures, what changed.",
    variables=many_runs(),
    rows=[
        Row(
            title="At a glance",
            panels=[
                numbers("fleet-summary", 24, 5, by="all", only=GLANCE),
                series("fleet-volume", 12, stacked=True, words=True),
                series("fleet-success", 12),
                series("fleet-duration", 12),
                series("fleet-cost-per-run", 12),
            ],
        ),
        Row(
            title="By group",
            panels=[
                rows("fleet-summary", 24, 10, title="Groups side by side", sort="runs"),
                series("fleet-cost", 12, stacked=True),
                rows("fleet-movers", 12, 8),
            ],
        ),
        Row(
            title="How runs end",
            panels=[
                shares("fleet-stop-reasons", 8),
                rows("fleet-failure-modes", 16),
                rows("fleet-outcomes", 12),
                rows("fleet-open", 12),
            ],
        ),
        Row(
            title="How runs go",
            panels=[
                rows("fleet-calls", 12, by="all"),
                rows("fleet-retries", 12, by="step"),
                rows("fleet-decisions", 12),
                rows("fleet-execution", 12),
            ],
        ),
        Row(
            title="Who asks for what",
            panels=[
                rows("fleet-task-types", 24),
                rows("fleet-summary", 12, by="workflow", title="Workflows", only=BRIEF),
                rows("fleet-summary", 12, by="user", title="Users", only=BRIEF),
            ],
        ),
    ],
)
