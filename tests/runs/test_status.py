"""How a run ended and why (S1.12, S3.28, S3.30, S3.31, S5.34)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from collector.runs import events as names
from collector.runs.assembler import SECOND, Assembler, AssemblerSettings
from collector.runs.events import make_event
from collector.runs.group import fold
from collector.runs.run import Run
from otel_agentrun.step import Event, Role, Status, Step, ToolRequest
from otel_agentrun.stops import STATUS_OF_STOP
from tests.runs.builders import BASE_NS, TRACE, agent, asks, model, tool


def an_event(name: str, at: int = 0, **attributes: str) -> Event:
    return make_event(
        name,
        BASE_NS + at,
        run_id=TRACE,
        trace_id=TRACE,
        attributes={f"agentrun.{k.replace('__', '.')}": v for k, v in attributes.items()},
    )


CLOSED = an_event(names.RUN_CLOSED)


def test_a_root_that_ended_well_is_completed_even_with_tools_pending() -> None:
    """A run may stop when it has what it wants."""
    [run] = fold([agent(1), model(2, 1, tool_requests=asks("search"))])

    assert (run.status, run.stop_reason, run.outcome) == ("completed", "completed", "success")


@pytest.mark.parametrize("call", [model, tool])
def test_a_call_that_failed_last_fails_a_run_whose_root_says_nothing(
    call: Callable[..., Step],
) -> None:
    """DIALECTS 2.8: AgentOps marks neither its sessions nor its agents."""
    last = call(4, 1, end=5, status=Status.ERROR)
    before = [agent(1), model(2, 1, end=3)]
    [run] = fold([*before, last])
    [recovered] = fold([*before, last, model(6, 1, end=7)])

    assert (run.status, run.error_span_id) == ("failed", last.span_id)
    assert recovered.status == "completed"


def test_a_run_that_was_left_before_it_answered_was_cancelled() -> None:
    """Unless its last call had failed: then nothing was left to cancel."""
    left = agent(1, status=Status.CANCELLED)
    failed = model(2, 1, end=5, status=Status.ERROR, error_type="rate_limit")
    [alone] = fold([left])
    [with_fault] = fold([left, failed])
    [went_on] = fold([left, failed, tool(3, 1, end=7)])

    assert (alone.status, alone.stop_reason) == ("killed", "cancelled")
    assert (with_fault.status, with_fault.stop_reason) == ("failed", "model_error")
    assert went_on.stop_reason == "cancelled"


def test_an_error_without_words_has_those_of_the_agent_that_it_failed() -> None:
    """The Anthropic SDK's own spans have a type and no message."""
    raised = agent(1, status=Status.ERROR, error_message="prompt is too long")
    [run] = fold([raised, model(2, 1, status=Status.ERROR, error_type="validation_error")])

    assert (run.error_type, run.error_message) == ("validation_error", "prompt is too long")


def test_a_recovered_error_does_not_fail_a_run() -> None:
    """Rule 9: an error followed by a success of the same call is a retry."""
    [run] = fold([agent(1), tool(2, 1, status=Status.ERROR), tool(3, 1)])

    assert (run.status, run.own.tool_errors, run.own.retries) == ("completed", 1, 1)


@pytest.mark.parametrize(
    ("step", "mode", "stop"),
    [
        (tool(2, 1, status=Status.ERROR), "tool_error", "tool_failure"),
        (model(2, 1, status=Status.ERROR), "model_error", "model_error"),
        (tool(2, 1, status=Status.TIMEOUT), "timeout", "tool_failure"),
    ],
)
def test_a_failed_run_names_what_was_at_fault(step: object, mode: str, stop: str) -> None:
    """S3.30: the type of the error and its place in the run."""
    [run] = fold([agent(1, status=Status.ERROR), step])  # type: ignore[list-item]

    assert (run.status, run.failure_mode, run.stop_reason) == ("failed", mode, stop)
    assert run.error_span_id == f"{2:016x}"
    assert run.outcome == "failure"


