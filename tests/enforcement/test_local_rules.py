"""Rules that act in the application, with nobody else there."""

# ruff: noqa: PT012 (what a run does before it is stopped is inside its block)

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import otel_agentrun as agentrun
from collector.control.findings import directive_from
from collector.runs.events import make_event
from otel_agentrun import runtime
from otel_agentrun.processor import AgentRunSpanProcessor
from otel_agentrun.rules.plain_file import RulesError
from otel_agentrun.rules_source import load
from tests.enforcement.conftest import App, Make

KILL = {"kill": 1}
STEPS_3 = {"budgets": [{"name": "steps", "measure": "steps", "limit": 3, "escalate": KILL}]}
LOOP = {
    "loops": [{"name": "loop", "pattern": "repeated_call", "limit": 3, "escalate": KILL}],
}


def policy(policy: str, escalate: Any, **more: Any) -> dict[str, Any]:
    rule = {"name": "rule", "policy": policy, "escalate": escalate, **more}
    return {"policies": [rule]}


def model_asks(name: str, arguments: dict[str, Any], call_id: str = "c1") -> None:
    """One answer of a model that asks for a call."""
    message = {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}],
    }
    with agentrun.model("gpt-4o-mini", provider="openai") as step:
        step.response([message], finish_reasons=["tool_calls"])


def test_a_step_budget_stops_at_the_first_step_past_the_limit(make: Make) -> None:
    app = make(STEPS_3)
    done = 0
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a") as run:
        for _ in range(10):
            with agentrun.tool("t", arguments={"n": done}):
                done += 1

    assert done == 4  # the limit is allowed; the one that went past it is known when it has ended
    error = caught.value
    assert (error.stop_reason, error.rule) == ("budget_steps", "steps")
    assert len(error.span_ids) == 1
    assert run.status == "killed"
    [finding] = app.events("agentrun.finding")
    assert finding["agentrun.finding.action"] == "kill"
    assert finding["agentrun.budget.used"] == 4
    assert finding["agentrun.run.id"] == run.run_id
    [decision] = app.events("agentrun.decision")
    assert decision["agentrun.decision.rule"] == "steps"


def test_a_cost_budget_stops_at_the_first_step_past_the_limit(make: Make) -> None:
    make({"budgets": [{"name": "c", "measure": "cost_usd", "limit": 0.01, "escalate": KILL}]})
    calls = 0
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a"):
        for _ in range(10):
            with agentrun.model("gpt-4o-mini", provider="openai", cost_usd=0.004) as step:
                step.usage(input_tokens=10, output_tokens=1)
                calls += 1

    assert calls == 3
    assert caught.value.stop_reason == "budget_cost"


def test_a_loop_is_stopped_and_the_finding_has_the_evidence(make: Make) -> None:
    app = make(LOOP)
    calls = 0
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a"):
        while calls < 20:
            with agentrun.tool("search", arguments={"q": "tea"}):
                calls += 1

    assert calls == 3
    assert caught.value.stop_reason == "loop_detected"
    assert len(caught.value.span_ids) == 3
    [finding] = app.events("agentrun.finding")
    assert "`search`" in finding["agentrun.finding.explanation"]


def test_near_duplicates_are_found_where_the_text_is(make: Make) -> None:
    make({"loops": [{"name": "n", "pattern": "near_duplicate", "limit": 3, "escalate": KILL}]})
    words = "one two three four five six seven eight nine"
    calls = 0
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a"):
        while calls < 20:
            calls += 1
            with agentrun.tool("search", arguments={"q": f"{words} {calls}"}):
                pass
    assert calls == 4


def test_a_framework_in_a_loop_is_stopped_without_run(make: Make) -> None:
    """The processor alone, on OpenInference spans."""
    app = make(LOOP)
    tracer = app.framework()
    calls = 0
    with (
        pytest.raises(agentrun.RunStopped),
        tracer.start_as_current_span("agent", attributes={"openinference.span.kind": "AGENT"}),
    ):
        while calls < 20:
            with tracer.start_as_current_span("search") as span:
                span.set_attributes(
                    {
                        "openinference.span.kind": "TOOL", "tool.name": "search",
                        "input.value": json.dumps({"q": "tea"}),
                    }
                )  # fmt: skip
            calls += 1

    assert calls == 3
    assert app.said("agent")["agentrun.stop.reason"] == "loop_detected"


def test_a_time_budget_is_checked_where_a_step_begins(make: Make) -> None:
    make({"budgets": [{"name": "t", "measure": "wall_secs", "limit": 0.05, "escalate": KILL}]})
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a") as run:
        time.sleep(0.06)
        with agentrun.tool("t"):
            pass
    assert caught.value.stop_reason == "budget_time"
    assert run.status == "timed_out"
    assert run.totals.steps == 0


