"""3. Run: everything about one, in the order of the questions a person asks (S5.77)."""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, numbers, progress, records, rows, spans
from tools.dashboards.variables import source, typed

RUN: Final = Dashboard(
    uid="agentrun-run",
    title="Run",
    description="One run: what was asked, what it did, what went wrong, why it stopped, its cost.",
    variables=[*source(), typed("run", "Run id")],
    rows=[
        Row(
            title="What became of it",
            panels=[
                numbers(
                    "run-header", 24, 4,
                    only=("duration_ms", "cost_usd", "steps", "model_calls", "tool_calls",
                          "retrievals", "retries", "input_tokens", "output_tokens", "findings"),
                ),
                rows("run-header", 24, 3, title="Status and own share",
                     only=("status", "outcome", "own_cost_usd", "findings")),
                rows("run-facts", 10, 14),
                rows("run-asked-answered", 14, 14),
            ],
        ),
        Row(
            title="What it did",
            panels=[
                spans("run-waterfall", 24, 16),
                rows("run-steps", 24, 16),
                rows("run-family", 24, 6),
            ],
        ),
        Row(
            title="What went wrong, what was decided",
            panels=[
                rows("run-errors", 12, 8),
                rows("run-findings", 12, 8),
                rows("run-decisions", 24, 8),
            ],
        ),
        Row(
            title="What it used",
            panels=[
                progress("run-usage", 12, 8),
                rows("run-budgets", 12, 8),
            ],
        ),
        Row(
            title="What models and tools saw",
            panels=[
                rows("run-prompts", 12, 7),
                rows("run-retrieval", 12, 7),
                rows("run-content", 24, 18),
                records("run-logs", 24, 10),
            ],
        ),
    ],
)  # fmt: skip
