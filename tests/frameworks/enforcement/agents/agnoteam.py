"""A team of agno: its leader gives the question to a member, which has the tools.

With an event loop it reads what members say from a queue, which a stop does not end (`lost_stops`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from agno.team import Team, TeamMode

from otel_agentrun import lost_stops
from tests.frameworks.enforcement.agents.agno import MODES, calls, instrument, model

__all__ = ["MODES", "build", "instrument"]

lost_stops.GRACE_SECS = 0.3  # of 5: a team that streams needs it after each stop


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    finder = Agent(name="finder", model=model(model_url), tools=list(tools), telemetry=False)
    team = Team(
        name="desk",
        model=model(model_url),
        members=[finder],
        mode=TeamMode.broadcast,
        telemetry=False,
    )
    return calls(team)[mode]