def test_children_draw_from_their_parents_budget(make: Make) -> None:
    """What the child's step went past is the parent's: it stops with it."""
    make(STEPS_3)
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("parent") as parent:
        for _ in range(2):
            with agentrun.tool("t"):
                pass
        with agentrun.run("child"):
            for number in range(5):
                with agentrun.tool("t", arguments={"n": number}):
                    pass
    assert caught.value.run_id == parent.run_id
    assert parent.totals.steps == 4


def test_flags_are_told_once_and_stop_nothing(make: Make) -> None:
    app = make({"budgets": [{"name": "s", "measure": "steps", "limit": 1}]})
    heard: list[tuple[str, str]] = []
    agentrun.on("finding")(lambda run, finding, action: heard.append((finding.rule, action)))
    with agentrun.run("a") as run:
        for number in range(4):
            with agentrun.tool("t", arguments={"n": number}):
                pass
    assert run.status == "completed"
    assert heard == [("s", "flag")]
    assert len(app.events("agentrun.finding")) == 1


def test_dry_runs_find_and_do_nothing(make: Make) -> None:
    rule = {**STEPS_3["budgets"][0], "dry_run": True}
    app = make({"budgets": [rule]})
    with agentrun.run("a") as run:
        for number in range(6):
            with agentrun.tool("t", arguments={"n": number}):
                pass
    assert run.status == "completed"
    [finding] = app.events("agentrun.finding")
    assert finding["agentrun.finding.dry_run"] is True


def test_rules_are_chosen_by_what_the_run_is(make: Make) -> None:
    rule = {**STEPS_3["budgets"][0], "match": "agent_name == 'strict' and tags.tier == 'free'"}
    make({"budgets": [rule]})
    cases = (("strict", "free", True), ("strict", "paid", False), ("x", "free", False))
    for name, tier, stops in cases:
        run = agentrun.run(name, tags={"tier": tier})
        try:
            with run:
                for number in range(6):
                    with agentrun.tool("t", arguments={"n": number}):
                        pass
        except agentrun.RunStoppedError:
            assert stops
        assert (run.status == "killed") is stops


def test_a_forbidden_tool_is_refused_when_it_begins(make: Make) -> None:
    app = make(policy("forbidden_tool", KILL, tools=["drop_*"]))
    ran: list[str] = []
    with pytest.raises(agentrun.RunStoppedError) as caught, agentrun.run("a"):
        model_asks("drop_table", {"name": "users"})
        with agentrun.tool("look"):
            ran.append("look")
        with agentrun.tool("drop_table"):
            ran.append("drop_table")
    assert ran == ["look"]
    assert caught.value.stop_reason == "policy"
    assert app.events("agentrun.finding")[0]["agentrun.finding.action"] == "kill"


def test_a_forbidden_tool_of_a_framework_is_refused_by_what_the_model_asked_for(
    make: Make,
) -> None:
    """At the start of its span most instrumentations say no more than its name."""
    app = make(policy("forbidden_tool", KILL, tools=["drop_table"]))
    tracer = app.framework("pydantic-ai")
    answer = [{"role": "assistant", "parts": [
        {"type": "tool_call", "id": "c1", "name": "drop_table", "arguments": {}}]}]  # fmt: skip
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a"):
        with tracer.start_as_current_span(
            "chat m",
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
                "gen_ai.output.messages": json.dumps(answer)},
        ):  # fmt: skip
            pass
        tracer.start_span("running 1 tool").end()
        tracer.start_span("execute_tool drop_table")
    assert [span.name for span in app.spans] == ["chat m", "running 1 tool", "agent.run a"]


def test_a_forbidden_model_is_not_called(make: Make) -> None:
    make(policy("forbidden_model", KILL, models=["gpt-4*"]))
    called = False
    with (
        pytest.raises(agentrun.RunStoppedError),
        agentrun.run("a"),
        agentrun.model("gpt-4o", provider="openai"),
    ):
        called = True
    assert not called


def test_our_own_tools_are_judged_by_their_real_arguments(make: Make) -> None:
    """Whatever the content policy keeps of them."""
    rules = policy("forbidden_tool", KILL, tools=["refund"], when="arguments.amount > 500")
    make(rules, content="off")
    with agentrun.run("a") as run:
        with agentrun.tool("refund", arguments={"amount": 100}):
            pass
        with pytest.raises(agentrun.RunStopped), agentrun.tool("refund", arguments={"amount": 900}):
            pass
    assert run.status == "killed"