def test_an_agent_that_fails_by_itself_is_at_fault() -> None:
    """No call of it failed."""
    [run] = fold([agent(1, status=Status.ERROR, error_type="ValueError"), tool(2, 1)])

    assert (run.failure_mode, run.error_type) == ("agent_error", "ValueError")
    assert run.error_span_id == f"{1:016x}"


def test_a_wrapper_that_claims_success_does_not_hide_its_agents_failure() -> None:
    """OpenAI Agents: the trace span says OK although the run raised."""
    wrapper = agent(1, role=Role.WORKFLOW, name="")

    assert fold([wrapper, agent(2, 1, status=Status.ERROR)])[0].status == "failed"


def test_max_iterations_needs_explicit_evidence() -> None:
    """A framework's own limit says so; eight calls of one tool do not (S5.42)."""
    root = agent(1, status=Status.ERROR, error_message="Max turns exceeded: {'max_turns': 8}")

    assert fold([root, *[tool(n, 1) for n in range(2, 10)]])[0].stop_reason == "max_iterations"


def test_quiet_alone_is_not_a_failure() -> None:
    """The last model call was answered: completed, and the document says what is missing."""
    [run] = fold([model(2, 1), tool(3, 1, start=30), model(4, 1, start=40)], [CLOSED])

    assert run.status == "completed"
    assert "root_missing" in run.data_quality


def test_a_quiet_run_with_calls_pending_has_failed() -> None:
    """It asked for a tool that never ran."""
    [run] = fold([model(2, 1, tool_requests=asks("search"))], [CLOSED])

    assert run.status == "failed"


def test_closing_by_quiet_is_void_once_the_root_arrives() -> None:
    """A late root knows better than a timer."""
    steps = [agent(1), model(2, 1, tool_requests=asks("search"))]

    assert fold(steps, [CLOSED])[0].status == "completed"


def test_heartbeats_that_stop_mean_lost() -> None:
    """`kill -9` of an application shows its run as lost, with its tail (S3.41)."""
    assembler = Assembler(AssemblerSettings(quiet_ns=300 * SECOND, lost_ns=90 * SECOND))
    assembler.add([model(2, 1)], 0)
    assembler.add_event(an_event(names.RUN_HEARTBEAT), 10 * SECOND)
    assembler.changes()

    assert assembler.quiet(60 * SECOND) == []
    [event] = assembler.quiet(101 * SECOND)
    assembler.add_event(event, 101 * SECOND)
    [run] = assembler.changes().runs
    assert (run.status, run.stop_reason) == ("failed", "lost")


def test_a_quiet_run_without_heartbeats_waits_for_the_whole_quiet_period() -> None:
    """A slow model is not a dead one."""
    assembler = Assembler(AssemblerSettings(quiet_ns=300 * SECOND, lost_ns=90 * SECOND))
    assembler.add([model(2, 1)], 0)
    assembler.changes()

    assert assembler.quiet(200 * SECOND) == []
    assert len(assembler.quiet(300 * SECOND)) == 1
    assert assembler.quiet(301 * SECOND) == []


@pytest.mark.parametrize(("reason", "status"), sorted(STATUS_OF_STOP.items()))
def test_a_stop_reason_decides_the_status(reason: str, status: str) -> None:
    """The vocabulary of stop reasons and statuses is one table."""
    [run] = fold([agent(1, labels={"stop_reason": reason})])

    assert (run.status, run.stop_reason) == (status, reason)


def test_an_end_event_ends_a_run_whose_root_never_comes() -> None:
    """The SDK says so before the span is exported."""
    [run] = fold([model(2, 1)], [an_event(names.RUN_ENDED, stop__reason="budget_cost")])

    assert (run.status, run.failure_mode) == ("killed", "budget")


