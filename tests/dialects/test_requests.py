"""What the hot path reads of tool requests is what reading the whole messages gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentrun import arguments, dialects
from otel_agentrun.dialects import messages, requests, sources
from otel_agentrun.step import SpanView, ToolRequest

GIVEN: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 1 << 70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "Paris", "[1]", '{"a": 1}', "<X object at 0x7f00>", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["city", "kwargs", "input_str"]), inner, max_size=2)
    ),
    max_leaves=5,
)
PART = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "tool_call", "tool_call_response", "reasoning", "image"]),
        "id": st.sampled_from(["call_1", "call_2", "", None]),
        "name": st.sampled_from(["get_weather", "search", "", None]),
        "arguments": GIVEN,
        "content": st.sampled_from(["it rains", '[{"type": "tool_call", "name": "x"}]', None]),
        "function": st.just({"name": "inner", "arguments": "{}"}),
    },
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["assistant", "tool", "user"]),
        "parts": st.lists(PART | st.just("text"), max_size=3),
        "finish_reason": st.just("tool_call"),
        "content": st.just("x"),
        "tool_calls": st.just([{"id": "call_3", "name": "third"}]),
    },
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(MESSAGE, max_size=3), st.booleans())
def test_requests_in_messages_are_those_of_the_whole_messages(
    said: list[dict[str, Any]], spaced: bool
) -> None:
    text = json.dumps(said, separators=None if spaced else (",", ":"))
    whole = arguments.parse(text)
    if whole and not requests._are_messages(whole):
        whole = [{"role": "assistant", "content": whole}]

    found = requests.in_messages(text)

    marked = any(mark in text for mark in requests.MARKS)
    assert found == (messages.tool_requests(messages.parse(whole) or ()) if marked else ())


KEYS = st.sampled_from(
    [
        f"m.{message}.{infix}{rest}"
        for message in (0, 1, 10)
        for infix in ("", "message.")
        for rest in (
            "role", "content", "function_call.name", "function_call.arguments",
            *(f"tool_calls.{call}.{inner}{field}"
              for call in (0, 1, 11)
              for inner in ("", "tool_call.function.")
              for field in ("id", "name", "arguments")),
        )
    ]
)  # fmt: skip
VALUES = st.sampled_from(["call_1", "get_weather", '{"city": "Paris"}', ""])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(KEYS | st.just("other"), VALUES, max_size=14))
def test_requests_in_flattened_keys_are_those_of_the_whole_messages(flat: dict[str, str]) -> None:
    whole = sources.from_flat(flat, "m.") or ()

    assert requests.in_flat(flat, "m.") == messages.tool_requests(whole)


CALL = {"id": "call_1", "function": {"arguments": '{"city": "Paris"}', "name": "get_weather"}}
TYPED = {"type": "function", "index": 0, **CALL}


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [CALL],
        [TYPED, {**TYPED, "id": "call_2"}],
        [CALL, CALL],  # one id
        [{**CALL, "function": {"name": "get_weather", "arguments": '{"q": "a \\"b\\" it\'s"}'}}],
        [{**CALL, "function": {"name": "get_weather", "arguments": "{'q'}"}}],
        [{**CALL, "function": {"name": "get_weather", "arguments": ""}}],
        [{**CALL, "function": {"name": None, "arguments": "{}"}}],
        [{**CALL, "extra": {"a": "]}"}}],
        [{**CALL, "function": {"name": "get_weather", "arguments": "}, {'id': 'call_9'"}}],
    ],
)
@pytest.mark.parametrize("content", [None, "it rains", '[{"toolUse": {"name": "x"}}]'])
def test_calls_in_the_repr_of_an_answer_are_those_of_the_parsed_answer(
    calls: list[Any], content: Any
) -> None:
    """LiteLLM's raw answers: the usual shape is read without parsing, others as ever."""
    answer: dict[str, Any] = {"role": "assistant", "content": content, "function_call": None}
    choices = [{"finish_reason": "tool_calls", "message": {**answer, "tool_calls": calls}}]
    twice = [*choices, {"message": {**answer, "tool_calls": [{**CALL, "id": "call_8"}]}}]

    for said in (choices, twice):
        assert _raw(said) == messages.tool_requests(messages.parse(said) or ())


def _raw(choices: list[Any]) -> tuple[ToolRequest, ...]:
    span = SpanView(
        trace_id="a",
        span_id="b",
        scope="litellm",
        name="raw_gen_ai_request",
        attributes={"llm.openai.choices": repr(choices)},
    )
    return dialects.step(span).tool_requests
