"""8. Versions: what a change of prompt, policy, tools, route, model, index or application did."""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, rows, series
from tools.dashboards.variables import many_runs

VERSIONS: Final = Dashboard(
    uid="agentrun-versions",
    title="Versions",
    description="Before and after a change of version: success, cost, steps, failures, complaints.",
    variables=many_runs(),
    period="now-7d",
    rows=[
        Row(
            title="What changed",
            panels=[rows("versions-every", 24, 9)],
        ),
        Row(
            title="Before and after",
            panels=[
                rows("versions-changes", 24, 14),
                rows("versions-failures", 24, 8),
            ],
        ),
        Row(
            title="Side by side",
            panels=[
                rows("versions-summary", 24, 9),
                series("versions-success", 12),
                series("versions-volume", 12, stacked=True),
            ],
        ),
        Row(
            title="Who complained",
            panels=[rows("versions-complaints", 24, 9)],
        ),
    ],
)
