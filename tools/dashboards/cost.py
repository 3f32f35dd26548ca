"""4. Cost and budgets: who spends what on what, what runs out, what is spent for nothing."""

from __future__ import annotations

from typing import Final

from tools.dashboards.build import Dashboard, Row, numbers, progress, rows, series, shares
from tools.dashboards.variables import many_runs

GLANCE: Final = (
    "cost_usd", "cost_per_run_usd", "cost_per_success_usd", "models_usd", "tools_usd",
    "payments_usd", "revenue_usd", "cached_share", "unknown_share",
)  # fmt: skip
BRIEF: Final = ("dimension", "cost_usd", "share", "runs", "cost_per_run_usd", "unknown_share")
STEPS: Final = ("dimension", "cost_usd", "share", "steps", "per_step_usd", "unknown")

COST: Final = Dashboard(
    uid="agentrun-cost",
    title="Cost and budgets",
    description="Who spends what on what, how far budgets are used up, what is spent for nothing.",
    variables=many_runs(),
    period="now-7d",
    rows=[
        Row(
            title="At a glance",
            panels=[
                numbers("cost-summary", 24, 5, by="all", only=GLANCE),
                series("cost-over-time", 12, 9, stacked=True),
                series("cost-kinds", 12, 9),
                rows("cost-summary", 24, 10, title="Groups side by side", sort="cost_usd"),
            ],
        ),
        Row(
            title="The tenth that eats the money",
            panels=[
                progress("cost-concentration", 8, 9),
                rows("cost-tenth", 16, 9),
                rows("cost-dearest", 24, 10),
            ],
        ),
        Row(
            title="Budgets and forecast",
            panels=[
                rows("cost-budgets", 24, 9),
                rows("cost-budgets-open", 12, 8),
                rows("cost-budget-limits", 12, 8),
                rows("cost-forecast", 24, 8),
            ],
        ),
        Row(
            title="Who spends it",
            panels=[
                rows("cost-summary", 12, by="agent", title="Agents", only=BRIEF),
                rows("cost-summary", 12, by="workflow", title="Workflows", only=BRIEF),
                rows("cost-summary", 12, by="user", title="Users", only=BRIEF),
                rows("cost-summary", 12, by="session", title="Sessions", only=BRIEF),
                rows("cost-summary", 8, by="virtual-key", title="Virtual keys", only=BRIEF),
                rows("cost-summary", 8, by="department", title="Departments", only=BRIEF),
                rows("cost-summary", 8, by="workspace", title="Workspaces", only=BRIEF),
            ],
        ),
        Row(
            title="What it is spent on",
            panels=[
                rows("cost-steps", 12, by="model", title="Models", only=STEPS),
                rows("cost-steps", 12, by="tool", title="Tools", only=STEPS),
                shares("cost-steps", 6, 10, by="kind", title="Kinds of step"),
                rows("cost-steps", 18, 10, by="step", title="Steps by kind and name"),
                rows("cost-models", 24, 10),
            ],
        ),
        Row(
            title="Lost and won",
            panels=[
                rows("cost-retries", 24, 8, by="step"),
                rows("cost-cache", 24, 7),
                shares("cost-confidence", 6),
                rows("cost-unknown", 18),
                rows("cost-margin", 12),
                rows("cost-payments", 12),
            ],
        ),
    ],
)  # fmt: skip
