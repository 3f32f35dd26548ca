"""From spans to findings through the collector, the API and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from collector.cli.main import main
from tests.support import captures

STUCK = "agentops"
RULES = """\
loops:
  - {name: repeated-call, pattern: repeated_call, limit: 2, escalate: {flag: 1, kill: 2}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one capture in it, with a run that does not get on."""
    url = f"chdb://{tmp_path_factory.mktemp('store')}/store"
    files = map(str, sorted(captures.folder(STUCK).glob("*.otlp.json")))
    report = agentrun("ingest", *files, "--store", url, "--json")
    assert all(terms["pending"] == 0 for terms in report["signals"].values())
    return url


def agentrun(*words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if code == 0 else result.stderr


def stuck(store: str) -> dict[str, Any]:
    runs = agentrun("runs", "list", "--store", store, "--json")
    [run] = [run for run in runs if any(f["kind"] == "loop" for f in run["findings"])]
    found: dict[str, Any] = agentrun("runs", "show", run["run_id"], "--store", store, "--json")
    return found


def test_a_loop_is_on_the_run_and_among_its_events(store: str) -> None:
    """S1.9, S1.24: with the evidence, and the version of the rules."""
    shown = stuck(store)
    [finding] = shown["run"]["findings"]

    assert finding["rule"] == "repeated-call"
    assert "`search_docs` called 8 times in a row" in finding["explanation"]
    spans = {step["span_id"] for step in shown["steps"] if step["tool_name"] == "search_docs"}
    assert set(finding["span_ids"]) == spans
    events = [e for e in shown["events"] if e["name"] == "agentrun.finding"]
    assert events
    assert all(len(e["attributes"]["agentrun.rules.version"]) == 12 for e in events)
    budgets = {use["rule"]: use for use in shown["run"]["budgets"]}
    assert budgets["run-steps"]["remaining"] == 500 - budgets["run-steps"]["used"]


def test_ingesting_again_finds_nothing_new(store: str) -> None:
    """A restart and a resend: the same finding, no second event."""
    before = stuck(store)
    files = map(str, sorted(captures.folder(STUCK).glob("*.otlp.json")))
    agentrun("ingest", *files, "--store", store, "--json")
    after = stuck(store)

    assert after["run"]["findings"] == before["run"]["findings"]
    assert [e["event_id"] for e in after["events"]] == [e["event_id"] for e in before["events"]]


def test_rules_are_tried_on_stored_runs(store: str, tmp_path: Path) -> None:
    """At the fourth of eight equal calls the run would have been stopped."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    report = agentrun(
        "rules", "backtest", str(path), "--since", "2020-01-01T00:00:00Z", "--store", store,
        "--json",
    )  # fmt: skip
    told = {rule["rule"]: rule for rule in report["rules"]}

    assert told["repeated-call"]["killed"] == 1
    well = stuck(store)["run"]["outcome"] == "success"
    assert told["repeated-call"]["completed_well_hit"] == well
    assert told["repeated-call"]["examples"][0] == stuck(store)["run"]["run_id"]


def test_budgets_are_suggested_from_stored_runs(store: str) -> None:
    found = agentrun(
        "rules", "suggest", "--since", "2020-01-01T00:00:00Z", "--store", store, "--json"
    )
    assert found["yaml"].startswith("# Suggested from history")
    assert found["groups"]


def test_check_says_every_mistake_and_exits_as_for_a_config(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    checked = agentrun("rules", "check", str(path), "--json")
    assert checked["rules"]["loops"][-1]["limit"] == 2
    path.write_text("loops: [{name: x, pattern: cycel, limit: 0}]")
    said = agentrun("rules", "check", str(path), code=2)
    assert f"{path}:1:28: loops[0].pattern" in said
    assert "loops[0].limit" in said
