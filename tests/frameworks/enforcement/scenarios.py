"""What the agents are made to do, and who stops them.  Imported by both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "BESIDE_ROUNDS",
    "COLLECTOR_RULES",
    "LOCAL_RULES",
    "ROUNDS_MAX",
    "SCENARIOS",
    "Scenario",
    "by_name",
]

ROUNDS_MAX: Final = 200
"""Model calls with a tool call each that a script asks for at most."""
BESIDE_ROUNDS: Final = 6
CALL_USD: Final = 0.00021
"""Of one call of the scripted model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run of an agent, and what becomes of it."""

    name: str
    says: str
    """In words, for the page."""
    tool: str = "search_docs"
    rounds: int = 40
    parallel: int = 1
    """Tool calls the model asks for at once."""
    same_from: int = ROUNDS_MAX
    """Round from which on the arguments are the same."""
    holds_at: int = 0
    """The tool call that waits until somebody outside has acted; 0: none."""
    has_rules: bool = True
    """Whether the application has local rules."""
    has_run: bool = True
    """Whether `agentrun.run()` is around the agent."""
    stop_reason: str = ""
    """"": the run completes."""
    rule: str = ""
    models_max: int = 0
    """Model calls that are made at most; of runs that are stopped."""
    tools_max: int = 0

    def question(self, play_id: str) -> str:
        """What the agent is asked: the model's script."""
        return (
            f"script={play_id} tool={self.tool} rounds={self.rounds} parallel={self.parallel} "
            f"same_from={self.same_from}"
        )


SCENARIOS: Final = (
    Scenario(
        name="loop", says="it repeats one call; a local rule stops it at the fourth",
        same_from=0, stop_reason="loop_detected", rule="same-call", models_max=4, tools_max=4,
    ),
    Scenario(
        name="parallel", says="the same with two tool calls at once",
        same_from=0, parallel=2, stop_reason="loop_detected", rule="same-call",
        models_max=2, tools_max=4,
    ),
    Scenario(
        name="bare", says="the same without `agentrun.run()` around it",
        same_from=0, has_run=False, stop_reason="loop_detected", rule="same-call",
        models_max=4, tools_max=4,
    ),
    Scenario(
        name="beside", says="the same while another run of the agent goes on beside it to its end",
        same_from=0, stop_reason="loop_detected", rule="same-call",
        models_max=4, tools_max=4 + BESIDE_ROUNDS,
    ),
    Scenario(
        name="budget", says="a local cost budget stops it at the first step past the limit",
        stop_reason="budget_cost", rule="little-money", models_max=5, tools_max=5,
    ),
    Scenario(
        name="operator", says="`agentrun runs stop` stops it",
        holds_at=1, has_rules=False, stop_reason="killed_by_operator", models_max=1, tools_max=1,
    ),
    Scenario(
        name="collector", says="a rule that only the collector has stops it",
        holds_at=5, has_rules=False, stop_reason="budget_calls", rule="few-tools",
        models_max=5, tools_max=5,
    ),
    Scenario(
        name="pause", says="it is paused from outside, waits, is resumed, and finishes",
        rounds=3, holds_at=1, has_rules=False,
    ),
    Scenario(
        name="approval", says="a rule wants its tool call approved: it waits, and goes on",
        tool="refund", rounds=1,
    ),
    Scenario(
        name="ask", says="its tool asks a person (`require_approval`): it waits, and goes on",
        tool="refund", rounds=1, has_rules=False,
    ),
    Scenario(
        name="offline", says="the collector is killed in between; a local rule stops it",
        same_from=2, holds_at=1, stop_reason="loop_detected", rule="same-call",
        models_max=6, tools_max=6,
    ),
    Scenario(
        name="undisturbed", says="without a collector and without a verdict it finishes",
        rounds=3,
    ),
)  # fmt: skip


def by_name(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


LOCAL_RULES: Final[dict[str, Any]] = {
    "defaults": False,
    "loops": [
        {"name": "same-call", "pattern": "repeated_call", "limit": 4, "escalate": {"kill": 1}}
    ],
    "budgets": [
        {
            "name": "little-money",
            "match": 'agent_name == "budget"',
            "measure": "cost_usd",
            "limit": 4.5 * CALL_USD,
            "escalate": {"kill": 1},
        }
    ],
    "policies": [
        {
            "name": "refunds",
            "policy": "approval",
            "tools": ["refund"],
            "escalate": {"pause": 1},
            "pause_fallback": "kill",
        }
    ],
}
COLLECTOR_RULES: Final = """
defaults: false
budgets:
  - {name: few-tools, match: agent_name == "collector", measure: tool_calls, limit: 3,
     escalate: {kill: 1}}
"""
