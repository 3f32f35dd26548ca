"""9. Multi-agent: who works with whom, and where their chains break, are slow or dear."""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, graph, numbers, rows
from tools.dashboards.variables import many_runs

MULTI: Final = Dashboard(
    uid="agentrun-multi",
    title="Multi-agent",
    description="Tasks that several agents worked on. Filters are about the agent that began them.",
    variables=many_runs(),
    rows=[
        Row(
            title="Workflows",
            panels=[
                numbers("multi-summary", 24, 5),
                rows("multi-workflows", 24, 9),
            ],
        ),
        Row(
            title="Who works with whom",
            panels=[
                graph("multi-agents", 24, 16, title="Agents and links", edges="multi-links"),
                rows("multi-links", 24, 9),
                rows("multi-agents", 24, 9),
            ],
        ),
        Row(
            title="Where chains break, are slow or dear",
            panels=[
                rows("multi-broken", 24, 8),
                rows("multi-chains", 24, 8),
            ],
        ),
        Row(
            title="Handoffs",
            panels=[rows("multi-handoffs", 24, 8)],
        ),
        Row(
            title="Fan-out, votes, discarded outputs",
            panels=[
                rows("multi-fan-out", 12),
                rows("multi-aggregation", 12),
                rows("multi-votes", 24, 9),
            ],
        ),
    ],
)
