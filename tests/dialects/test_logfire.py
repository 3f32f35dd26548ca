"""Logfire: streams, spans of an application, spans sent early, what older versions send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.runs.group import fold
from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Step, Usage

OPENAI = "logfire.openai"
ANTHROPIC = "logfire.anthropic"


def view(attributes: dict[str, Any], scope: str = "logfire", **more: Any) -> SpanView:
    sent = {"logfire.span_type": "span", **attributes}
    return SpanView(trace_id="a", span_id="b", attributes=sent, scope=scope, **more)


def step(attributes: dict[str, Any], scope: str = "logfire", **more: Any) -> Step:
    return dialects.step(view(attributes, scope, **more))


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
USED = {"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 42}


def test_the_request_of_a_stream_is_no_call_and_its_end_is_one() -> None:
    """DIALECTS 3.13: two siblings describe one call; only the second says what it used."""
    begun = step(CHAT, OPENAI)
    ended = step({**CHAT, **USED, "logfire.span_type": "log"}, OPENAI)

    assert (begun.kind, begun.role) == (Kind.OTHER, Role.OPENING)
    assert (ended.kind, ended.role) == (Kind.MODEL, Role.CLOSING)
    assert ended.usage == Usage(input_tokens=1200, output_tokens=42)


def test_the_span_that_the_anthropic_sdk_makes_of_a_stream_is_that_call() -> None:
    """It lies in the span of the request, which has ended long before, and not near its end."""
    sdk = {**CHAT, **USED, "gen_ai.response.id": "msg_1", "gen_ai.request.stream": True}
    log = {**CHAT, **USED, "logfire.span_type": "log"}
    spans: list[tuple[str, str, str, int, int, dict[str, Any]]] = [
        ("1", "", "logfire", 0, 99, {"logfire.msg_template": "agent {name}", "name": "weather"}),
        ("2", "1", ANTHROPIC, 1, 3, CHAT),
        ("3", "2", "com.anthropic.sdk.python", 2, 64, sdk),
        ("4", "1", ANTHROPIC, 66, 66, log),
        ("5", "1", ANTHROPIC, 67, 69, CHAT),
        ("6", "5", "com.anthropic.sdk.python", 68, 90, {**sdk, "gen_ai.response.id": "msg_2"}),
        ("7", "1", ANTHROPIC, 92, 92, log),
    ]  # fmt: skip
    steps = [
        dialects.step(
            SpanView(
                trace_id="a", span_id=span_id, parent_span_id=parent, scope=scope, start_ns=start,
                end_ns=end, attributes={"logfire.span_type": "span", **sent},
            )
        )
        for span_id, parent, scope, start, end, sent in spans
    ]  # fmt: skip

    for arrived in (steps, steps[::-1], [*steps[1::2], *steps[::2]]):
        [run] = fold(arrived)
        assert (run.own.model_calls, run.own.input_tokens) == (2, 2400)


def test_a_span_of_an_application_that_names_an_operation_is_no_request() -> None:
    """Only the spans of an instrumented client begin streams."""
    assert step(CHAT).role is Role.NONE
    assert step({"logfire.msg_template": "Hi"}, OPENAI).role is Role.NONE


def test_a_request_that_failed_is_a_call_that_failed() -> None:
    """Streamed or not: nothing follows it."""
    failed = step(CHAT, OPENAI, status_code="Error", status_message="RateLimitError: slow down")

    assert (failed.kind, failed.failed, failed.error_type) == (Kind.MODEL, True, "rate_limit")


@pytest.mark.parametrize(
    "raw",
    [
        {"prompt_tokens": 1350, "completion_tokens": 49,
         "prompt_tokens_details": {"cached_tokens": 1024},
         "completion_tokens_details": {"reasoning_tokens": 16}},
        {"input_tokens": 1350, "output_tokens": 49,
         "input_tokens_details": {"cached_tokens": 1024},
         "output_tokens_details": {"reasoning_tokens": 16}},
    ],
)  # fmt: skip
def test_details_come_from_the_raw_usage(raw: dict[str, Any]) -> None:
    """Chat completions and the Responses API."""
    counted = {"gen_ai.usage.input_tokens": 1350, "gen_ai.usage.output_tokens": 49}
    found = step({**CHAT, **counted, "gen_ai.usage.raw": json.dumps(raw)}, OPENAI)

    assert found.usage == Usage(
        input_tokens=1350, output_tokens=49, cache_read_tokens=1024, reasoning_tokens=16
    )


def test_anthropic_input_holds_the_cached_tokens_already() -> None:
    """Logfire adds what the API counts apart, and keeps the API's own object beside it."""
    raw = {"input_tokens": 226, "cache_read_input_tokens": 1024,
           "cache_creation_input_tokens": 100, "output_tokens": 49}  # fmt: skip
    counted = {"gen_ai.usage.input_tokens": 1350, "gen_ai.usage.output_tokens": 49}
    found = step({**CHAT, **counted, "gen_ai.usage.raw": json.dumps(raw)}, ANTHROPIC)

    assert found.usage == Usage(
        input_tokens=1350, output_tokens=49, cache_read_tokens=1024, cache_write_tokens=100
    )