def test_what_a_model_asked_for_within_the_rule_may_run(make: Make) -> None:
    rules = policy("forbidden_tool", KILL, tools=["refund"], when="arguments.amount > 500")
    app = make(rules, content="full")
    with agentrun.run("a") as run:
        model_asks("refund", {"amount": 100})
        app.framework("pydantic-ai").start_span("execute_tool refund").end()
    assert run.status == "completed"


def answer(app: App, how: str) -> threading.Thread:
    """Somebody answers the approval that is asked for next."""
    before = len(app.events("agentrun.approval.requested"))

    def work() -> None:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            asked = app.events("agentrun.approval.requested")
            if len(asked) > before:
                approval, run_id = asked[-1]["agentrun.approval.id"], asked[-1]["agentrun.run.id"]
                if how == "approve":
                    assert app.verdicts.lift(run_id, approval_id=approval)
                else:
                    from otel_agentrun.verdicts import Verdict

                    verdict = Verdict(
                        action="kill", stop_reason="rejected", reason="too much", actor="bo",
                        approval_id=approval,
                    )  # fmt: skip
                    assert app.verdicts.give(verdict, run_id=run_id) == (run_id,)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


APPROVAL = policy("approval", {"pause": 1}, tools=["refund"], when="arguments.amount > 500")


@pytest.mark.parametrize("how", ["approve", "refuse"])
def test_a_call_that_needs_approval_waits_for_it(make: Make, how: str) -> None:
    app = make(APPROVAL, content="full")
    ran: list[str] = []
    thread = answer(app, how)
    run = agentrun.run("a")
    try:
        with run:
            model_asks("refund", {"amount": 900})
            with agentrun.tool("refund", arguments={"amount": 900}, call_id="c1"):
                ran.append("refund")
    except agentrun.RunStoppedError as error:
        ran += [error.stop_reason, error.actor]
    thread.join(5)

    assert ran == (["refund"] if how == "approve" else ["rejected", "bo"])
    assert run.status == ("completed" if how == "approve" else "killed")
    [asked] = app.events("agentrun.approval.requested")
    assert asked["gen_ai.tool.name"] == "refund"
    assert asked["agentrun.approval.question"] == 'Run `refund` with {"amount":900}?'
    assert json.loads(asked["gen_ai.tool.call.arguments"]) == {"amount": 900}
    assert len(app.events("agentrun.run.paused")) == 1
    assert len(app.events("agentrun.run.resumed")) == (how == "approve")


def test_the_span_of_a_framework_around_an_approved_tool_is_the_same_call(make: Make) -> None:
    """LlamaIndex's ends after the tool in it: it needs no second answer, but the next call does."""
    app = make(APPROVAL)
    thread = answer(app, "approve")
    around = {"openinference.span.kind": "TOOL", "tool.name": "refund"}
    around["input.value"] = '{"amount": 900}'
    tracer = app.framework()
    done = []
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a"):
        with tracer.start_as_current_span("FunctionTool.acall", attributes=around) as span:
            span.set_attribute("tool.name", "refund")
            with agentrun.tool("refund", arguments={"amount": 900}):
                done.append(1)
        thread.join(5)
        with agentrun.tool("search"):
            done.append(2)
        thread = answer(app, "refuse")
        with agentrun.tool("refund", arguments={"amount": 901}):
            done.append(3)
    thread.join(5)

    assert done == [1, 2]
    assert len(app.events("agentrun.approval.requested")) == 2


def test_asynchronous_tools_of_ours_await_their_approval(make: Make) -> None:
    app = make(APPROVAL)

    @agentrun.tool
    async def refund(amount: int) -> str:
        return "done"

    async def main() -> str:
        async with agentrun.run("a"):
            ticks = asyncio.create_task(asyncio.sleep(0))
            done = await refund(900)
            assert ticks.done()
            return done

    thread = answer(app, "approve")
    assert asyncio.run(main()) == "done"
    thread.join(5)
    assert len(app.events("agentrun.approval.requested")) == 1


@pytest.mark.parametrize("fallback", ["kill", "continue"])
def test_where_waiting_would_block_a_loop_the_fallback_counts(make: Make, fallback: str) -> None:
    rules = policy("approval", {"pause": 1}, tools=["refund"], pause_fallback=fallback)
    app = make(rules)

    async def main() -> None:
        with agentrun.run("a"):
            app.framework("pydantic-ai").start_span(
                "execute_tool refund", attributes={"gen_ai.tool.name": "refund"}
            ).end()

    if fallback == "kill":
        with pytest.raises(agentrun.RunStoppedError):
            asyncio.run(main())
    else:
        asyncio.run(main())
    assert app.events("agentrun.finding")
    assert app.events("agentrun.approval.requested") == []


