"""Why a run stopped, and the status that follows: docs/architecture.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STATUS_OF_STOP: Final[Mapping[str, str]] = {
    "completed": "completed",
    "handoff": "completed",
    **dict.fromkeys(
        ("error", "tool_failure", "model_error", "input_invalid", "max_iterations", "lost"),
        "failed",
    ),
    **dict.fromkeys(
        (
            "budget_cost", "budget_tokens", "budget_steps", "budget_calls", "loop_detected",
            "policy", "killed_by_operator", "rejected", "approval_expired", "cancelled",
        ),
        "killed",
    ),
    "budget_time": "timed_out",
}  # fmt: skip
"""Stop reason -> run status."""

STOP_OF_MEASURE: Final[Mapping[str, str]] = {
    "cost_usd": "budget_cost",
    "tokens": "budget_tokens",
    "input_tokens": "budget_tokens",
    "output_tokens": "budget_tokens",
    "steps": "budget_steps",
    "plan_steps": "budget_steps",
    "depth": "budget_steps",
    "fan_out": "budget_steps",
    "model_calls": "budget_calls",
    "tool_calls": "budget_calls",
    "retrievals": "budget_calls",
    "retries": "budget_calls",
    "wall_secs": "budget_time",
}
"""What a budget limits -> why a run stopped that went past it."""


def stop_of_finding(kind: str, what: str) -> str:
    """Why a run stopped for what a rule found: `kind` and `what` of the finding."""
    if kind == "budget":
        return STOP_OF_MEASURE.get(what, "policy")
    return "loop_detected" if kind == "loop" else "policy"