def test_a_run_is_paused_between_its_pause_and_its_resume() -> None:
    """S1.12, S1.14: the time is kept, the run is not closed meanwhile."""
    paused, resumed = an_event(names.RUN_PAUSED, 5), an_event(names.RUN_RESUMED, 25)
    assembler = Assembler()
    assembler.add([model(2, 1)], 0)
    assembler.add_event(paused, 0)

    assert assembler.changes().runs[0].status == "paused"
    assert assembler.quiet(10_000 * SECOND) == []
    assert fold([model(2, 1)], [paused, resumed])[0].paused_ns == 20


def test_a_run_that_announced_itself_is_initiated() -> None:
    """Before its first span ends nothing else is known of it."""
    [run] = fold([], [an_event(names.RUN_STARTED)])

    assert (run.run_id, run.status) == (TRACE, "initiated")


SAID = {
    "gen_ai.agent.name": "support",
    "agentrun.agent.id": "a-7",
    "user.id": "ada",
    "session.id": "s1",
    "gen_ai.workflow.name": "returns",
    "agentrun.run.trigger": "cron",
    "agentrun.tag.team": "blue",
}
BEGAN = make_event(names.RUN_STARTED, BASE_NS, run_id=TRACE, trace_id=TRACE, attributes=SAID)


def whose(run: Run) -> tuple[object, ...]:
    return (
        run.agent_name, run.agent_id, run.user_id, run.session_id, run.workflow_name, run.trigger,
        run.tags,
    )  # fmt: skip


def test_a_live_or_lost_run_is_somebodys_before_its_root_has_ended() -> None:
    """S2.18: agent, user and session of a run are known from its start, also when it is killed,
    and before the first of its steps, whichever names itself otherwise."""
    expected = ("support", "a-7", "ada", "s1", "returns", "cron", {"team": "blue"})
    lost = an_event(names.RUN_CLOSED, 9, stop__reason="lost")
    step = model(2, 1, agent_name="helper", labels={"session_id": "other"})

    [initiated] = fold([], [BEGAN])
    [running] = fold([step], [BEGAN])
    [ended] = fold([step], [lost, BEGAN])

    assert [whose(run) for run in (initiated, running, ended)] == [expected] * 3
    assert [run.status for run in (initiated, running, ended)] == ["initiated", "running", "failed"]


def test_the_first_of_several_starts_counts_and_none_where_the_root_is_there() -> None:
    """A root says more, and is what the run was in the end."""
    later = make_event(
        names.RUN_STARTED, BASE_NS + 1, run_id=TRACE, trace_id=TRACE,
        attributes={"gen_ai.agent.name": "impostor"},
    )  # fmt: skip

    [running] = fold([model(2, 1)], [later, BEGAN])
    [ended] = fold([agent(1, name="root"), model(2, 1)], [BEGAN])

    assert running.agent_name == "support"
    assert (ended.agent_name, ended.user_id, ended.agent_id) == ("root", "", "")


def test_feedback_long_after_the_end_changes_outcome_and_revision() -> None:
    """S3.20, S3.31: finished, and judged useless."""
    steps = [agent(1), model(2, 1)]
    judged = an_event(names.FEEDBACK, feedback__name="useful", feedback__label="soft_failure")
    [before], [after] = fold(steps), fold(steps, [judged])

    assert (after.status, after.outcome) == ("completed", "soft_failure")
    assert after.quality == {"useful": "soft_failure"}
    assert after.revision > before.revision


def test_a_call_that_is_told_of_after_its_tool_ran_is_not_pending() -> None:
    """AutoGen passes the model's request on while the tool runs, in an agent that is a child."""
    request = ToolRequest(name="search", call_id="c1")
    called = tool(3, 2, tool_call_id="c1", run_id="team")
    steps = [
        agent(1, 99, name="triage", run_id="team"),
        agent(2, 98, name="refund", run_id="team"),
        model(4, 97, tool_requests=(request,), run_id="team", start=50),
    ]
    closed = make_event(names.RUN_CLOSED, BASE_NS, run_id="team", trace_id=TRACE, attributes={})

    [ran, _] = fold([*steps, called], [closed])
    [never_ran, _] = fold(steps, [closed])

    assert (ran.run_id, ran.status) == ("team", "completed")
    assert never_ran.status == "failed"
