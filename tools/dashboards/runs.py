"""2. Runs: find the one to look at."""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, rows, series
from tools.dashboards.variables import many_runs, picked, queried, typed, values_of

STATUSES: Final = (
    "initiated", "running", "paused", "completed", "failed", "killed", "timed_out",
)  # fmt: skip
OUTCOMES: Final = ("success", "soft_failure", "process_failure", "failure")

RUNS: Final = Dashboard(
    uid="agentrun-runs",
    title="Runs",
    description="Runs, filtered; each leads to its own page.",
    variables=[
        *many_runs(),
        queried("model", values_of("arrayJoin(Models)")),
        queried("tool", values_of("arrayJoin(Tools)")),
        queried("department", values_of("Department")),
        queried("virtual_key", values_of("VirtualKey")),
        picked("status", STATUSES),
        queried("stop_reason", values_of("StopReason")),
        picked("outcome", OUTCOMES),
        typed("tag", "Tag (key=value)"),
        typed("min_cost", "Cost from, USD"),
        typed("id", "Run, request, conversation or trace id"),
    ],
    rows=[
        Row(
            title="Runs",
            panels=[
                series("runs-by-status", 24, 6, stacked=True, words=True),
                rows("runs-list", 24, 26),
            ],
        )
    ],
)