def test_version_3_has_the_answer_in_its_response_data() -> None:
    """No `gen_ai.operation.name`: the message of the span says what it is."""
    sent = {
        "logfire.msg_template": "Chat Completion with {request_data[model]!r}",
        "request_data": '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}',
        "gen_ai.system": "openai",
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": "1350",
        "gen_ai.usage.output_tokens": "49",
        "response_data": json.dumps(
            {
                "message": {
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function",
                         "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
                    ],
                },
                "usage": {"prompt_tokens": 1350, "completion_tokens": 49,
                          "prompt_tokens_details": {"cached_tokens": 1024}},
            }
        ),
    }  # fmt: skip
    found = step(sent, OPENAI)
    shown = dialects.content(view(sent, OPENAI))

    assert found.usage == Usage(input_tokens=1350, output_tokens=49, cache_read_tokens=1024)
    assert [(r.name, r.call_id) for r in found.tool_requests] == [("get_weather", "c1")]
    assert shown.input == "Hi"
    assert shown.messages_out == [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "name": "get_weather", "arguments": {"city": "Paris"}}],
        }
    ]


def test_version_3_counts_anthropic_caches_beside_the_input() -> None:
    sent = {
        "logfire.msg_template": "Message with {request_data[model]!r}",
        "gen_ai.usage.input_tokens": "226",
        "gen_ai.usage.output_tokens": "49",
        "response_data": json.dumps(
            {
                "message": {"role": "assistant", "content": "Yes."},
                "usage": {"input_tokens": 226, "cache_read_input_tokens": 1024,
                          "cache_creation_input_tokens": 100, "output_tokens": 49},
            }
        ),
    }  # fmt: skip

    assert step(sent, ANTHROPIC).usage == Usage(
        input_tokens=1350, output_tokens=49, cache_read_tokens=1024, cache_write_tokens=100
    )


def test_a_stream_of_version_3_ends_with_its_text() -> None:
    sent = {
        "logfire.span_type": "log",
        "logfire.msg_template": "streaming response from {request_data[model]!r} took ...",
        "response_data": '{"combined_chunk_content": "It is 18C.", "chunk_count": 3}',
    }

    assert step(sent, OPENAI).kind is Kind.MODEL
    assert step(sent, OPENAI).usage is None
    assert dialects.content(view(sent, OPENAI)).output == "It is 18C."


def test_a_span_that_announces_another_counts_for_nothing() -> None:
    """Spans of any library: Logfire sends them when they start, with all they know by then."""
    begun = {**CHAT, "logfire.span_type": "pending_span", "logfire.pending_parent_id": "00"}

    assert step(begun, "pydantic-ai").kind is Kind.OTHER
    assert step(begun, OPENAI).kind is Kind.OTHER


def test_a_span_of_another_library_keeps_its_dialect() -> None:
    """Logfire writes `logfire.*` on every span that goes through it."""
    assert step({**CHAT, **USED}, "pydantic-ai").dialect == "pydantic_ai"
    assert step({"http.request.method": "GET"}, "opentelemetry.instrumentation.httpx").role is (
        Role.TRANSPORT
    )


def test_a_tool_is_what_names_one() -> None:
    sent = {"tool_name": "get_weather", "arguments": '{"city":"Paris"}', "result": "18C"}
    found = step({**sent, "logfire.msg_template": "tool {tool_name}"})
    shown = dialects.content(view(sent))

    assert (found.kind, found.tool_name) == (Kind.TOOL, "get_weather")
    assert found.arguments_digest
    assert found.result_digest
    assert (shown.arguments, shown.result) == ({"city": "Paris"}, "18C")


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ({"logfire.msg_template": "agent {name} run", "name": "triage_agent"}, "triage_agent"),
        ({"logfire.msg_template": "Running {agent_name}", "agent_name": "triage"}, "triage"),
        ({"logfire.msg_template": "handle {name}", "name": "request"}, ""),
        ({"logfire.msg_template": "agent pool ready"}, ""),
        ({"logfire.msg_template": "user {name} of agency", "name": "x"}, ""),
    ],
)
def test_an_agent_is_what_says_so_and_names_it(sent: dict[str, Any], name: str) -> None:
    """Anything else stays a span of the application's: nothing is guessed from one word."""
    found = step(sent)

    assert (found.kind, found.agent_name) == (Kind.RUN if name else Kind.OTHER, name)


def test_a_log_is_no_step() -> None:
    """Logs are spans without length; one that mentions a tool did not call it."""
    said = {"logfire.span_type": "log", "tool_name": "get_weather"}

    assert step(said).kind is Kind.OTHER


def test_tags_are_the_applications() -> None:
    """Logfire tags its own client spans `LLM`."""
    assert step({**CHAT, **USED, "logfire.tags": '["LLM","demo"]'}, OPENAI).labels == {
        "tags.demo": "true"
    }
