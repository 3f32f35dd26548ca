"""Streamed calls that two emitters record in pieces are one call, and two calls never are."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from collector.runs.assembler import Assembler
from collector.runs.group import TraceGroup, fold
from collector.runs.run import Run
from otel_agentrun.step import Role, Status, Step, ToolRequest, Usage
from tests.runs.builders import a_step, agent, model, tool

DATED = "gpt-4o-mini-2024-07-18"


def lazy(span: int, parent: int = 1, **fields: Any) -> Step:
    """LlamaIndex's span of a streamed call: it ends before its client is asked."""
    fields.setdefault("usage", None)
    return model(span, parent, role=Role.OPENING, scope="llama_index", **fields)


def client(span: int, parent: int = 1, **fields: Any) -> Step:
    """What the instrumented client says of the call."""
    return model(span, parent, **({"model": DATED, "scope": "openai"} | fields))


def request(span: int, parent: int = 1, **fields: Any) -> Step:
    """Logfire's span of the request of a stream."""
    return a_step(span, parent, role=Role.OPENING, scope="logfire", **fields)


def end(span: int, parent: int = 1, *, at: int, **fields: Any) -> Step:
    """Logfire's record of the end of a stream."""
    return model(span, parent, start=at, end=at, role=Role.CLOSING, scope="logfire", **fields)


def native(span: int, parent: int, **fields: Any) -> Step:
    """The span of the SDK that was asked."""
    return model(span, parent, scope="sdk", **fields)


def only(*steps: Step) -> Run:
    [run] = fold([agent(1), *steps])
    return run


def in_any_order(*steps: Step) -> list[Run]:
    return [fold(order)[0] for order in itertools.permutations((agent(1), *steps))]


def test_a_lazy_stream_and_the_span_of_its_client_are_one_call() -> None:
    """The first has no tokens and ends before the second begins; the second counts."""
    for run in in_any_order(lazy(2, start=10, end=12), client(3, start=13, end=50)):
        assert (run.own.model_calls, run.own.input_tokens) == (1, 100)


def test_a_loop_of_lazy_streams_has_one_call_a_turn() -> None:
    """All under one span, with tools between."""
    turns = [
        step
        for at in (10, 30, 50)
        for step in (
            lazy(at, start=at, end=at + 1),
            client(at + 1, start=at + 2, end=at + 9),
            tool(at + 2, 1, start=at + 10, end=at + 11),
        )
    ]

    assert only(*turns).own.model_calls == 3


def test_lazy_streams_that_run_at_once_take_one_span_each() -> None:
    """Both are asked for before either is read: two calls, whichever is whose."""
    begun = (lazy(2, start=10, end=11), lazy(3, start=12, end=13))
    read = (client(4, start=14, end=40), client(5, start=15, end=41))

    for run in in_any_order(*begun, *read):
        assert (run.own.model_calls, run.own.input_tokens) == (2, 200)


def test_a_stream_that_nobody_has_read_takes_no_span_of_a_later_one() -> None:
    """What follows continues the newest."""
    left, begun, read = lazy(2, start=10, end=11), lazy(3, start=20, end=21), client(4, start=22)
    group = TraceGroup()
    for step in (agent(1), left, begun, read):
        group.add(step)
    duplicates = {each.step.span_id: each.duplicate_of for each in group.changes().steps}

    assert duplicates[begun.span_id] == read.span_id
    assert duplicates[left.span_id] == ""


def test_nested_spans_of_a_lazy_stream_are_one_call_with_its_clients() -> None:
    """`OpenAI.stream` around `OpenAI.stream_chat`."""
    outer, inner = lazy(2, start=10, end=20), lazy(3, 2, start=11, end=19)

    for run in in_any_order(outer, inner, client(4, start=21, end=40)):
        assert run.own.model_calls == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model": "gpt-4o-2024-08-06"},
        {"model": ""},
        {"parent": 9},
        {"scope": "llama_index"},
        {"start": 11},
        {"start": 5, "end": 8},
        {"status": Status.ERROR, "usage": None},
        {"tool_requests": (ToolRequest(name="search", call_id="c2"),)},
        {"response_id": "r2"},
        {"usage": Usage(input_tokens=99, output_tokens=10)},
    ],
    ids=str,
)
def test_a_call_that_may_be_another_stays_another(other: dict[str, Any]) -> None:
    """Another model, place or emitter, at once or before, another end, answer or size."""
    said = lazy(
        2, start=10, end=12, tool_requests=(ToolRequest(name="search", call_id="c1"),),
        response_id="r1", usage=Usage(input_tokens=100, output_tokens=10),
    )  # fmt: skip
    parent = other.pop("parent", 1)
    same = client(3, start=13, end=50)
    different = client(3, parent, **({"start": 13, "end": 50} | other))

    assert only(said, same).own.model_calls == 1
    assert only(said, different, a_step(9, 1)).own.model_calls == 2


