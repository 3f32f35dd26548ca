"""The demo's application at a real collector: every run is what it is an example of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from collector.config.schema import ListenerConfig
from collector.demo import cases
from collector.demo.live import environment, run_application
from collector.demo.own_account import DemoRun
from collector.demo.support import Case
from tests.support.process import CollectorProcess

Document = dict[str, Any]
LISTENER = ListenerConfig(address="127.0.0.1:0")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("demo") / "data"
    with CollectorProcess(folder, store_flush_secs="0.05") as running:
        yield running


@pytest.fixture(scope="module")
def made(collector: CollectorProcess) -> list[DemoRun]:
    """What the application says of its runs, after it sent everything."""
    return run_application(environment(LISTENER, collector.ports["http"], ""))


@pytest.fixture(scope="module")
def shown(collector: CollectorProcess, made: list[DemoRun]) -> list[Document]:
    """`{run, steps, events}` of the same runs, as the API gives them once nothing is under way and
    the rules have spoken."""
    deadline = time.monotonic() + 30
    while any(collector.terms(signal)["pending"] for signal in ("traces", "logs")) or (
        sum(bool(run["findings"]) for run in collector.get("/v1/runs")) < 2
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [collector.get(f"/v1/runs/{run.run_id}") for run in made]


@pytest.fixture(scope="module")
def runs(shown: list[Document]) -> list[Document]:
    return [one["run"] for one in shown]


def of_case(shown: list[Document], case: Case) -> Document:
    """The run of a case, with its steps."""
    [found] = [one for one in shown if one["run"]["summary"] == case.title]
    return found


def of_agent(shown: list[Document], name: str) -> Document:
    [found] = [one for one in shown if one["run"]["agent_name"] == name]
    return found


def kinds(one: Document) -> list[str]:
    return [step["kind"] for step in one["steps"] if step["kind"] not in ("run", "other")]


def test_the_collector_comes_to_the_applications_own_figures(
    collector: CollectorProcess, made: list[DemoRun], runs: list[Document]
) -> None:
    """Every run under the id that the SDK gave it, with exactly what it did, and no other run."""
    assert {run["run_id"] for run in collector.get("/v1/runs")} == {run.run_id for run in made}
    for own, document in zip(made, runs, strict=True):
        assert own.differences(document) == ""


def test_a_run_document_that_differs_is_found(made: list[DemoRun], runs: list[Document]) -> None:
    """`agentrun demo` compares: it would not do to show wrong figures of known runs."""
    wrong = {**runs[3], "status": "failed", "tool_calls": 9}

    assert (
        made[3].differences(wrong) == "status is 'failed', not 'completed', tool_calls is 9, not 2"
    )


def test_nothing_is_missing_or_doubtful(shown: list[Document]) -> None:
    """A tutorial: whoever imitates it gets runs whose figures can be trusted."""
    for one in shown:
        run = one["run"]
        assert run["cost_confidence"] == run["cost_confidence_total"] == "exact"
        assert run["data_quality"] in ([], ["arguments_missing", "results_missing"]), run
        # A handoff has a message and a reply instead.
        assert bool(run["data_quality"]) == bool(run["handoffs"])
        assert run["dialects"] == ["agentrun"]
        assert (run["service_name"], run["environment"]) == ("support-desk", "demo")
        assert (run["app_version"], run["out_of_scope"]) == ("2.3.0", False)


def test_the_first_runs_are_small_and_complete(shown: list[Document]) -> None:
    greeter, hours = of_agent(shown, "greeter"), of_agent(shown, "opening_hours_agent")
    faq = of_agent(shown, "faq_agent")

    assert [one["run"]["status"] for one in (greeter, hours, faq)] == ["completed"] * 3
    assert (greeter["run"]["input"], kinds(greeter)) == ("Anna", [])
    assert greeter["run"]["output"] == "Hello Anna, what can I do for you?"
    assert hours["run"]["output"] == "On saturday we are open 9 to 18."
    assert (hours["run"]["tags"], kinds(hours)) == ({"team": "web"}, ["tool"])
    assert kinds(faq) == ["retrieve", "model"]
    assert faq["run"]["user_id"] == "user-anna"
    assert faq["run"]["cost_usd"] == pytest.approx(318 * 0.4e-6 + 14 * 1.6e-6)


def test_an_ordinary_run_searches_acts_checks_and_answers(shown: list[Document]) -> None:
    one = of_case(shown, cases.REFUND)
    run = one["run"]

    assert kinds(one) == ["retrieve", "model", "tool", "model", "tool", "model", "validate"]
    assert (run["status"], run["stop_reason"], run["retries"]) == ("completed", "completed", 0)
    assert (run["input"], run["output"]) == (
        cases.REFUND.question, "I have refunded 49.90 EUR to your card."
    )  # fmt: skip
    assert run["cache_read_tokens"] == 768
    search = one["steps"][kinds(one).index("retrieve") + 1]
    assert [found["id"] for found in search["documents"]] == ["refunds-3", "returns-1"]
    refund = next(step for step in one["steps"] if step["tool_name"] == "refund")
    assert refund["arguments"] == {"order_id": "4711", "amount_eur": 49.9}
    assert refund["result"]["refund_id"] == "r-88"


def test_a_tool_that_failed_is_called_again_and_an_answer_is_checked_again(
    shown: list[Document],
) -> None:
    """A timeout is not the end of a run, nor is a guardrail that holds an answer back."""
    one = of_case(shown, cases.REFUND_STATUS)
    run = one["run"]
    first, second = [step for step in one["steps"] if step["kind"] == "tool"]
    held_back, let_go = [step for step in one["steps"] if step["kind"] == "validate"]

    assert (run["status"], run["tool_errors"], run["retries"]) == ("completed", 1, 1)
    assert (first["status"], first["error_type"]) == ("timeout", "timeout")
    assert (second["status"], second["attempt"], second["retry_reason"]) == (
        "success",
        2,
        "timeout",
    )
    assert second["retry_of"] == first["span_id"]
    assert (held_back["status"], let_go["status"]) == ("success", "success")
    outcomes = [s["attributes"]["agentrun.validation.outcome"] for s in (held_back, let_go)]
    assert outcomes == ["fail", "pass"]


def test_one_session_has_several_runs_with_two_versions_of_the_prompt(
    collector: CollectorProcess, runs: list[Document]
) -> None:
    talk = [run for run in runs if run["session_id"] == "chat-1001"]

    assert [run["summary"] for run in talk] == [
        case.title for case in (cases.REFUND, cases.REFUND_STATUS, cases.THANKS)
    ]
    assert [run["prompt_versions"] for run in talk] == [
        {"support": version} for version in ("12", "12", "13")
    ]
    assert {(run["user_id"], run["conversation_id"]) for run in talk} == {
        ("user-anna", "chat-1001")
    }
    assert len(collector.get("/v1/runs?session=chat-1001")) == 3


def test_a_handoff_is_a_child_run(shown: list[Document]) -> None:
    """Its tokens and money are its own, and in the parent's totals."""
    assert cases.INVOICE.passed_on is not None
    parent = of_case(shown, cases.INVOICE)
    child = of_case(shown, cases.INVOICE.passed_on)["run"]
    run = parent["run"]
    passed = next(step for step in parent["steps"] if step["role"] == "handoff")

    assert (run["child_run_ids"], child["parent_run_id"]) == ([child["run_id"]], run["run_id"])
    assert (run["agent_name"], child["agent_name"]) == ("support_agent", "billing_agent")
    assert (run["handoffs"], run["status"], child["status"]) == (1, "completed", "completed")
    assert passed["attributes"]["agentrun.handoff.to"] == "billing_agent"
    assert child["session_id"] == run["session_id"] == "chat-1002"
    assert child["prompt_versions"] == {"billing": "4"}
    assert run["model_calls_total"] == run["model_calls"] + child["model_calls"] == 4
    assert run["input_tokens_total"] == run["input_tokens"] + child["input_tokens"]
    assert run["cost_usd_total"] == pytest.approx(run["cost_usd"] + child["cost_usd"])
    assert child["cost_usd"] == pytest.approx(613 * 3e-6 + 68 * 15e-6)


