"""Which step of a run is its answer."""

from __future__ import annotations

from dataclasses import replace

from collector.runs.document import responds
from collector.runs.run import Run
from otel_agentrun.step import Kind, Role, Status
from tests.runs.builders import BASE_NS, TRACE, asks, model
from tests.support.truth import assembled, load


def test_the_last_model_call_that_asks_for_no_tool_is_the_response() -> None:
    """Of a run that ended; a call that asks for tools, or failed, answers nothing."""
    answer = model(2)
    run = Run(
        run_id=TRACE,
        group_id=TRACE,
        ended_at_ns=BASE_NS,
        output_span=(TRACE, answer.span_id),
    )

    assert responds(run, answer)
    assert not responds(replace(run, ended_at_ns=0), answer)
    assert not responds(run, replace(answer, span_id="c"))
    assert not responds(run, replace(answer, tool_requests=asks("search")))
    assert not responds(run, replace(answer, status=Status.ERROR))
    assert not responds(run, replace(answer, kind=Kind.TOOL))
    assert not responds(run, replace(answer, role=Role.RESPONSE)), "it says so itself"


def test_a_run_that_hands_its_task_over_answers_what_that_agent_answered() -> None:
    """Google ADK's schema 1 runs the agent below the one that called `transfer_to_agent`."""
    changes, _ = assembled(load("adk-legacy"))
    [run] = [
        run for run in changes.runs if run.agent_name == "triage_agent" and not run.parent_run_id
    ]
    [child] = [other for other in changes.runs if other.parent_run_id == run.run_id]

    assert run.output_span == child.output_span != ("", "")
