"""Message shapes of model providers and frameworks, in one shape."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentrun.dialects import messages, sources
from otel_agentrun.step import Event, SpanEvent

CALL = {"id": "c1", "name": "f", "arguments": {"city": "Paris"}}
REQUEST = {"role": "assistant", "tool_calls": [CALL]}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "18C"}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(
            {"role": "assistant", "parts": [{"type": "tool_call", **CALL}]}, id="genai-parts"
        ),
        pytest.param(
            {"role": "assistant", "content": None,
             "tool_calls": [{"id": "c1", "type": "function",
                             "function": {"name": "f", "arguments": {"city": "Paris"}}}]},
            id="openai-chat",
        ),
        pytest.param(
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f",
             "arguments": {"city": "Paris"}},
            id="openai-responses",
        ),
        pytest.param(
            {"role": "assistant",
             "content": [
                 {"type": "tool_use", "id": "c1", "name": "f", "input": {"city": "Paris"}}]},
            id="anthropic",
        ),
        pytest.param(
            {"role": "assistant",
             "content": [
                 {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"city": "Paris"}}}]},
            id="bedrock",
        ),
        pytest.param(
            {"role": "model",
             "parts": [{"function_call": {"id": "c1", "name": "f", "args": {"city": "Paris"}}}]},
            id="gemini",
        ),
        pytest.param(
            {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
             "kwargs": {"content": "", "tool_calls": [
                 {"name": "f", "args": {"city": "Paris"}, "id": "c1", "type": "tool_call"}]}},
            id="langchain-constructor",
        ),
        pytest.param(
            {"type": "ai", "data": {"content": "", "tool_calls": [
                {"name": "f", "args": {"city": "Paris"}, "id": "c1", "type": "tool_call"}]}},
            id="langchain-dict",
        ),
    ],
)  # fmt: skip
def test_a_tool_request_has_one_shape(sent: dict[str, Any]) -> None:
    assert messages.parse([sent]) == [REQUEST]


@pytest.mark.parametrize(
    "sent",
    [
        {"role": "tool",
         "parts": [{"type": "tool_call_response", "id": "c1", "response": "18C"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "18C"},
        {"type": "function_call_output", "call_id": "c1", "output": "18C"},
        {"role": "user",
         "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "18C"}]},
        {"role": "user", "content": [{"toolResult": {
            "toolUseId": "c1", "status": "success", "content": [{"text": "18C"}]}}]},
        {"type": "tool", "data": {"content": "18C", "tool_call_id": "c1"}},
    ],
    ids=["genai-parts", "openai-chat", "openai-responses", "anthropic", "bedrock", "langchain"],
)  # fmt: skip
def test_a_tool_answer_has_one_shape(sent: dict[str, Any]) -> None:
    """Anthropic and Bedrock call it a user message; nobody's task is a tool's answer."""
    assert messages.parse([sent]) == [ANSWER]
    assert messages.task(messages.parse([sent])) is None


@pytest.mark.parametrize(
    "sent",
    [
        '[["user", "hello"]]',
        '{"messages": [["user", "hello"]]}',
        '{"messages": [[{"type": "human", "data": {"content": "hello"}}]]}',
        '[{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]',
        '[{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]',
        '[{"role": "user", "content": "[{\\"text\\": \\"hello\\"}]"}]',
        "[{'role': 'user', 'content': 'hello'}]",
    ],
)
def test_a_question_has_one_shape(sent: str) -> None:
    assert messages.parse(sent) == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("sent", ["", "plain text", "[1, 2]", "{}", "[", 7, None, '{"a": 1}'])
def test_what_holds_no_message_gives_none(sent: Any) -> None:
    assert messages.parse(sent) is None


def test_json_in_a_prompt_stays_text() -> None:
    """A prompt may be JSON without being a list of parts."""
    text = '[{"a": 1}]'

    assert messages.parse([{"role": "user", "content": text}]) == [
        {"role": "user", "content": text}
    ]


def test_flattened_messages_are_put_together_in_order() -> None:
    """Ten and more messages: by number, not by text."""
    flat = {f"m.{at}.message.content": str(at) for at in (10, 2, 0)}
    found = sources.from_flat({**flat, "m.0.message.role": "system", "other": "x"}, "m.")

    assert found is not None
    assert [one["content"] for one in found] == ["0", "2", "10"]
    assert found[0]["role"] == "system"


def test_event_and_log_forms_of_a_conversation_agree() -> None:
    """Span events carry attributes, log records a body."""
    events = [
        SpanEvent("gen_ai.user.message", 1, {"content": "hello"}),
        SpanEvent("gen_ai.choice", 2, {"message": "hi", "finish_reason": "end_turn"}),
    ]
    logs = [
        Event(event_id="2", name="gen_ai.choice", at_ns=2,
              body='{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}'),
        Event(event_id="1", name="gen_ai.user.message", at_ns=1, body='{"content":"hello"}'),
    ]  # fmt: skip
    one, other = sources.from_events(events), sources.from_logs(logs)

    assert one.messages_in == other.messages_in == [{"role": "user", "content": "hello"}]
    assert one.messages_out == other.messages_out
    assert one.messages_out == [{"role": "assistant", "content": "hi", "finish_reason": "stop"}]


def test_a_details_event_holds_the_whole_exchange() -> None:
    """`gen_ai.client.inference.operation.details`, in structured attributes."""
    exchange = sources.from_logs(
        [
            Event(
                event_id="1",
                name=messages.DETAILS,
                at_ns=1,
                attributes={
                    messages.INPUT_MESSAGES: '[{"role":"user","content":"hello"}]',
                    messages.OUTPUT_MESSAGES: '[{"role":"assistant","content":"hi"}]',
                    messages.SYSTEM_INSTRUCTIONS: '[{"type":"text","content":"be kind"}]',
                },
            )
        ]
    )

    assert messages.prompt(exchange.messages_in) == "hello"
    assert messages.answer(exchange.messages_out) == "hi"
    assert exchange.system == ["be kind"]


def test_langchain_messages_as_plain_objects_have_their_type_as_role() -> None:
    """What Langfuse's callback sends as the output of a graph."""
    sent = [
        {"type": "human", "content": "Rome?", "additional_kwargs": {}},
        {"type": "ai", "content": "", "tool_calls": [{"name": "f", "args": {}, "id": "c1"}]},
        {"type": "tool", "content": "18C", "tool_call_id": "c1"},
        {"type": "ai", "content": "18C.", "tool_calls": []},
    ]
    found = messages.parse({"messages": sent}) or []

    assert [one["role"] for one in found] == ["user", "assistant", "tool", "assistant"]
    assert messages.answer(found) == "18C."
