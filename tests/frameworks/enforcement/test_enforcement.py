"""Issue 5, "shown by": rules, operators and approvals act in real frameworks, and harm nothing.

One test per framework, scenario and mode; all plays of a framework share an application, a scripted
model and a collector (`session`).  Frameworks of the second stage: `stage`.
"""

from __future__ import annotations

import os

import pytest

from otel_agentrun import semconv
from tests.frameworks.enforcement import outcome, page, scenarios
from tests.frameworks.enforcement.catalog import FRAMEWORKS, Framework, plays
from tests.frameworks.enforcement.conftest import Plays
from tests.frameworks.enforcement.session import OFFLINE
from tests.frameworks.enforcement.stage import CHOSEN

NAMES = os.environ.get(CHOSEN, "").split(",")
HERE = [each for each in FRAMEWORKS if each.name in NAMES or (NAMES == [""] and each.stage == 1)]
PLAYS = [
    pytest.param(framework, scenario, mode, id=f"{framework.name}-{scenario}-{mode}")
    for framework in HERE
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
        assert played.held.get(key, True), "it made a model call while it was paused"
    elif is_silent:
        assert result["error"] == "", result
    else:
        assert result["stop"] == {"reason": stop_reason, "rule": rule}, result
        assert result["stopped_id"] == result["run_id"]
        assert result["gate"] in ("span", "guard", "step")
    if stop_reason:
        models_max = 1 if falls_back else scenario.models_max
        assert played.models[key] <= models_max + framework.models_more
        assert result["tools"] <= (0 if falls_back else scenario.tools_max)

    others = [result[each] for each in ("other", "next") if each in result]
    for other in others:
        assert (other["error"], other["answer"]) == ("", "done"), other
    if name not in OFFLINE:
        run = played.documents[result["run_id"]]["run"]
        status = "killed" if stop_reason else "completed"
        assert (run["status"], run["stop_reason"]) == (status, stop_reason or "completed")
        if name == "budget":  # overdrawn by the step that went past the limit, and no more
            assert run["cost_usd_total"] == pytest.approx(5 * scenarios.CALL_USD)
        if name == "pause":
            told = [event["name"] for event in played.documents[result["run_id"]]["events"]]
            assert {semconv.RUN_PAUSED_EVENT, semconv.RUN_RESUMED_EVENT} <= set(told)
        for other in others:
            assert played.documents[other["run_id"]]["run"]["status"] == "completed"


def test_the_page_says_what_was_recorded() -> None:
    """And says when it is stale: `python -m tests.frameworks.enforcement.page` writes it."""
    assert page.PAGE.read_text(encoding="utf-8") == page.page()
    assert all(outcome.read(framework) is not None for framework in FRAMEWORKS)


@pytest.mark.parametrize("framework", HERE, ids=lambda framework: framework.name)
def test_what_was_recorded_happens(framework: Framework, play_of: Plays) -> None:
    """Which exception arrives and which gate refuses, and in which versions: `python -m
    tests.frameworks.enforcement --write NAME` records it anew."""
    assert outcome.outcomes(play_of(framework.name)) == outcome.read(framework)
