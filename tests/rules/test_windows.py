"""Budgets that runs share: what the store has, and what is folded here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collector.runs.windows import Windows
from otel_agentrun import semconv
from tests.e2e.otlp import AGENT, CHAT, a_span, trace_id, traces
from tests.e2e.talk import Talk, eventually
from tests.support.clickhouse_fixtures import Database, clickhouse, clickhouse_server  # noqa: F401
from tests.support.process import CollectorProcess

KEY = ("daily", "", "u1", 0)
"""Rule, workspace, user, start of the window."""


def test_what_others_have_drawn_is_what_is_stored_and_what_is_folded_here() -> None:
    asked = []
    windows = Windows(on_new=lambda: asked.append(1))
    assert windows.others("a", "ta", KEY, 2.0) == 0.0
    assert windows.others("b", "tb", KEY, 1.0) == 2.0
    assert asked == [1]
    wanted = windows.wanted(again=False)
    assert wanted == {KEY: frozenset({"a", "b"})}
    assert windows.load({KEY: 10.0}) == {"ta", "tb"}

    assert windows.others("b", "tb", KEY, 1.5) == 12.0
    assert windows.others("c", "tc", KEY, 0.5) == 13.5
    assert windows.wanted(again=False) == {}


def test_a_run_is_counted_once_while_it_passes_into_the_store() -> None:
    """Asked again, the store counts what left memory; what came since is counted here."""
    windows = Windows()
    windows.others("a", "ta", KEY, 2.0)
    windows.wanted(again=True)
    windows.load({KEY: 0.0})
    windows.others("b", "tb", KEY, 1.0)
    assert windows.wanted(again=True) == {KEY: frozenset({"b"})}
    assert windows.load({KEY: 2.0}) == set()

    assert windows.others("c", "tc", KEY, 0.5) == 3.0
    assert windows.others("b", "tb", KEY, 4.0) == 2.5


def test_budgets_that_nobody_draws_from_are_not_asked_about() -> None:
    windows = Windows()
    windows.others("a", "ta", KEY, 2.0)
    windows.wanted(again=True)
    windows.load({KEY: 0.0})

    assert windows.wanted(again=True) == {}


CONFIG = """
store: {flush_secs: 0.05}
rules: {file: RULES}
prices: {models: [{match: our-model, input_usd_per_mtok: 10, output_usd_per_mtok: 20}]}
"""
RULES = """
defaults: false
budgets:
  - {name: daily, measure: cost_usd, limit: 0.03, per: user, window: day,
     match: task_type == "refund", escalate: {flag: 0.5, warn: 1}}
"""


def configured(folder: Path) -> Path:
    (folder / "rules.yaml").write_text(RULES)
    path = folder / "agentrun.yaml"
    path.write_text(CONFIG.replace("RULES", str(folder / "rules.yaml")))
    return path


def a_run(talk: Talk, name: str, user: str = "u1", task: str = "refund") -> dict[str, Any]:
    """A run that costs 0.012 USD."""
    trace = trace_id(name)
    said = {"user.id": user, semconv.TASK_TYPE: task}
    chat = {**CHAT, "gen_ai.request.model": "our-model", **said}
    spans = [a_span(trace, 1, chat), a_span(trace, 0, {**AGENT, **said}, secs=9)]
    talk.export(traces(spans))
    found: dict[str, Any] = talk.run(trace)["run"]
    return found


def use(run: dict[str, Any]) -> float:
    [budget] = run["budgets"]
    assert budget["rule"] == "daily"
    return round(budget["used"], 6)


def drawn(talk: Talk, name: str, amount: float) -> dict[str, Any]:
    """The run once so much was drawn from its budget."""

    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = talk.run(trace_id(name))["run"]
        return run if use(run) == amount else None

    return eventually(look)  # type: ignore[return-value]  # true, so not `None`


def test_a_budget_of_a_user_is_drawn_from_by_all_runs_and_outlives_a_restart(
    tmp_path: Path,
) -> None:
    """S2.15: other users and other tasks do not draw from it; the store remembers."""
    config = configured(tmp_path)
    with CollectorProcess(tmp_path / "data", config=config) as collector:
        talk = Talk(collector)
        a_run(talk, "one")
        a_run(talk, "other user", user="u2")
        a_run(talk, "on trial", task="trial")
        second = a_run(talk, "two")
    assert use(second) == 0.024
    assert [f["severity"] for f in second["findings"]] == ["info"]
    with CollectorProcess(tmp_path / "data", config=config) as collector:
        talk = Talk(collector)
        a_run(talk, "three")
        third = drawn(talk, "three", 0.036)
    assert [f["severity"] for f in third["findings"]] == ["warning"]


def test_two_collectors_draw_from_one_budget(
    clickhouse: Database,  # noqa: F811  # the fixture
    tmp_path: Path,
) -> None:
    """What one has stored, the other counts with what it folds itself."""
    config = configured(tmp_path)
    with (
        CollectorProcess(tmp_path / "one", store=clickhouse.url, config=config) as one,
        CollectorProcess(tmp_path / "two", store=clickhouse.url, config=config) as two,
    ):
        a_run(Talk(one), "here")
        a_run(Talk(two), "there")
        found = drawn(Talk(two), "there", 0.024)
    assert found["findings"]
