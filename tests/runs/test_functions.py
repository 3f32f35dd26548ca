"""Functions that do not say what they are: a model's request makes one a tool."""

from __future__ import annotations

import itertools

import pytest

from collector.runs.functions import as_asked
from collector.runs.group import TraceGroup
from otel_agentrun.step import Kind, Role, Step
from tests.runs.builders import a_note, a_step, agent, asks, model


def function(span: int, parent: int, name: str, **fields: object) -> Step:
    return a_step(span, parent, kind=Kind.OTHER, role=Role.FUNCTION, name=name, **fields)


STEPS = (
    agent(1),
    model(2, 1, tool_requests=asks("search")),
    function(3, 1, "search"),
    function(4, 1, "helper"),
    model(5, 3),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(STEPS)))))
def test_a_function_that_a_model_asked_for_is_a_tool(order: tuple[int, ...]) -> None:
    """OpenLIT's `@openlit.trace` says nothing of its kind, and its span may come before the
    model's or after it, with rows written in between."""
    group = TraceGroup()
    for at in order:
        group.add(STEPS[at])
        group.changes()

    [run] = group.runs()
    assert (run.own.tool_calls, run.own.model_calls, run.own.steps) == (1, 2, 3)
    assert run.tools == ("search",)


def test_the_rows_of_a_function_change_when_it_turns_out_to_be_a_tool() -> None:
    group = TraceGroup()
    for step in (agent(1), function(3, 1, "search")):
        group.add(step)
    before = {placed.step.span_id: placed for placed in group.changes().steps}

    group.add(model(2, 1, tool_requests=asks("search")))
    after = {placed.step.span_id: placed for placed in group.changes().steps}

    span = function(3, 1, "search").span_id
    assert (before[span].step.kind, before[span].counted) == (Kind.OTHER, False)
    assert (after[span].step.kind, after[span].counted) == (Kind.TOOL, True)
    assert after[span].step.tool_name == "search"


def test_a_request_in_a_log_record_counts_as_well() -> None:
    group = TraceGroup()
    for step in (agent(1), function(3, 1, "search"), model(2, 1)):
        group.add(step)
    group.changes()
    group.add_event(a_note(2, "search"))

    [run] = group.runs()
    assert run.own.tool_calls == 1


def test_a_step_from_the_store_is_judged_again() -> None:
    """What was asked for when it was written may not be what is asked for now."""
    plain = function(3, 1, "search")
    found = as_asked(plain, {"search"})

    assert as_asked(found, {"search"}) is found
    assert as_asked(found, set()) == plain
    assert as_asked(plain, {"other"}) is plain
