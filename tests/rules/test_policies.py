"""Policies: what must not be done, what must be, and what is done in a wrong way."""

from __future__ import annotations

from otel_agentrun.match import compile_match
from otel_agentrun.rules import Ending, Policy, Ruleset, Seen, Watch
from otel_agentrun.step import Kind, Status, ToolRequest
from tests.rules.builders import a_file, call, found
from tests.runs.builders import a_step, model

DONE = Ending(completed=True, span_id="f" * 16, at_ns=99)
INVALID = {"status": Status.ERROR, "error_type": "validation_error"}


def test_a_call_that_needs_approval_is_found_when_it_is_asked_for() -> None:
    """Before it runs; that it then runs is the same finding, with more evidence."""
    rule = Policy(name="refunds", policy="approval", tools=("refund*",))
    request = ToolRequest(name="refund_order", call_id="c1")
    asked = model(1, start=1, end=1, tool_requests=(request,))
    ran = call(2, "refund_order", tool_call_id="c1")

    [finding] = found(a_file(rule), [asked])
    assert finding.explanation == "`refund_order` was asked for; it needs approval"
    [later] = found(a_file(rule), [asked, ran])
    assert later.finding_id("run") == finding.finding_id("run")
    assert later.span_ids == (asked.span_id, ran.span_id)
    watch = Watch(Ruleset(a_file(rule)).select({}), approved={"c1"})
    watch.add([Seen(asked), Seen(ran)])
    assert watch.findings() == []


def test_arguments_decide_where_they_are_at_hand() -> None:
    """Where they are not recorded the rule acts by name: too often rather than too rarely."""
    rule = Policy(
        name="large", policy="approval", tools=("refund",),
        when=compile_match("arguments.amount > 100"),
    )  # fmt: skip

    def count(arguments: dict[str, object] | None) -> int:
        watch = Watch(Ruleset(a_file(rule)).select({}))
        watch.add([Seen(call(1, "refund"), arguments=arguments)])
        return len(watch.findings())

    assert count({"amount": 500}) == 1
    assert count({"amount": 50}) == 0
    assert count(None) == 1


def test_forbidden_tools_and_models_are_found() -> None:
    rules = a_file(
        Policy(name="no-shell", policy="forbidden_tool", tools=("shell*",)),
        Policy(name="no-large", policy="forbidden_model", models=("gpt-4o",)),
    )
    steps = [call(1, "shell_exec"), model(2, start=2, end=3, model="gpt-4o"), call(3, "search")]
    assert [each.rule for each in found(rules, steps)] == ["no-shell", "no-large"]


def test_violations_are_counted_for_escalation() -> None:
    rule = Policy(
        name="no-shell", policy="forbidden_tool", tools=("shell",), escalate={"warn": 1, "kill": 3}
    )
    amounts = [each.amount for each in found(a_file(rule), [call(n, "shell") for n in range(1, 5)])]
    assert amounts == [1, 2, 3, 4]


def test_a_completed_run_without_its_required_step_is_a_process_failure() -> None:
    """S5.55: the answer may be right, the way was not."""
    rule = Policy(name="validated", policy="required_step", kinds=("validate",))
    valid = a_step(3, kind=Kind.VALIDATE, start=3)

    [finding] = found(a_file(rule), [call(1)], ending=DONE)
    assert finding.process_failure
    assert "completed without a step of kind validate that succeeded" in finding.explanation
    assert found(a_file(rule), [call(1)]) == []  # not over yet
    assert found(a_file(rule), [call(1)], ending=Ending(completed=False)) == []
    assert found(a_file(rule), [call(1), valid], ending=DONE) == []
    bad = a_step(3, kind=Kind.VALIDATE, start=3, status=Status.ERROR)
    assert found(a_file(rule), [bad], ending=DONE)
    called = Policy(name="v", policy="required_step", tools=("check_*",), must="be_called")
    assert found(a_file(called), [call(1, "check_stock", **INVALID)], ending=DONE) == []


def test_guessing_at_arguments_is_told_from_looking_them_up() -> None:
    """S5.80: a retry that only guesses new values."""
    rule = Policy(name="guessing", policy="guessing", limit=2)
    guesses = [call(n, "book", f"d{n}", **INVALID) for n in range(1, 4)]

    [finding] = found(a_file(rule), guesses)
    assert (finding.amount, finding.process_failure) == (2, True)
    assert len(finding.span_ids) == 3
    looked_up = [guesses[0], call(2, "get_flights", "x"), guesses[2]]
    assert found(a_file(rule), looked_up) == []
    same = [call(n, "book", "d", **INVALID) for n in range(1, 5)]
    assert found(a_file(rule), same) == []  # the same again is a loop, not a guess


def test_completing_over_a_failed_tool_is_a_process_failure() -> None:
    """S5.80: completion claimed although the tool failed."""
    rule = Policy(name="over", policy="unrecovered_error")
    failed = call(1, "refund", status=Status.TIMEOUT, error_type="timeout")

    [finding] = found(a_file(rule), [failed], ending=DONE)
    assert finding.explanation == (
        "the run completed although the last call of `refund` failed (timeout)"
    )
    assert finding.span_ids == (failed.span_id, DONE.span_id)
    assert found(a_file(rule), [failed, call(2, "refund", "other")], ending=DONE) == []
    assert found(a_file(rule), [failed], ending=Ending(completed=False)) == []