def test_calls_that_are_not_streamed_are_never_pieces() -> None:
    """A framework's call, then one of a client of the application's own."""
    first = model(2, 1, start=10, end=12, scope="llama_index", usage=None)

    assert only(first, client(3, start=13, end=50)).own.model_calls == 2


def test_a_lazy_stream_that_failed_is_one_error() -> None:
    """The client's span of a call that failed may not name the model; the error is the same."""
    failed: dict[str, Any] = {"status": Status.ERROR, "usage": None, "error_message": "too long"}
    begun = lazy(2, start=10, end=11, **failed)

    for run in in_any_order(begun, client(3, start=13, end=20, **(failed | {"model": ""}))):
        assert (run.own.model_calls, run.own.model_errors) == (1, 1)
    other = client(3, start=13, end=20, **(failed | {"model": "", "error_message": "no"}))
    assert only(begun, other).own.model_errors == 2


def test_the_end_of_a_stream_and_the_sdks_own_span_are_one_call() -> None:
    """The SDK's span lies in the span of the request, and the end is beside that."""
    steps = (
        request(2, start=10, end=12),
        native(3, 2, start=11, end=50, tokens=120),
        end(4, at=52, usage=Usage(input_tokens=120, output_tokens=1)),
    )

    for run in in_any_order(*steps):
        own = run.own
        assert (own.model_calls, own.input_tokens, own.output_tokens) == (1, 120, 12)


def test_every_stream_in_a_loop_has_its_own_end() -> None:
    """One after the other, and equal in all they say."""
    turns = [
        step
        for at in (10, 30, 50)
        for step in (
            request(at, start=at, end=at + 2),
            native(at + 1, at, start=at + 1, end=at + 9),
            end(at + 2, at=at + 10),
        )
    ]

    assert only(*turns).own.model_calls == 3
    assert only(*turns[::-1]).own.input_tokens == 300


def test_equal_streams_at_once_stay_two_calls() -> None:
    """Fan-out of one prompt: equal model and counts, overlapping."""
    steps = (
        request(2, start=10, end=12), native(4, 2, start=11, end=50), end(6, at=52),
        request(3, start=10, end=13), native(5, 3, start=12, end=40), end(7, at=41),
    )  # fmt: skip

    orders = list(itertools.permutations(steps))
    for order in orders[:: len(orders) // 60]:
        assert (only(*order).own.model_calls, only(*order).own.input_tokens) == (2, 200)


def test_ends_of_streams_without_other_spans_count_as_they_did() -> None:
    """Only Logfire: an end is a call; a request whose stream was not read is none."""
    steps = (request(2, start=10, end=12), end(3, at=20), request(4, start=30, end=32))

    assert only(*steps).own.model_calls == 1


def test_an_sdk_span_whose_stream_has_no_end_is_a_call() -> None:
    """Its end was never told: the next end is that of the next request."""
    steps = (
        request(2, start=10, end=12), native(3, 2, start=11, end=20),
        request(4, start=30, end=32), native(5, 4, start=31, end=40), end(6, at=41),
    )  # fmt: skip

    assert only(*steps).own.model_calls == 2


def test_a_stream_that_broke_off_is_a_failed_call() -> None:
    """Its end is told all the same, and never as an error."""
    steps = (
        request(2, start=10, end=12),
        native(3, 2, start=11, end=50, status=Status.ERROR, usage=None),
        end(4, at=52),
    )

    for run in in_any_order(*steps):
        assert (run.own.model_calls, run.own.model_errors) == (1, 1)


def test_what_arrives_late_takes_back_what_was_joined() -> None:
    """Until the request of an end comes, an older one looks like its own."""
    left = (request(2, start=10, end=12), native(3, 2, start=11, end=20))
    later = (request(4, start=30, end=32), native(5, 4, start=31, end=40))
    ended = end(6, at=41)
    assembler = Assembler()
    calls = []
    for batch in ((agent(1), *left, ended), later):
        assembler.add(list(batch), 1)
        calls.append(assembler.changes().runs[0].own.model_calls)

    assert calls == [1, 2]
