"""A team of agno: its leader gives the question to a member, which has the tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from agno.team import Team, TeamMode

from tests.frameworks.enforcement.agents.agno import MODES, calls, instrument, model

__all__ = ["MODES", "build", "instrument"]


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
