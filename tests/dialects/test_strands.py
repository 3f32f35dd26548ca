"""Strands: its latest conventions and older token counts, which the capture does not show."""

from __future__ import annotations

import json
from typing import Any

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView, Step, Usage

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
