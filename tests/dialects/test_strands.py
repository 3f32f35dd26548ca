"""Strands: what its captures do not show, and what the latest conventions change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView, Status, Step, Usage

DETAILS = "gen_ai.client.inference.operation.details"


def view(operation: str, *events: SpanEvent, **attributes: Any) -> SpanView:
    """Attributes with `__` for a dot."""
    return SpanView(
        trace_id="a",
        span_id="b",
        name=operation,
        scope="strands.telemetry.tracer",
        events=events,
        attributes={
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "strands-agents",
            **{key.replace("__", "."): value for key, value in attributes.items()},
        },
    )


def step(operation: str, *events: SpanEvent, **attributes: Any) -> Step:
    return dialects.step(view(operation, *events, **attributes))


ANSWER = {
    "role": "assistant",
    "parts": [{"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "x"}}],
    "finish_reason": "tool_use",
}
LATEST = SpanEvent(DETAILS, 1, {"gen_ai.output.messages": json.dumps([ANSWER])})
DEFAULT = SpanEvent(
    "gen_ai.choice",
    1,
    {
        "finish_reason": "tool_use",
        "message": json.dumps([{"toolUse": {"toolUseId": "c1", "name": "search", "input": {}}}]),
    },
)


def test_both_conventions_tell_requests_and_why_a_call_ended() -> None:
    """Neither has an attribute for them: they are in the span's events."""
    for event in (LATEST, DEFAULT):
        made = step("chat", event)

        assert [(one.name, one.call_id) for one in made.tool_requests] == [("search", "c1")]
        assert made.finish_reasons == ("tool_call",)
        assert (made.dialect, made.provider) == ("strands", "")


def test_messages_as_attributes_are_read_alike() -> None:
    """`gen_ai_span_attributes_only` puts the events' attributes on the span."""
    made = step("chat", gen_ai__output__messages=json.dumps([ANSWER]))

    assert [one.name for one in made.tool_requests] == ["search"]
    assert made.finish_reasons == ("tool_call",)


def test_input_includes_cached_tokens_whoever_counted() -> None:
    """Bedrock's input leaves out what was cached; newer versions add it before they send it."""
    old = step("chat", gen_ai__usage__input_tokens=100, gen_ai__usage__cache_read_input_tokens=900)
    new = step("chat", gen_ai__usage__input_tokens=1000, gen_ai__usage__cache_read_input_tokens=900)

    assert old.usage == new.usage == Usage(input_tokens=1000, cache_read_tokens=900)


def test_a_tool_that_does_not_exist_is_an_unknown_tool() -> None:
    """Its span ends with the status of the result, the reason is the result's text."""
    result = SpanEvent("gen_ai.choice", 1, {"message": json.dumps([{"text": "Unknown tool: x"}])})
    made = step("execute_tool", result, gen_ai__tool__name="x", gen_ai__tool__status="error")

    assert made.failed
    assert (made.error_type, made.error_message) == ("unknown_tool", "Unknown tool: x")


def test_only_searching_a_memory_is_a_retrieval() -> None:
    assert step("memory.search").kind is Kind.RETRIEVE
    assert step("memory.add").kind is Kind.OTHER


def test_a_cycle_of_the_loop_is_no_step() -> None:
    made = step("execute_event_loop_cycle")

    assert (made.kind, made.role) == (Kind.OTHER, Role.NODE)


def finished(reason: str) -> SpanEvent:
    said = [{"role": "assistant", "parts": [], "finish_reason": reason}]
    return SpanEvent(DETAILS, 1, {"gen_ai.output.messages": json.dumps(said)})


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("limit_turns", "max_iterations"),
        ("limit_total_tokens", "budget_tokens"),
        ("cancelled", "cancelled"),
        ("end_turn", None),
    ],
)
def test_an_agent_says_that_a_limit_of_its_own_stopped_it(reason: str, stop: str | None) -> None:
    """It returns as if all was well; only the finish reason tells, in both conventions."""
    default = SpanEvent("gen_ai.choice", 1, {"message": "x", "finish_reason": reason})
    for event in (finished(reason), default):
        assert step("invoke_agent", event).labels.get("stop_reason") == stop


def test_a_cancelled_task_leaves_a_cancelled_agent() -> None:
    """Its status is unset, an attribute names the exception (end_span_with_cancellation)."""
    made = step("invoke_agent", strands__cancellation__type="CancelledError")

    assert made.status is Status.CANCELLED


def answered(result: Any) -> SpanEvent:
    part = {"type": "tool_call_response", "id": "c1", "response": result}
    said = [{"role": "tool", "parts": [part]}]
    return SpanEvent(DETAILS, 2, {"gen_ai.output.messages": json.dumps(said)})


def test_the_result_of_a_failed_tool_is_in_its_output_message_alone() -> None:
    """The latest conventions keep `gen_ai.tool.call.result` for successful calls."""
    given = {"gen_ai__tool__name": "search", "gen_ai__tool__status": "error"}
    as_event = view("execute_tool", answered([{"text": "Error: no index"}]), **given)
    [said] = as_event.events
    as_attribute = view(
        "execute_tool",
        gen_ai__output__messages=said.attributes["gen_ai.output.messages"],
        **given,
    )

    for span in (as_event, as_attribute):
        made = dialects.step(span)
        assert (made.failed, made.error_message) == (True, "Error: no index")
        assert made.result_digest != ""
        assert dialects.content(span).result == "Error: no index"


def test_redacted_content_does_not_make_calls_equal() -> None:
    """`gen_ai_unredacted_attributes` hides arguments: equal digests would look like a loop."""
    for redacted in (
        view(
            "execute_tool",
            gen_ai__tool__name="handoff_to_agent",
            gen_ai__tool__call__arguments="[REDACTED]",
            gen_ai__tool__call__result="[REDACTED]",
        ),
        view(
            "execute_tool",
            SpanEvent("gen_ai.tool.message", 1, {"content": "[REDACTED]"}),
            SpanEvent("gen_ai.choice", 2, {"message": "[REDACTED]"}),
            gen_ai__tool__name="handoff_to_agent",
        ),
    ):
        made = dialects.step(redacted)
        assert (made.arguments_digest, made.result_digest, made.handoff_to) == ("", "", "")


def test_a_search_of_a_memory_shows_query_and_entries() -> None:
    """They are events of their own; with attributes only, the entries replace the query."""
    entries = json.dumps(
        [{"content": "25 days", "store_name": "handbook", "metadata": {"id": "d"}}]
    )
    counts = {
        "memory__store__names": '["handbook"]',
        "memory__result__count": 1,
        "memory__max_search_results": 3,
    }
    as_events = view(
        "memory.search",
        SpanEvent("memory.query", 1, {"content": "vacation"}),
        SpanEvent("memory.results", 2, {"content": entries}),
        **counts,
    )
    shown = dialects.content(as_events)

    assert dialects.step(as_events).hit_count == 1
    assert (shown.query, shown.data_source, shown.top_k) == ("vacation", "handbook", 3)
    for span in (as_events, view("memory.search", content=entries, **counts)):
        assert dialects.content(span).documents == [{"id": "d", "rank": 1, "snippet": "25 days"}]