def test_rules_come_from_a_file_of_any_of_its_forms(tmp_path: Path, make: Make) -> None:
    whole = {"version": "x", "rules": {"defaults": False, **STEPS_3}}
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(whole))
    yaml = tmp_path / "rules.yaml"
    yaml.write_text("defaults: false\nbudgets:\n  - {name: steps, measure: steps, limit: 3}\n")

    assert [rule.name for rule in load(path).rules] == ["steps"]
    assert [rule.name for rule in load(yaml).rules] == ["steps"]
    with pytest.raises(RulesError, match="did you mean"):
        load({"budget": []})
    path.write_text("{")
    with pytest.raises(RulesError, match="expected JSON"):
        load(path)
    assert AgentRunSpanProcessor(rules=load(yaml))._rules is not None
    runtime.reset()


def test_rules_that_cannot_be_evaluated_fail_open_or_closed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fail, status in (("open", "completed"), ("closed", "killed")):
        app = make({"budgets": [{**STEPS_3["budgets"][0], "fail": fail}]})
        with agentrun.run(fail) as run:
            scope = run.scope
            assert scope is not None
            monkeypatch.setattr(scope.watched, "_watch", None)
            with agentrun.tool("t"):
                pass
            if fail == "open":
                with agentrun.tool("t"):
                    pass
            else:
                with (
                    pytest.raises(agentrun.RunStopped, match="fails closed"),
                    agentrun.tool("t"),
                ):
                    pass
        assert run.status == status
        assert app.processor.unattributed == 0
        agentrun.uninstall()


def test_a_run_without_end_is_judged_in_memory_that_has_one(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was required and done long ago is still done, and a loop is still found."""
    monkeypatch.setattr("otel_agentrun.local_rules.STEPS_MAX", 600)
    required = {"name": "checked", "policy": "required_step", "kinds": ["validate"]}
    app = make({**LOOP, "policies": [required]})
    with agentrun.run("a") as run:
        with agentrun.validate("order"):
            pass
        for number in range(900):
            with agentrun.tool("t", arguments={"n": number}):
                pass
        assert run.scope is not None
        assert len(run.scope.watched._watch) <= 600
        for _ in range(3):
            with agentrun.tool("t", arguments={"n": 1}):
                pass
        with pytest.raises(agentrun.RunStopped), agentrun.tool("t"):
            pass
    with agentrun.run("b"):
        pass

    found = {each["agentrun.finding.rule"]: each["agentrun.run.id"]
             for each in app.events("agentrun.finding")}  # fmt: skip
    assert found["loop"] == run.run_id
    assert found["checked"] != run.run_id


def test_a_tool_of_a_streamed_answer_is_refused_by_its_name(make: Make) -> None:
    """It begins before the span of the model call, which asked for it, has ended."""
    app = make(policy("forbidden_tool", KILL, tools=["drop_*"]))
    tracer = app.framework()
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a"):
        tracer.start_span("agent").end()
        tracer.start_span("drop_table")
    assert [span.name for span in app.spans] == ["agent", "agent.run a"]


def test_rules_are_installed_by_argument_or_variable(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"defaults": False, **STEPS_3}))
    monkeypatch.setenv("OTEL_AGENTRUN_RULES", str(path))
    from_variable = make().processor._rules
    assert from_variable is not None
    assert [rule.name for rule in from_variable.ruleset.rules] == ["steps"]
    agentrun.uninstall()
    monkeypatch.delenv("OTEL_AGENTRUN_RULES")
    assert make().processor._rules is None
    agentrun.uninstall()
    with pytest.raises(RulesError):
        agentrun.install(live=False, rules={"budgets": 7})


def test_without_events_the_run_s_span_says_what_was_found(make: Make) -> None:
    app = make(STEPS_3, live=False)
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a"):
        for number in range(6):
            with agentrun.tool("t", arguments={"n": number}):
                pass
    names = [event.name for event in app.span("agent.run a").events]
    assert names[:2] == ["agentrun.finding", "agentrun.decision"]


def test_the_collector_gives_no_directive_for_what_the_application_acts_on(make: Make) -> None:
    """A call that waits for approval would be paused for an operator as well."""
    app = make(STEPS_3)
    with pytest.raises(agentrun.RunStoppedError), agentrun.run("a") as run:
        for number in range(6):
            with agentrun.tool("t", arguments={"n": number}):
                pass
    [finding] = app.events("agentrun.finding")
    said = {key: str(value) for key, value in finding.items()}
    others = {key: value for key, value in said.items() if key != "agentrun.actor"}

    for attributes, is_directed in ((said, False), (others, True)):
        event = make_event("agentrun.finding", 1, run_id=run.run_id, attributes=attributes)
        assert (directive_from(event) is not None) is is_directed
