"""Calls that a span tells of: they count in a run without spans of that kind, in any order."""

from __future__ import annotations

import random
from dataclasses import replace

from collector.runs.assembler import Assembler
from collector.runs.group import fold
from collector.runs.run import PlacedStep
from otel_agentrun.step import Kind, Role, Step, Usage

ROOT = Step(trace_id="t", span_id="r", kind=Kind.RUN, role=Role.AGENT, start_ns=1, end_ns=99)
MODEL = Step(
    trace_id="t", span_id="m", parent_span_id="r", kind=Kind.MODEL, start_ns=50, end_ns=60,
    usage=Usage(input_tokens=5, output_tokens=1),
)  # fmt: skip
TOLD = Step(
    trace_id="t", span_id="x", parent_span_id="r", kind=Kind.TOOL, role=Role.TOLD,
    tool_name="search", start_ns=49, end_ns=49,
)  # fmt: skip
TOLD_MODEL = replace(MODEL, span_id="y", role=Role.TOLD, start_ns=2, end_ns=2)
SHOWN = replace(TOLD, span_id="s", role=Role.NONE, start_ns=20, end_ns=30)


def test_a_told_call_counts_where_no_span_shows_one() -> None:
    (run,) = fold([ROOT, MODEL, TOLD])
    (alone,) = fold([ROOT, TOLD_MODEL])

    assert (run.own.tool_calls, run.own.model_calls, run.tools) == (1, 1, ("search",))
    assert (alone.own.model_calls, alone.own.input_tokens) == (1, 5)


def test_spans_win_over_what_is_told() -> None:
    """Per kind: told tools count beside model spans, told models do not."""
    (run,) = fold([ROOT, MODEL, TOLD, TOLD_MODEL, SHOWN])

    assert (run.own.tool_calls, run.own.model_calls, run.own.input_tokens) == (1, 1, 5)


def test_order_does_not_matter_and_rows_of_told_steps_leave_the_run() -> None:
    """The span of the call may come after the told step was written."""
    steps = [ROOT, MODEL, TOLD, TOLD_MODEL, SHOWN]
    for seed in range(30):
        arrived = steps + steps[:2]
        random.Random(seed).shuffle(arrived)
        assembler = Assembler()
        placed: dict[str, PlacedStep] = {}
        for step in arrived:
            assembler.add([step], 1)
            placed |= {each.step.span_id: each for each in assembler.changes().steps}
        shown = {span_id for span_id, each in placed.items() if each.run_id}

        assert not assembler.failures
        assert fold(arrived) == fold(steps)
        assert shown == {"r", "m", "s"}


def test_a_run_whose_root_never_came_is_apart_from_later_runs_below_it() -> None:
    """The context of a run that died stays on, and later runs lie below its lost span."""
    lost = [replace(MODEL, parent_span_id="gone"), replace(SHOWN, parent_span_id="gone")]
    later = replace(ROOT, span_id="n", parent_span_id="gone", start_ns=70, end_ns=90)
    inside = replace(MODEL, span_id="k", parent_span_id="n", start_ns=71, end_ns=72)
    runs = {run.run_id: run for run in fold([*lost, later, inside])}

    assert set(runs) == {"t", "t-n"}
    assert (runs["t"].own.model_calls, runs["t"].own.tool_calls) == (1, 1)
    assert runs["t-n"].own.model_calls == 1
    assert runs["t-n"].parent_run_id == ""


CHILD = replace(ROOT, span_id="c", parent_span_id="r", start_ns=20, end_ns=40)
CHILDS_TOOL = replace(SHOWN, span_id="d", parent_span_id="c", tool_name="issue_refund")


def test_what_an_agent_is_told_to_have_called_counts_beside_the_calls_of_agents_below() -> None:
    """An agent that is another one's tool, where neither has a span of its model or its tools."""
    asked = replace(TOLD, tool_name="refund_agent")
    below = [CHILD, replace(TOLD_MODEL, span_id="z", parent_span_id="c", start_ns=21), CHILDS_TOOL]

    runs = fold([ROOT, TOLD_MODEL, asked, *below])
    root = next(run for run in runs if not run.parent_run_id)

    assert (root.total.model_calls, root.total.tool_calls) == (2, 2)
    assert (root.own.model_calls, root.own.tool_calls, root.tools) == (1, 1, ("refund_agent",))


def test_a_told_tool_that_an_agent_below_shows_is_that_one() -> None:
    """An application may make an agent of every call of a tool."""
    asked = replace(TOLD, tool_name="issue_refund")

    runs = fold([ROOT, MODEL, asked, CHILD, CHILDS_TOOL])

    assert next(run for run in runs if not run.parent_run_id).total.tool_calls == 1


def test_the_revision_counts_spans_and_not_what_they_tell_of() -> None:
    """A told call that was never shown is not in the store: after a restart the revision must not
    be lower than that of the rows that are there."""
    assembler = Assembler()
    assembler.add([ROOT, MODEL, TOLD, TOLD_MODEL, SHOWN], 1)
    (before,) = assembler.changes().runs
    (after,) = fold([ROOT, MODEL, SHOWN])

    assert before.revision == after.revision
