"""The rules that apply without a rules file: they flag, and never stop anything.

Limits are far above what runs that do well reach (docs/rules.md says how they were chosen).
"""

from __future__ import annotations

from typing import Final

from otel_agentrun.rules.schema import Budget, Loop, Policy, RulesFile

__all__ = ["DEFAULTS"]

DEFAULTS: Final = RulesFile(
    budgets=(
        Budget(name="run-cost", measure="cost_usd", limit=10.0),
        Budget(name="run-steps", measure="steps", limit=500),
        Budget(name="run-time", measure="wall_secs", limit=7200),
        Budget(name="run-depth", measure="depth", limit=8),
    ),
    loops=(
        Loop(name="repeated-call", pattern="repeated_call", limit=4),
        Loop(name="cycle", pattern="cycle", limit=3, period_max=3),
        Loop(name="long-cycle", pattern="cycle", limit=2, period_min=4),
        Loop(name="near-duplicates", pattern="near_duplicate", limit=6),
        Loop(name="reworded", pattern="reworded", limit=4),
        Loop(name="no-progress", pattern="no_progress", limit=5),
        Loop(name="unrecorded-calls", pattern="unrecorded", limit=6),
        Loop(name="ping-pong", pattern="ping_pong", limit=4),
        Loop(name="retry-storm", pattern="retry_storm", limit=4),
        Loop(name="replanning", pattern="planning", limit=8),
    ),
    policies=(
        Policy(name="guessing", policy="guessing", limit=3),
        Policy(name="unrecovered-error", policy="unrecovered_error"),
    ),
)
