"""Calls of clients without a span around them: traces that are one run (DIALECTS rule 6)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from collector.runs.assembler import Assembler, AssemblerSettings, Stored, Tie
from collector.runs.run import Changes, Run
from otel_agentrun.dialects.told import Told, steps
from otel_agentrun.step import Kind, Step, ToolRequest
from tests.runs.builders import a_step, model

CALLS = ("call_5f1d03a9c2", "call_77b0e1d4aa", "call_c0ffee4213")


def asks(*call_ids: str) -> tuple[ToolRequest, ...]:
    return tuple(ToolRequest(name="search", call_id=call_id) for call_id in call_ids)


def call(number: int, *results: str, then: tuple[str, ...] = (), **fields: Any) -> list[Step]:
    """The `number`th model call, a trace of its own: it is given results and asks for tools."""
    at = 100 * number
    fields |= {"trace_id": f"{number:032x}", "start": at, "end": at + 50}
    step = model(number, tool_requests=asks(*then), **fields)
    given = [Told(kind=Kind.TOOL, name="search", call_id=one, result="r") for one in results]
    return [step, *steps(step, given)]


FIRST = call(1, then=CALLS[:1])
SECOND = call(2, CALLS[0], then=CALLS[1:])
THIRD = call(3, *CALLS[1:])


def current(*parts: Changes) -> list[Run]:
    """As the store keeps them."""
    runs: dict[str, Run] = {}
    for changes in parts:
        for removed in changes.removed:
            runs.pop(removed.run_id, None)
        runs |= {run.run_id: run for run in changes.runs}
    return list(runs.values())


def folded(*requests: list[Step], settings: AssemblerSettings | None = None) -> list[Run]:
    assembler = Assembler(settings)
    parts = []
    for request in requests:
        assembler.add(request, 1)
        parts.append(assembler.changes())
    return current(*parts)


def test_calls_that_bring_results_of_the_one_before_are_one_run() -> None:
    """Its id is that of the first trace; it ended with the last call, whose answer is its own."""
    [run] = folded(FIRST, SECOND, THIRD)

    assert run.run_id == f"{1:032x}"
    assert run.trace_ids == (f"{1:032x}", f"{2:032x}", f"{3:032x}")
    assert (run.started_at_ns, run.ended_at_ns) == (FIRST[0].start_ns, THIRD[0].end_ns)
    assert (run.status, run.root_span_id) == ("completed", "")
    assert (run.total.model_calls, run.total.tool_calls) == (3, 3)
    assert run.input_span[0] == f"{1:032x}"
    assert run.output_span[0] == f"{3:032x}"


@pytest.mark.parametrize("order", list(itertools.permutations((FIRST, SECOND, THIRD))))
def test_their_order_does_not_matter(order: tuple[list[Step], ...]) -> None:
    """Promise 3."""
    assert folded(*order) == folded([*FIRST, *SECOND, *THIRD])


def test_the_results_of_an_earlier_turn_do_not_tie_the_next_one() -> None:
    """A chat repeats its history; only results that are new since the last answer are told."""
    turn = call(4, then=("call_0d0d0d0d0d",))

    assert len(folded(FIRST, SECOND, THIRD, turn)) == 2


def test_a_tool_with_a_span_of_its_own_trace_is_part_of_the_run() -> None:
    span = a_step(
        9, kind=Kind.TOOL, tool_name="search", tool_call_id=CALLS[0], trace_id=f"{9:032x}",
        start=160, end=170,
    )  # fmt: skip
    [run] = folded(FIRST, [span], SECOND, THIRD)

    assert run.total.model_calls == 3
    assert f"{9:032x}" in run.trace_ids


def test_a_request_that_is_tried_again_tells_of_no_other_call() -> None:
    again = call(4, CALLS[0])

    [run] = folded(FIRST, call(2, CALLS[0]), again)

    assert (run.total.model_calls, run.total.tool_calls) == (3, 1)


def test_a_failed_last_call_is_how_the_run_ended() -> None:
    failed = call(2, CALLS[0], status="error", error_type="upstream_5xx")

    [run] = folded(FIRST, failed)

    assert (run.status, run.failure_mode, run.error_type) == (
        "failed",
        "model_error",
        "upstream_5xx",
    )


@pytest.mark.parametrize("call_id", ["call_0", "1", "search_2", ""])
def test_ids_that_are_not_unique_tie_nothing(call_id: str) -> None:
    """Local models number the calls of each answer."""
    assert len(folded(call(1, then=(call_id,)), call(2, call_id))) == 2


def test_workspaces_and_explicit_runs_stay_apart() -> None:
    acme = call(2, CALLS[0], labels={"workspace": "acme"})
    named = call(2, CALLS[0], run_id="mine")

    assert len(folded(FIRST, acme)) == 2
    assert len(folded(FIRST, named)) == 2


def test_where_only_explicit_ids_bound_runs_nothing_is_tied() -> None:
    """S1.38."""
    settings = AssemblerSettings(boundary=lambda _: "explicit")

    assert len(folded(FIRST, SECOND, settings=settings)) == 2


def test_calls_below_another_span_are_not_tied() -> None:
    """They have a run already, or something that says whose they are."""
    other = call(2, CALLS[0])
    inside = model(7, 6, trace_id=f"{7:032x}", tool_requests=asks(CALLS[0]), start=50)

    assert len(folded([inside], other)) == 2


def test_a_call_that_has_left_memory_is_found_by_the_id_of_its_tool_call() -> None:
    """Tools may take minutes; the store has what came before."""
    assembler = Assembler(AssemblerSettings(linger_ns=0))
    assembler.add(FIRST, 1)
    assembler.unknown()
    written = assembler.changes()
    assert assembler.forget(10) == [f"{1:032x}"]

    assembler.add(SECOND, 11)
    unknown = assembler.unknown()
    assert Tie("", CALLS[0], SECOND[0].start_ns) in unknown.ties
    assembler.restore(Stored(steps=tuple(FIRST), events=(), runs=written.runs), 11)
    [run] = assembler.changes().runs

    assert run.trace_ids == (f"{1:032x}", f"{2:032x}")


def test_a_call_that_comes_after_a_newer_version_of_a_span_of_its_trace_is_tied() -> None:
    """The trace is counted anew only when somebody looks."""
    [step, *told_of] = SECOND
    child = a_step(8, 2, trace_id=step.trace_id, start=210, end=220)

    [run] = folded([*FIRST, child, replace(child, version=child.version + 1), step, *told_of])

    assert run.trace_ids == (f"{1:032x}", f"{2:032x}")


RESPONSE = "msg_01XFDUDYJgAACzvnptvVoYEL"


def recorded_twice(**other: Any) -> tuple[list[Step], list[Step]]:
    """One call as two emitters record it, each as a trace of its own."""
    own = call(1, then=CALLS[:1], response_id=RESPONSE, scope="com.anthropic.sdk.python")
    said = {"trace_id": f"{5:032x}", "span_id": f"{5:016x}", "scope": "openllmetry", **other}
    return own, [replace(own[0], **said)]


def test_a_call_that_two_emitters_record_as_traces_is_one_call() -> None:
    """The Anthropic SDK's own span beside an instrumentation's, with nothing around them."""
    own, again = recorded_twice()
    for order in ((own, again), (again, own), ([*again, *own],)):
        [run] = folded(*order)
        assert (run.total.model_calls, run.total.input_tokens) == (1, 100)
        assert run.trace_ids == (own[0].trace_id, again[0].trace_id)
        assert "duplicate_model_spans" in run.data_quality

    [run] = folded(own, again, SECOND, THIRD)
    assert (run.total.model_calls, run.total.tool_calls) == (3, 3)


def test_what_is_shown_of_a_call_that_was_recorded_twice() -> None:
    own, again = recorded_twice()
    assembler = Assembler()
    assembler.add([*own, *again], 1)
    changes = assembler.changes()

    rows = {placed.step.span_id: placed for placed in changes.steps}
    assert [rows[s.span_id].counted for s in (own[0], again[0])] == [True, False]
    assert rows[again[0].span_id].duplicate_of == own[0].span_id
    assert rows[again[0].span_id].run_id == own[0].trace_id
    assembler.add(again, 2)
    assert assembler.changes().steps == ()


@pytest.mark.parametrize(
    "other",
    [
        {"scope": "com.anthropic.sdk.python"},
        {"start_ns": THIRD[0].start_ns, "end_ns": THIRD[0].end_ns},
    ],
)
def test_equal_response_ids_alone_are_not_one_call(other: dict[str, Any]) -> None:
    """A cache may answer again with what it has."""
    own, again = recorded_twice(**other)

    assert sum(run.total.model_calls for run in folded(own, again)) == 2
