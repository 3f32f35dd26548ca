"""GenAI model calls: why they ended, what they were offered, tools that have no span."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Event, Kind, Role, SpanView, Status
from otel_agentrun.typed_errors import typed_error

HISTORY = [
    {"role": "user", "parts": [{"type": "text", "content": "weather?"}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "old", "arguments": {}}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "1"}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c2", "name": "weather", "arguments": {"a": 1}}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c2", "result": "18C"}]},
]


def chat(parent: str = "", **attributes: Any) -> SpanView:
    """Attributes with `__` for a dot."""
    return SpanView(
        trace_id="a",
        span_id="b",
        parent_span_id=parent,
        name="chat",
        start_ns=1_000,
        attributes={
            "gen_ai.operation.name": "chat",
            **{f"gen_ai.{key.replace('__', '.')}": value for key, value in attributes.items()},
        },
    )


def record(name: str, **attributes: str) -> Event:
    return Event(
        event_id="e",
        name=name,
        at_ns=1,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
    )


def test_a_tool_without_a_span_is_read_from_what_the_next_call_was_given() -> None:
    """A plain client (openai-v2) with nothing around it: what is new since its last answer."""
    span = chat(input__messages=json.dumps(HISTORY))

    [step] = dialects.told(span, dialects.step(span))

    assert (step.kind, step.role, step.tool_name) == (Kind.TOOL, Role.TOLD, "weather")
    assert (step.tool_call_id, step.start_ns) == ("c2", 999)
    assert step.arguments_digest


def test_a_call_below_another_span_tells_of_no_tools() -> None:
    """Its application may have spans of its own, and requests are too large to read them all."""
    span = chat(parent="c", input__messages=json.dumps(HISTORY))

    assert dialects.told(span, dialects.step(span)) == ()


@pytest.mark.parametrize(
    ("reason", "typed"),
    [("MALFORMED_FUNCTION_CALL", "malformed_call"), ("unexpected_tool_call", "unknown_tool")],
)
def test_a_call_that_gave_nothing_to_work_with_has_failed(reason: str, typed: str) -> None:
    step = dialects.step(chat(response__finish_reasons=json.dumps([reason])))

    assert (step.status, step.error_type) == (Status.ERROR, typed)


def test_a_reason_is_read_from_the_answer_where_no_attribute_says_it() -> None:
    sent = [{"role": "assistant", "parts": [], "finish_reason": "tool_calls"}]

    assert dialects.step(chat(output__messages=json.dumps(sent))).finish_reasons == ("tool_call",)


def test_offered_tools_are_in_a_log_record_where_spans_have_no_content() -> None:
    """Google ADK, `gen_ai.client.inference.operation.details`."""
    details = record(
        "gen_ai.client.inference.operation.details",
        gen_ai__tool__definitions='[{"type":"function","name":"get_weather"}]',
    )

    assert dialects.content(chat(), [details]).tools_offered == ["get_weather"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"conversation__compacted": "true"},
        {"response__finish_reasons": '["compaction"]'},
        {"input__messages": '[{"role":"user","parts":[{"type":"compaction","content":"x"}]}]'},
    ],
)
def test_a_history_that_was_replaced_by_a_summary_is_compacted(attributes: dict[str, str]) -> None:
    """S5.79; the convention's attribute, its finish reason, its message part."""
    assert dialects.content(chat(**attributes)).context_compacted is True
    assert dialects.content(chat()).context_compacted is None


@pytest.mark.parametrize(
    ("name", "message", "typed"),
    [
        ("ValueError", "Function nope is not found in the tools_dict.", "unknown_tool"),
        ("ToolException", "Requested function 'nope' not found.", "unknown_tool"),
        ("", "The tool 'nope' is not available.", "unknown_tool"),
        ("JSONDecodeError", "Expecting value", "malformed_call"),
        ("UnexpectedModelBehavior", "Exceeded maximum retries", "output_parse_error"),
        ("", "Could not parse LLM output: x", "output_parse_error"),
        ("malformed_call", "a request timed out", "malformed_call"),
    ],
)
def test_errors_of_the_model_are_typed(name: str, message: str, typed: str) -> None:
    """S3.44; what was typed already stays so."""
    assert typed_error(name, message) == typed
