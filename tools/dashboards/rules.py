"""5. Loops and policies: what rules found, whether they were right, what was stopped and asked."""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, numbers, rows, series
from tools.dashboards.variables import many_runs

GLANCE: Final = (
    "runs", "found", "found_share", "loops", "over_budget", "policies", "process_failures",
    "stopped_by_rules", "stopped_by_people", "not_approved", "paused", "cost_share",
)  # fmt: skip

RULES: Final = Dashboard(
    uid="agentrun-rules",
    title="Loops and policies",
    description="What rules found, whether they were right, what was stopped, who was asked.",
    variables=many_runs(),
    period="now-7d",
    rows=[
        Row(
            title="At a glance",
            panels=[
                numbers("rules-summary", 24, 5, by="all", only=GLANCE),
                series("rules-over-time", 12, 9, stacked=True),
                rows("rules-summary", 12, 9, title="Groups side by side", sort="found"),
            ],
        ),
        Row(
            title="What rules found, and whether it was right",
            panels=[
                rows("rules-findings", 24, 10),
                rows("rules-loops", 24, 8),
                rows("rules-newest", 24, 12),
            ],
        ),
        Row(
            title="What was stopped",
            panels=[
                rows("rules-stops", 24, 7),
                rows("rules-stopped", 24, 9),
                rows("rules-directives", 24, 9),
            ],
        ),
        Row(
            title="Who was asked, who decided",
            panels=[
                rows("rules-waiting", 24, 7),
                rows("rules-approvals", 24, 7),
                rows("rules-decisions", 12, 9),
                rows("rules-ledger", 12, 9),
            ],
        ),
    ],
)  # fmt: skip
