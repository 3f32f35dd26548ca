"""`data_quality`: what a run's steps did not say, and when nothing is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.runs.group import fold
from collector.runs.quality import NOTES
from collector.runs.run import Run
from otel_agentrun.step import Kind, Role, Status, Step, ToolRequest, Usage
from tests.runs.builders import a_step

WHOLE = Usage(input_tokens=10, output_tokens=2, cache_read_tokens=0, reasoning_tokens=0)


ASKED = (ToolRequest(name="t"),)


def run_of(*steps: Step) -> Run:
    [run] = fold([a_step(1, kind=Kind.RUN, role=Role.AGENT), *steps])
    return run


def model(span: int, usage: Usage | None = WHOLE, **fields: object) -> Step:
    return replace(a_step(span, 1, kind=Kind.MODEL, model="m"), usage=usage, **fields)  # type: ignore[arg-type]  # fields of Step


def tool(span: int, **fields: object) -> Step:
    return replace(a_step(span, 1, kind=Kind.TOOL, tool_name="t"), **fields)  # type: ignore[arg-type]  # fields of Step


def quality(*steps: Step) -> set[str]:
    """Without the price: these folds have no price list."""
    only_tools = {"model_spans_missing"} if steps and steps[0].kind is Kind.TOOL else set()
    return set(run_of(*steps).data_quality) - {"price_unknown"} - only_tools


def test_a_run_that_says_everything_has_no_note() -> None:
    """Zero that was stated is zero."""
    assert quality(model(2), tool(3, arguments_digest="a", result_digest="b"), model(4)) == set()


@pytest.mark.parametrize(
    ("steps", "note"),
    [
        ([model(2, None)], "tokens_missing"),
        ([model(2, Usage(cache_read_tokens=1))], "tokens_missing"),
        ([model(2, replace(WHOLE, cache_read_tokens=None))], "cached_tokens_missing"),
        ([model(2, replace(WHOLE, reasoning_tokens=None))], "reasoning_tokens_missing"),
        ([model(2, model="")], "model_missing"),
        ([tool(2, result_digest="b")], "arguments_missing"),
        ([tool(2, arguments_digest="a")], "results_missing"),
        ([model(2, tool_requests=ASKED), model(3)], "tool_spans_missing"),
        ([model(2, tool_requests=ASKED), model(3, tool_requests=ASKED)], "tool_spans_missing"),
        ([model(2, role=Role.TOLD)], "model_calls_from_messages"),
        (
            [tool(2, role=Role.TOLD, arguments_digest="a", result_digest="b")],
            "tool_calls_from_messages",
        ),
        ([], "model_spans_missing"),
    ],
)
def test_what_no_step_says_is_noted(steps: list[Step], note: str) -> None:
    assert quality(*steps) == {note}


def test_a_field_that_is_stated_once_is_known_to_be_sent() -> None:
    """Several emitters leave out what is zero or empty."""
    assert quality(model(2), model(3, replace(WHOLE, cache_read_tokens=None))) == set()
    whole = tool(2, arguments_digest="a", result_digest="b")
    assert quality(whole, tool(3)) == set()


def test_calls_that_have_spans_are_not_said_to_be_without() -> None:
    """What messages repeat of them is not counted."""
    told = tool(2, role=Role.TOLD, arguments_digest="a", result_digest="b")
    whole = tool(3, arguments_digest="a", result_digest="b")

    assert quality(whole, told) == set()
    assert quality(model(4), model(5, role=Role.TOLD)) == set()


def test_a_failure_has_nothing_to_say() -> None:
    """A failed call used nothing, a failed tool returned nothing, a limit stops what was asked."""
    assert quality(model(2, None, status=Status.ERROR)) == set()
    assert quality(tool(2, arguments_digest="a", status=Status.ERROR)) == set()
    assert quality(model(2, tool_requests=ASKED)) == set()


def test_every_note_is_explained() -> None:
    """Sorted, so that a run's list is deterministic, and with words for a person."""
    assert list(NOTES) == sorted(NOTES)
    assert all(NOTES.values())
