"""7. Retrieval: is something found, is it good, is it current, does it help?"""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, bars, numbers, rows, series
from tools.dashboards.variables import many_runs

GLANCE: Final = (
    "retrievals", "miss_rate", "documents", "error_rate", "duration_p50_ms", "duration_p95_ms",
    "runs",
)  # fmt: skip

RETRIEVAL: Final = Dashboard(
    uid="agentrun-retrieval",
    title="Retrieval",
    description="What is searched for and found: misses, scores, documents and their age, filters,"
    " latency, and whether it helps.",
    variables=many_runs(),
    rows=[
        Row(
            title="At a glance",
            panels=[
                numbers("retrieval-summary", 24, 5, by="all", only=GLANCE),
                series("retrieval-misses", 12),
                series("retrieval-latency", 12),
                rows("retrieval-summary", 12, title="Retrievals side by side", sort="retrievals"),
                rows("retrieval-outcomes", 12),
            ],
        ),
        Row(
            title="Documents",
            panels=[
                rows("retrieval-documents", 24, 10),
                rows("retrieval-age", 24),
            ],
        ),
        Row(
            title="Scores and filters",
            panels=[
                rows("retrieval-scores", 16),
                bars("retrieval-score-spread", 8),
                rows("retrieval-settings", 24),
                rows("retrieval-removed", 12),
                rows("retrieval-nothing", 12),
            ],
        ),
    ],
)