def test_an_agent_that_goes_round_in_circles_runs_out_of_turns(shown: list[Document]) -> None:
    run = of_case(shown, cases.LOOP)["run"]

    assert (run["status"], run["stop_reason"]) == ("failed", "max_iterations")
    assert (run["model_calls"], run["tool_calls"], run["tools"]) == (6, 6, ["find_order"])
    assert "loop" in {finding["kind"] for finding in run["findings"]}


def test_a_model_that_cannot_be_reached_fails_its_run(shown: list[Document]) -> None:
    run = of_case(shown, cases.NO_MODEL)["run"]

    assert (run["status"], run["stop_reason"]) == ("failed", "model_error")
    assert (run["error_type"], run["model_errors"], run["cost_usd"]) == ("upstream_5xx", 1, 0)


def test_a_planned_run_is_expensive_and_was_not_worth_it(shown: list[Document]) -> None:
    one = of_agent(shown, "analyst")
    run = one["run"]

    assert kinds(one) == ["plan", "model", "model", "model", "model"]
    assert [step["plan_step_id"] for step in one["steps"] if step["kind"] == "model"] == [
        "1", "2", "3", "4",
    ]  # fmt: skip
    assert run["cost_usd"] == pytest.approx(12.0)
    assert (run["workspace"], run["trigger"]) == ("management", "cron")
    assert (run["status"], run["outcome"]) == ("completed", "soft_failure")
    assert run["quality"] == {"worth_it": "soft_failure"}
    assert "budget" in {finding["kind"] for finding in run["findings"]}


def test_a_background_job_is_a_child_of_the_run_that_ordered_it(shown: list[Document]) -> None:
    """S5.23: all the worker has is the job's payload, and the run that ordered it is over."""
    desk, job = of_agent(shown, "front_desk")["run"], of_agent(shown, "statement_agent")["run"]

    assert job["started_at"] > desk["ended_at"]
    assert (job["parent_run_id"], desk["child_run_ids"]) == (desk["run_id"], [job["run_id"]])
    assert (job["trigger"], job["execution"]) == ("job", "async")
    assert job["user_id"] == desk["user_id"] == "user-ben"
    assert (job["result_ref"], job["output_type"]) == (
        "statements/user-ben.pdf", "application/pdf"
    )  # fmt: skip
    assert (desk["model_calls"], desk["model_calls_total"]) == (0, 1)


def test_ordinary_runs_have_no_findings(runs: list[Document]) -> None:
    """What stands out is what should."""
    found = [run["agent_name"] for run in runs if run["findings"]]

    assert found == ["support_agent", "analyst"]
