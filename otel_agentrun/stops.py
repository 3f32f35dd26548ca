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
