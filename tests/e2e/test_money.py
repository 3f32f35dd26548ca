"""What runs cost and earn: own prices, tools, payments, revenue, margin (S2.16, S2.29)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.otlp import AGENT, CHAT, TOOL, a_record, a_run, a_span, logs, trace_id, traces
from tests.e2e.talk import Talk
from tests.support.process import CollectorProcess

CONFIG = """
store: {flush_secs: 0.05}
prices:
  models:
    - {match: our-model*, provider: our-cloud, input_usd_per_mtok: 10, output_usd_per_mtok: 20,
       cache_read_usd_per_mtok: 1}
    - {match: free-model, input_usd_per_mtok: 0, output_usd_per_mtok: 0}
  tools: {"search*": 0.005}
"""
OURS = {**CHAT, "gen_ai.provider.name": "our-cloud", "gen_ai.request.model": "our-model-2"}


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    folder = tmp_path_factory.mktemp("money")
    (folder / "agentrun.yaml").write_text(CONFIG)
    with CollectorProcess(folder / "data", config=folder / "agentrun.yaml") as collector:
        yield Talk(collector)


def a_run_of(talk: Talk, name: str, *steps: dict[str, object]) -> dict[str, object]:
    trace = trace_id(name)
    spans = [a_span(trace, number, step) for number, step in enumerate(steps, 1)]
    talk.export(traces([*spans, a_span(trace, 0, AGENT, secs=9)]))
    run: dict[str, object] = talk.run(trace)["run"]
    return run


def test_a_price_of_the_config_goes_before_the_built_in_list(talk: Talk) -> None:
    run = a_run_of(talk, "ours", OURS)
    assert run["cost_usd"] == 0.012
    assert run["cost_confidence"] == "exact"
    assert "config" in str(run["price_version"])


def test_cached_input_has_a_price_of_its_own(talk: Talk) -> None:
    run = a_run_of(talk, "cached", {**OURS, "gen_ai.usage.cache_read.input_tokens": 600})
    assert run["cost_usd"] == 0.004 + 0.0006 + 0.002


def test_a_model_at_no_charge_is_not_unknown(talk: Talk) -> None:
    run = a_run_of(talk, "free", {**CHAT, "gen_ai.request.model": "free-model"})
    assert (run["cost_usd"], run["cost_confidence"]) == (0.0, "exact")


def test_an_unknown_price_is_unknown_never_a_guess(talk: Talk) -> None:
    """Promise 4."""
    run = a_run_of(talk, "unknown", CHAT, {**CHAT, "gen_ai.request.model": "nobody-sells-this"})
    assert (run["cost_usd"], run["cost_confidence"]) == (None, "unknown")
    assert "price_unknown" in run["data_quality"]  # type: ignore[operator]  # a list
    assert run["input_tokens"] == 2000


def test_a_cost_that_the_emitter_reports_wins(talk: Talk) -> None:
    run = a_run_of(talk, "reported", {**OURS, "agentrun.cost.usd": 0.5})
    assert (run["cost_usd"], run["cost_source"]) == (0.5, "emitter")


def test_model_tool_and_payment_cost_stay_apart_and_revenue_gives_margin(talk: Talk) -> None:
    """S2.16, S2.29."""
    trace = trace_id("business")
    run = a_run_of(
        talk,
        "business",
        OURS,
        {**TOOL, "gen_ai.tool.name": "search_web"},
        {**TOOL, "gen_ai.tool.name": "calculator"},
        {**TOOL, "gen_ai.tool.name": "pay", "agentrun.payment.usd": 0.25},
    )
    assert run["cost_breakdown"] == {"model": 0.012, "tool": 0.005, "payment": 0.25}
    assert run["cost_usd"] == 0.267
    assert (run["revenue_usd"], run["margin_usd"]) == (None, None)

    earned = {"agentrun.payment.usd": 1.5, "agentrun.payment.kind": "revenue"}
    paid = {"agentrun.payment.usd": 0.003}
    talk.export(logs([a_record("agentrun.payment", each, trace=trace) for each in (earned, paid)]))

    after = talk.run(trace)["run"]
    assert after["cost_breakdown"] == {"model": 0.012, "tool": 0.005, "payment": 0.253}
    assert (after["revenue_usd"], after["margin_usd"]) == (1.5, 1.23)
    assert after["margin_usd_total"] == 1.23


def test_a_parent_s_total_has_the_money_of_its_children(talk: Talk) -> None:
    trace = trace_id("family")
    child = a_span(trace, 4, {**AGENT, "gen_ai.agent.name": "helper"}, secs=0.9)
    inner = a_span(trace, 5, OURS, parent=4)
    root = {"agentrun.revenue.usd": 2.0}
    talk.export(traces([*a_run(trace, root), child, inner]))

    run = talk.run(trace)["run"]

    assert run["cost_usd"] == 0.00542
    assert run["cost_usd_total"] == 0.01742
    assert run["margin_usd_total"] == 2.0 - 0.01742
    assert run["cost_breakdown_total"]["model"] == 0.01242
