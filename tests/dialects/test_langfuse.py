"""Langfuse: what its capture does not show: version 3, other usage, LangGraph, plain functions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanView, Status, Usage

OBSERVATION = "langfuse.observation."


def view(kind: str, attributes: dict[str, Any] | None = None, **more: Any) -> SpanView:
    given = {OBSERVATION + key: value for key, value in (attributes or {}).items()}
    found = {OBSERVATION + "type": kind, **given}
    return SpanView(trace_id="a", span_id="b", attributes=found, scope="langfuse-sdk", **more)


def used(details: dict[str, Any]) -> Usage | None:
    return dialects.step(view("generation", {"usage_details": json.dumps(details)})).usage


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("generation", Kind.MODEL),
        ("embedding", Kind.MODEL),
        ("agent", Kind.RUN),
        ("tool", Kind.TOOL),
        ("retriever", Kind.RETRIEVE),
        ("guardrail", Kind.VALIDATE),
        ("evaluator", Kind.VALIDATE),
        ("event", Kind.OTHER),
        ("chain", Kind.OTHER),
        ("of the future", Kind.OTHER),
    ],
)
def test_an_observation_type_is_a_kind(kind: str, expected: Kind) -> None:
    assert dialects.step(view(kind, parent_span_id="c")).kind is expected


def test_the_openai_wrappers_counts_hold_their_parts() -> None:
    details = {
        "prompt_tokens": 1350,
        "completion_tokens": 49,
        "total_tokens": 1399,
        "prompt_tokens_details": {"cached_tokens": 1024},
        "completion_tokens_details": {"reasoning_tokens": 16},
    }

    assert used(details) == Usage(
        input_tokens=1350, cache_read_tokens=1024, output_tokens=49, reasoning_tokens=16
    )


def test_the_callbacks_counts_are_put_together() -> None:
    """LangChain's callback takes cached and reasoning tokens out; a price needs the whole."""
    details = {
        "input": 326,
        "output": 33,
        "total": 1399,
        "input_audio": 0,
        "input_cache_read": 1024,
        "output_reasoning": 16,
    }

    assert used(details) == Usage(
        input_tokens=1350, cache_read_tokens=1024, output_tokens=49, reasoning_tokens=16
    )


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        pytest.param(
            {"input": 10, "output": 5, "cache_read_input_tokens": 100},
            Usage(input_tokens=110, cache_read_tokens=100, output_tokens=5),
            id="parts, as the documentation shows for Anthropic",
        ),
        pytest.param(
            {"input": 110, "output": 5, "cache_read_input_tokens": 100, "total": 115},
            Usage(input_tokens=110, cache_read_tokens=100, output_tokens=5),
            id="sums that make up the total",
        ),
        pytest.param(
            {"input": 10, "output": 5, "input_cache_creation": 0, "input_ephemeral_5m": 90},
            Usage(input_tokens=100, cache_write_tokens=90, output_tokens=5),
            id="cache writes by their tier",
        ),
        pytest.param(
            {"input": 10, "output": 5, "input_priority": 10, "output_priority": 5},
            Usage(input_tokens=10, output_tokens=5),
            id="a service tier is no part",
        ),
        pytest.param({"input": 8}, Usage(input_tokens=8), id="an embedding"),
        pytest.param({"input": "many"}, None, id="no number"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_an_applications_own_counts(details: dict[str, Any], expected: Usage | None) -> None:
    assert used(details) == expected


def test_a_cost_is_the_total_or_the_sum_of_its_parts() -> None:
    """Zero is what Langfuse sends for a call that failed: it is no price."""
    costs = [
        dialects.step(view("generation", {"cost_details": json.dumps(sent)})).cost_nano_usd
        for sent in ({"total": 0.002}, {"input": 0.001, "output": 0.0005}, {"total": 0})
    ]

    assert costs == [2_000_000, 1_500_000, None]


def test_a_langchain_tool_is_read_out_of_its_message() -> None:
    message = {"type": "tool", "content": "18C", "tool_call_id": "call_1", "status": "success"}
    step = dialects.step(
        view("tool", {"input": "{'city': 'Rome'}", "output": json.dumps(message)}, name="weather")
    )

    assert (step.tool_name, step.tool_call_id) == ("weather", "call_1")
    assert step.arguments_digest == arguments.digest({"city": "Rome"})
    assert step.result_digest == arguments.result_digest("18C")
    assert step.status is Status.SUCCESS


def test_a_tool_message_that_reports_an_error_is_one() -> None:
    message = {"type": "tool", "content": "no such city", "tool_call_id": "c", "status": "error"}

    step = dialects.step(view("tool", {"output": json.dumps(message)}))

    assert (step.status, step.error_message) == (Status.ERROR, "no such city")


def test_arguments_are_the_same_positional_or_wrapped() -> None:
    """A loop is seen only when equal calls are equal."""
    sent = '{"args": [], "kwargs": {"order_id": "A-1001"}}'

    step = dialects.step(view("tool", {"input": sent}))

    assert step.arguments_digest == arguments.digest({"order_id": "A-1001"})


def test_the_level_makes_an_error_where_the_status_does_not() -> None:
    step = dialects.step(
        view("generation", {"level": "ERROR", "status_message": "Rate limit reached"})
    )

    assert step.status is Status.ERROR
    assert step.error_message == "Rate limit reached"


def test_a_message_without_an_error_is_none() -> None:
    step = dialects.step(view("tool", {"level": "WARNING", "status_message": "slow"}))

    assert (step.status, step.error_message) == (Status.SUCCESS, "")


@pytest.mark.parametrize(
    ("tier", "text"), [('"gold"', "version 5 sends JSON"), ("gold", "version 3 sends text")]
)
def test_who_and_what_of_the_trace(tier: str, text: str) -> None:
    span = SpanView(
        trace_id="a",
        span_id="b",
        scope="langfuse-sdk",
        attributes={
            "langfuse.observation.type": "agent",
            "session.id": "s-1",
            "user.id": "u-1",
            "langfuse.trace.tags": ["demo"],
            "langfuse.trace.metadata.tier": tier,
            "langfuse.trace.metadata.lc_agent_name": '"x"',
            "langfuse.environment": "prod",
            "langfuse.release": "v7",
        },
    )

    labels = dialects.step(span).labels

    assert dict(labels) == {
        "session_id": "s-1",
        "user_id": "u-1",
        "tags.demo": "true",
        "tags.tier": "gold",
        "environment": "prod",
        "app_version": "v7",
    }, text


def test_a_node_is_no_agent_and_the_graph_in_it_is() -> None:
    """Whatever has "agent" in its name is of the type `agent`; a sub-graph comes twice."""
    place = "refund_agent:8c19"
    node = {"metadata.langgraph_node": "refund_agent", "metadata.langgraph_checkpoint_ns": place}
    inner = {**node, "metadata.checkpoint_ns": place}

    steps = [dialects.step(view("agent", one, name="refund_agent")) for one in (node, inner)]

    assert [(step.kind, step.role) for step in steps] == [
        (Kind.OTHER, Role.NODE),
        (Kind.RUN, Role.AGENT),
    ]


def test_a_function_without_a_type_may_be_a_tool() -> None:
    """`@observe()` alone says `span`, and before 3.3 there was no other type for a tool."""
    step = dialects.step(
        view("span", {"input": '{"args": ["x"], "kwargs": {}}'}, parent_span_id="c", name="f")
    )

    assert (step.kind, step.role) == (Kind.OTHER, Role.FUNCTION)
    assert step.arguments_digest == arguments.digest("x")


def test_a_root_of_any_type_is_a_run() -> None:
    step = dialects.step(view("chain", name="rag"))

    assert (step.kind, step.role) == (Kind.RUN, Role.WORKFLOW)
    assert step.labels["workflow_name"] == "rag"


def test_a_prompt_from_langfuse_is_a_version_of_the_run() -> None:
    step = dialects.step(
        view("generation", {"prompt.name": "weather", "prompt.version": 3, "output": "hi"})
    )

    assert step.labels["prompt_versions.weather"] == "3"


def test_a_request_is_shown_with_its_tools() -> None:
    definition = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    spans = (
        {"messages": [{"role": "user", "content": "Weather?"}], "tools": [definition]},
        [{"role": "user", "content": "Weather?"}, {"role": "tool", "content": definition}],
    )
    for sent in spans:
        shown = dialects.content(
            view(
                "generation",
                {
                    "input": json.dumps(sent),
                    "output": json.dumps({"role": "assistant", "tool_calls": [call]}),
                },
            )
        )

        assert shown.input == "Weather?"
        assert shown.messages_in == [{"role": "user", "content": "Weather?"}]
        assert shown.tools_offered == ["get_weather"]
        assert shown.messages_out is not None
        assert shown.messages_out[0]["tool_calls"][0]["name"] == "get_weather"


def test_a_responses_item_is_a_tool_request() -> None:
    item = {"type": "function_call", "name": "f", "call_id": "call_1", "arguments": '{"a": 1}'}

    (asked,) = dialects.step(view("generation", {"output": json.dumps([item])})).tool_requests

    assert (asked.name, asked.call_id) == ("f", "call_1")
    assert asked.arguments_digest == arguments.digest({"a": 1})


def test_a_runs_task_is_what_the_function_was_given() -> None:
    shown = dialects.content(
        view("agent", {"input": '{"args": ["Weather?"], "kwargs": {}}', "output": "18C"})
    )

    assert (shown.input, shown.output) == ("Weather?", "18C")
