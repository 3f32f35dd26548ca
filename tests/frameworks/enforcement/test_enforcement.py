"""Issue 5, "shown by": rules, operators and approvals act in real frameworks, and harm nothing.

One test per framework, scenario and mode; all plays of a framework share an application, a scripted
model and a collector (`session`).
"""

from __future__ import annotations

import pytest

from tests.frameworks.enforcement import scenarios
from tests.frameworks.enforcement.catalog import FRAMEWORKS, Framework, plays
from tests.frameworks.enforcement.conftest import Plays
from tests.frameworks.enforcement.session import OFFLINE

STOPS_WITHIN = 60
"""Model calls until somebody outside has stopped a run; the script has 200 rounds."""


PLAYS = [
    pytest.param(framework, scenario, mode, id=f"{framework.name}-{scenario}-{mode}")
    for framework in FRAMEWORKS
    for scenario, mode in plays(framework)
]


@pytest.mark.parametrize(("framework", "name", "mode"), PLAYS)
def test_what_was_decided_happens(
    framework: Framework, name: str, mode: str, play_of: Plays
) -> None:
    """Stopped runs stop before the next step, whoever decided it; paused ones wait and finish; the
    collector tells the same; cleanup and the next run are as ever (S5.2, S5.4, S5.10)."""
    played = play_of(framework.name)
    key = f"{name}/{mode}"
    scenario, result = scenarios.by_name(name), played.results[key]
    falls_back = name == "approval" and mode in framework.falls_back
    stop_reason = "policy" if falls_back else scenario.stop_reason
    rule = "refunds" if falls_back else scenario.rule
    is_silent = bool({key, mode} & framework.returns.keys())

    assert result["is_cleaned_up"], result
    if not stop_reason:
        assert (result["error"], result["answer"]) == ("", "done"), result
        assert result["tools"] == scenario.rounds
    elif not is_silent:
        assert result["stop"] == {"reason": stop_reason, "rule": rule}, result
        assert result["error"] == ("RunStoppedError" if scenario.has_run else "RunStopped")
        assert result["stopped_id"] == result["run_id"]
        assert result["gate"] in ("span", "guard")
    if stop_reason:
        assert played.models[key] <= (scenario.models_max or STOPS_WITHIN)
        assert result["tools"] <= (scenario.tools_max or STOPS_WITHIN)

    following = result["next"]
    assert (following["error"], following["answer"]) == ("", "done"), following
    if name not in OFFLINE:
        run = played.documents[result["run_id"]]["run"]
        status = "killed" if stop_reason else "completed"
        assert (run["status"], run["stop_reason"]) == (status, stop_reason or "completed")
        after = played.documents[following["run_id"]]["run"]
        assert (after["status"], after["agent_name"]) == ("completed", "next")
