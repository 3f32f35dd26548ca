"""What docs/stopping.md shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from otel_agentrun.rules_source import load
from tests.enforcement.conftest import KILL, App
from tests.enforcement.test_pausing import WAIT_SECS, answered

PAGE = Path(__file__).parents[2] / "docs" / "stopping.md"


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def test_the_examples_of_the_page_run(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """The application is installed already: `install` keeps that."""
    import otel_agentrun as agentrun

    def agent(question: str) -> str:
        run = agentrun.current_run()
        assert run is not None
        app.verdicts.give(KILL, run_id=run.run_id)
        with agentrun.tool("t"):
            return "never"

    refunds: list[int] = []
    names = {"question": "May I?", "agent": agent, "refund": refunds.append}
    stopping, asking = blocks("python")

    exec(compile(stopping, PAGE.name, "exec"), names)
    assert capsys.readouterr().out.startswith("killed_by_operator")

    thread = answered(app, lambda run_id, id: app.verdicts.lift(run_id, approval_id=id))
    exec(compile(asking, PAGE.name, "exec"), names)
    thread.join(WAIT_SECS)
    assert refunds == [12]


def test_the_rules_of_the_page_are_rules() -> None:
    [text] = blocks("yaml")
    assert "large-refunds" in [rule.name for rule in load(yaml.safe_load(text)).rules]
