"""Pydantic AI: what its captures do not show (version 1, refused calls, output tools)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Kind, SpanEvent, SpanView, Status, Step

SCOPE = "pydantic-ai"
RETRY = SpanEvent(
    "exception",
    1,
    {"exception.type": "pydantic_ai.exceptions.ToolRetryError", "exception.message": "try again"},
)


def view(operation: str, code: str = "Unset", **attributes: Any) -> SpanView:
    """Attributes with `__` for a dot."""
    return SpanView(
        trace_id="a",
        span_id="b",
        name=operation,
        scope=SCOPE,
        status_code=code,
        events=[RETRY] if code == "Error" else [],
        attributes={
            "gen_ai.operation.name": operation,
            **{key.replace("__", "."): value for key, value in attributes.items()},
        },
    )


def refused(name: str = "get_weather", **attributes: Any) -> Step:
    return dialects.step(view("execute_tool", "Error", gen_ai__tool__name=name, **attributes))


EVENTS = [
    {"event.name": "gen_ai.user.message", "role": "user", "content": "weather?"},
    {
        "event.name": "gen_ai.assistant.message",
        "role": "assistant",
        "tool_calls": [{"id": "c0", "function": {"name": "earlier", "arguments": {}}}],
    },
    {"event.name": "gen_ai.tool.message", "role": "tool", "id": "c0", "content": "18C"},
]
ASKS = {
    "event.name": "gen_ai.choice",
    "index": 0,
    "message": {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "function": {"name": "get_weather", "arguments": "{}"}}],
    },
}


def test_version_1_tells_requests_and_answer_as_its_last_event() -> None:
    """One attribute holds all that was said: earlier requests are not this call's."""
    span = view("chat", events=json.dumps([*EVENTS, ASKS]))

    assert [one.call_id for one in dialects.step(span).tool_requests] == ["c1"]
    assert dialects.content(span).input == "18C"
    answered = view("chat", events=json.dumps([*EVENTS, {**ASKS, "message": {"content": "done"}}]))
    assert dialects.step(answered).tool_requests == ()


def test_version_1_shows_a_runs_task() -> None:
    span = view("invoke_agent", all_messages_events=json.dumps(EVENTS), agent_name="helper")

    assert dialects.content(span).input == "weather?"
    assert dialects.step(span).agent_name == "helper"


@pytest.mark.parametrize(
    ("attributes", "typed"),
    [
        ({"pydantic_ai__tool__retry__cause": "unknown_tool"}, "unknown_tool"),
        ({"pydantic_ai__tool__retry__cause": "unavailable_tool"}, "unknown_tool"),
        ({"pydantic_ai__tool__retry__cause": "validation_error"}, "validation_error"),
        ({"pydantic_ai__output__retry__cause": "validation_error"}, "output_parse_error"),
        (
            {
                "pydantic_ai__tool__retry__cause": "validation_error",
                "gen_ai__tool__call__arguments": '{"INVALID_JSON":"{\\"city\\": \\"Par"}',
            },
            "malformed_call",
        ),
        (
            {
                "pydantic_ai__tool__retry__cause": "validation_error",
                "name": "final_result",
            },
            "output_parse_error",
        ),
        ({"pydantic_ai__tool__retry__cause": "model_retry"}, "ToolRetryError"),
    ],
)
def test_the_cause_of_a_retry_is_a_typed_error(attributes: dict[str, Any], typed: str) -> None:
    """S3.44; as pydantic-ai 2.68 sends it."""
    step = refused(**attributes)

    assert (step.status, step.error_type) == (Status.ERROR, typed)


def test_arguments_that_do_not_parse_are_malformed() -> None:
    """1.x says so in the exception's text only; the arguments show it."""
    assert refused(tool_arguments='{"city": "Par').error_type == "malformed_call"


@pytest.mark.parametrize("code", ["Unset", "Error"])
def test_a_call_that_waits_for_somebody_did_not_run(code: str) -> None:
    """Before version 5 of the instrumentation a deferral is an error of the span."""
    step = dialects.step(
        view(
            "execute_tool",
            code,
            gen_ai__tool__name="refund",
            pydantic_ai__tool__deferral__name="ApprovalRequired",
        )
    )

    assert step.status is Status.SKIPPED


def test_the_output_tool_is_the_answer_and_no_request() -> None:
    """Otherwise a run that gave its structured answer waits for a tool that never runs."""
    asked = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": name}]}
             for name in ("final_result",)]  # fmt: skip
    step = dialects.step(view("chat", gen_ai__output__messages=json.dumps(asked)))

    assert (step.kind, step.tool_requests) == (Kind.MODEL, ())


def test_offered_tools_are_in_the_parameters_of_older_versions() -> None:
    parameters = {"function_tools": [{"name": "get_weather", "parameters_json_schema": {}}]}
    span = view("chat", model_request_parameters=json.dumps(parameters))

    assert dialects.content(span).tools_offered == ["get_weather"]
