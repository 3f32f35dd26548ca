"""Calls of decorated functions of unusual kinds, retries among them, and errors that misbehave."""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import PurePosixPath
from typing import Any

import pytest

import otel_agentrun as agentrun
from otel_agentrun import runtime, semconv, values
from otel_agentrun.retries import FAILURES_MAX
from tests.sdk.conftest import Recorded


class Shop:
    @agentrun.tool
    @staticmethod
    def double(number: int) -> int:
        return number * 2

    @agentrun.tool
    @classmethod
    def name(cls, suffix: str) -> str:
        return cls.__name__ + suffix


class Later:
    async def __call__(self, number: int) -> int:
        await asyncio.sleep(0.02)
        return number


def test_static_and_class_methods_stay_what_they_are(app: Recorded) -> None:
    """Whichever decorator is on top."""
    assert (Shop.double(2), Shop().double(3), Shop.name("!"), Shop().name("?")) == (
        4, 6, "Shop!", "Shop?",
    )  # fmt: skip
    names = [dict(span.attributes or {})[semconv.GEN_AI_TOOL_NAME] for span in app.spans]
    assert names == ["double", "double", "name", "name"]


def test_objects_with_an_async_call_are_awaited_inside_their_step(app: Recorded) -> None:
    assert asyncio.run(agentrun.tool(Later())(4)) == 4

    [span] = app.spans
    assert (span.end_time or 0) - (span.start_time or 0) >= 15_000_000
    assert dict(span.attributes or {})[semconv.GEN_AI_TOOL_CALL_RESULT] == "4"


def test_a_part_of_a_function_is_a_function(app: Recorded) -> None:
    add = agentrun.tool(functools.partial(lambda a, b: a + b, 1))

    assert add(2) == 3
    assert len(app.spans) == 1


def test_calls_that_fail_beside_each_other_are_retried_each_for_itself(app: Recorded) -> None:
    """A fan-out: what fails or succeeds with other arguments in between makes no difference."""
    down = {"a", "b"}

    @agentrun.tool
    def search(query: str) -> str:
        if query in down:
            down.remove(query)
            raise TimeoutError
        return query

    with agentrun.run("r"):
        for query in ("a", "b", "c", "b", "a", "a"):
            try:
                search(query)
            except TimeoutError:
                continue

    attempts = [
        dict(span.attributes or {}).get(semconv.RETRY_ATTEMPT)
        for span in app.spans
        if span.name == "agent.tool search"
    ]
    assert attempts == [None, None, None, 2, 2, None]


def test_a_call_that_changes_its_arguments_is_recognized_all_the_same(app: Recorded) -> None:
    @agentrun.tool
    def drain(items: list[int]) -> int:
        items.pop()
        raise ConnectionError

    with agentrun.run("r"):
        for _ in range(2):
            with pytest.raises(ConnectionError):
                drain([1, 2, 3])

    last = dict(app.spans[1].attributes or {})
    assert (last[semconv.RETRY_ATTEMPT], last[semconv.RETRY_REASON]) == (2, "connection_error")


def test_of_many_failed_calls_the_newest_are_remembered(app: Recorded) -> None:
    with agentrun.run("r") as run:
        for number in (*range(FAILURES_MAX + 10), FAILURES_MAX + 9):
            with agentrun.tool("t", arguments={"n": number}) as step:
                step.fail("timeout")
        assert run.scope is not None
        assert len(run.scope.failures) == FAILURES_MAX

    assert dict(app.spans[-2].attributes or {})[semconv.RETRY_ATTEMPT] == 2


class Hostile(Exception):
    """As clients' errors are whose request or response is not there."""

    @property
    def response(self) -> Any:
        raise RuntimeError("no response")

    @property
    def status_code(self) -> int:
        raise RuntimeError("no status")

    def __str__(self) -> str:
        raise ValueError


def test_errors_that_cannot_be_asked_cost_the_step_nothing(app: Recorded) -> None:
    def work() -> None:
        with agentrun.run("r"), agentrun.tool("t") as step:
            step.result("partial")
            raise Hostile

    with pytest.raises(Hostile):
        work()

    said = app.said("agent.tool t")
    assert said[semconv.GEN_AI_TOOL_CALL_RESULT] == "partial"
    assert said[semconv.ERROR_TYPE] == "Hostile"
    assert app.said("agent.run r")[semconv.STOP_REASON] == "tool_failure"


def test_a_run_is_over_even_if_its_end_cannot_be_recorded(
    app: Recorded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing may be taken for its step afterwards; what went wrong is logged without a value."""
    runtime.forget_warnings()

    def fail(*_: object) -> None:
        raise RuntimeError("quotes a prompt")

    monkeypatch.setattr("otel_agentrun.run_step.usage", fail)
    with caplog.at_level(logging.WARNING), agentrun.run("r") as run:
        pass

    assert run.scope is not None
    assert run.scope.ended
    assert len(app.spans) == 1
    [message] = caplog.messages
    assert message.startswith("step_not_recorded error=RuntimeError at test_calls.py:")
    runtime.forget_warnings()


class Color(Enum):
    RED = 1


class Tier(StrEnum):
    GOLD = "gold"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Tier.GOLD, "gold"),
        (Color.RED, "Color.RED"),
        (Decimal("1.50"), "1.50"),
        (datetime.date(2030, 1, 2), "2030-01-02"),
        (PurePosixPath("a/b"), "a/b"),
        (b"abc", "<3 bytes>"),
        (ValueError("x"), "ValueError('x')"),
        ({"at": datetime.date(2030, 1, 2)}, '{"at":"2030-01-02"}'),
        (1 << 70, str(1 << 70)),
        (["a", "b"], ("a", "b")),
        ({"x"}, ("x",)),
        ([1, "a"], '[1,"a"]'),
        ([], ()),
    ],
)
def test_values_are_attributes_by_the_text_they_have(value: Any, kept: object) -> None:
    """Not by the code that makes them, and never in quotes of their own."""
    assert values.attribute(value, 100) == kept


def test_names_that_are_no_names_are_left_out(app: Recorded, caplog: Any) -> None:
    odd: Any = {"": 1, 5: "five", "fine": True}
    with agentrun.run("r"), agentrun.tool("t", attributes=odd) as step:
        step.set("", "x")

    said = app.said("agent.tool t")
    assert (said["5"], said["fine"]) == ("five", True)
    assert "" not in said
    assert caplog.messages == []
