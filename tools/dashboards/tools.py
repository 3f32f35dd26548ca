"""6. Tools and failures: which tool fails how, where do runs get stuck, what is slow?"""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, numbers, rows, series
from tools.dashboards.variables import many_runs

GLANCE: Final = (
    "calls", "error_rate", "timeout_rate", "refused_rate", "retry_rate", "duration_p50_ms",
    "duration_p95_ms",
)  # fmt: skip

TOOLS: Final = Dashboard(
    uid="agentrun-tools",
    title="Tools and failures",
    description="Which tool fails how and in which version, what is retried, what is slow, where"
    " runs get stuck, and what failed runs failed of.",
    variables=many_runs(),
    rows=[
        Row(
            title="At a glance",
            panels=[
                numbers("tools-summary", 24, 5, by="all", only=GLANCE),
                series("tools-error-rate", 12),
                series("tools-error-types", 12, stacked=True),
                rows("tools-summary", 24, title="Calls side by side", sort="calls"),
            ],
        ),
        Row(
            title="Why runs fail",
            panels=[
                rows("tools-blame", 14),
                rows("tools-failures", 10),
                rows("tools-stuck", 24),
            ],
        ),
        Row(
            title="Errors, retries, checks",
            panels=[
                rows("tools-errors", 24),
                rows("tools-versions", 24),
                rows("tools-retries", 12),
                rows("tools-mistakes", 12),
                rows("tools-checks", 12),
                rows("tools-repeated", 12),
            ],
        ),
        Row(
            title="Slowness",
            panels=[
                rows("tools-latency-kinds", 12),
                series("tools-latency", 12),
                rows("tools-slow-steps", 14),
                rows("tools-slow-runs", 10),
            ],
        ),
    ],
)
