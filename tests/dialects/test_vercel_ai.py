"""Vercel AI SDK: what its captures do not show, by hand; and what they show of one span."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView, Status, Step, Usage
from tests.support import captures


def view(operation: str, attributes: dict[str, Any] | None = None, **more: Any) -> SpanView:
    sent = {"ai.operationId": operation, **(attributes or {})}
    return SpanView(trace_id="a", span_id="b", attributes=sent, scope="ai", **more)


def step(operation: str, attributes: dict[str, Any] | None = None, **more: Any) -> Step:
    return dialects.step(view(operation, attributes, **more))


@pytest.mark.parametrize(
    ("operation", "kind", "role"),
    [
        ("ai.generateText", Kind.RUN, Role.AGENT),
        ("ai.streamObject", Kind.RUN, Role.AGENT),
        ("ai.generateText.doGenerate", Kind.MODEL, Role.NONE),
        ("ai.streamObject.doStream", Kind.MODEL, Role.NONE),
        ("ai.embedMany.doEmbed", Kind.MODEL, Role.NONE),
        ("ai.toolCall", Kind.TOOL, Role.NONE),
        ("ai.rerank.doRerank", Kind.RETRIEVE, Role.NONE),
        ("ai.embedMany", Kind.OTHER, Role.NONE),
        ("ai.something.new", Kind.OTHER, Role.NONE),
    ],
)
def test_what_a_span_is_its_operation_says(operation: str, kind: Kind, role: Role) -> None:
    """An embedding call is the `doEmbed`, not the wrapper around it: it would count twice."""
    found = step(operation)

    assert (found.kind, found.role) == (kind, role)
    assert found.dialect == "vercel_ai"


def test_a_provider_is_named_without_its_api() -> None:
    """`openai.chat` has no price."""
    sent = {"gen_ai.system": "google.generative-ai", "ai.model.provider": "openai.chat"}

    assert step("ai.generateText.doGenerate", sent).provider == "google"


def test_not_a_number_is_no_number() -> None:
    """DIALECTS 2.13: version 4 streaming without usage."""
    sent = {"ai.usage.promptTokens": float("nan"), "gen_ai.usage.output_tokens": "NaN"}

    assert step("ai.streamText.doStream", sent).usage is None


def test_version_6_says_all_counts() -> None:
    sent = {
        "ai.usage.inputTokens": 1350,
        "ai.usage.inputTokenDetails.noCacheTokens": 226,
        "ai.usage.inputTokenDetails.cacheReadTokens": 1024,
        "ai.usage.inputTokenDetails.cacheWriteTokens": 100,
        "ai.usage.outputTokens": 49,
        "ai.usage.outputTokenDetails.reasoningTokens": 16,
        "ai.model.provider": "anthropic.messages",
    }

    assert step("ai.generateText.doGenerate", sent).usage == Usage(
        input_tokens=1350,
        output_tokens=49,
        cache_read_tokens=1024,
        cache_write_tokens=100,
        reasoning_tokens=16,
    )


ANTHROPIC = {
    "ai.model.provider": "anthropic.messages",
    "gen_ai.usage.input_tokens": 226,
    "gen_ai.usage.output_tokens": 49,
}


@pytest.mark.parametrize(
    "metadata",
    [
        {"anthropic": {"cacheReadInputTokens": 1024, "cacheCreationInputTokens": 100}},
        {
            "anthropic": {
                "usage": {"cache_read_input_tokens": 1024, "cache_creation_input_tokens": 100},
                "cacheCreationInputTokens": 100,
            }
        },
    ],
)
def test_before_version_6_anthropic_counts_cached_tokens_beside_the_input(metadata: Any) -> None:
    """The API's own count, passed on; input includes cached ones in every dialect of ours."""
    sent = {**ANTHROPIC, "ai.response.providerMetadata": json.dumps(metadata)}

    assert step("ai.generateText.doGenerate", sent).usage == Usage(
        input_tokens=1350, output_tokens=49, cache_read_tokens=1024, cache_write_tokens=100
    )


def test_version_6_objects_have_no_details_and_count_them_in() -> None:
    """`generateObject` of version 6 kept the older names, and not their meaning."""
    sent = {
        **ANTHROPIC,
        "gen_ai.usage.input_tokens": 1350,
        "ai.request.headers.user-agent": "ai/6.0.326",
        "ai.response.providerMetadata": '{"anthropic": {"cacheReadInputTokens": 1024}}',
    }
    found = step("ai.generateObject.doGenerate", sent).usage

    assert found == Usage(input_tokens=1350, output_tokens=49, cache_read_tokens=1024)


def test_usage_on_a_run_of_versions_4_and_5_is_its_last_steps() -> None:
    """DIALECTS 2.3: were it a total, a run without its model calls would be too cheap."""
    last = {"ai.usage.promptTokens": 1350, "ai.usage.completionTokens": 49}
    total = {"ai.usage.inputTokens": 2550, "ai.usage.outputTokens": 91}

    assert step("ai.generateText", last).usage is None
    assert step("ai.streamText", total).usage == Usage(input_tokens=2550, output_tokens=91)


@pytest.mark.parametrize(
    "call",
    [
        {"toolCallId": "call_1", "toolName": "get_weather", "input": '{"city": "Paris"}'},
        {"type": "tool-call", "toolCallId": "call_1", "toolName": "get_weather",
         "input": {"city": "Paris"}},
        {"toolCallType": "function", "toolCallId": "call_1", "toolName": "get_weather",
         "args": '{"city":"Paris"}'},
    ],
)  # fmt: skip
def test_requests_of_all_versions_have_the_digest_of_the_call(call: Any) -> None:
    asked = step("ai.streamText.doStream", {"ai.response.toolCalls": json.dumps([call])})
    made = step("ai.toolCall", {"ai.toolCall.args": '{"city":"Paris"}'})

    (request,) = asked.tool_requests
    assert (request.name, request.call_id) == ("get_weather", "call_1")
    assert request.arguments_digest == made.arguments_digest != ""


def test_metadata_names_session_user_and_tags() -> None:
    """An application chooses the names; `sessionId` is what the documentation shows."""
    sent = {
        "ai.telemetry.metadata.sessionId": "session-42",
        "ai.telemetry.metadata.user_id": "user-7",
        "ai.telemetry.metadata.tier": "gold",
        "ai.telemetry.metadata.tags": ["demo", "eu"],
    }

    assert step("ai.generateText", sent).labels == {
        "session_id": "session-42",
        "user_id": "user-7",
        "tags.tier": "gold",
        "tags.demo": "true",
        "tags.eu": "true",
    }


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("AI_NoSuchToolError", "unknown_tool"),
        ("AI_InvalidToolInputError", "malformed_call"),
        ("AI_InvalidToolArgumentsError", "malformed_call"),
        ("AI_NoObjectGeneratedError", "output_parse_error"),
    ],
)
def test_errors_of_the_sdk_have_their_type(name: str, typed: str) -> None:
    """S3.44."""
    event = SpanEvent("exception", 1, {"exception.type": name, "exception.message": "no"})
    found = step("ai.generateText", status_code="Error", events=[event])

    assert found.error_type == typed


def test_a_ranking_shows_its_documents_in_their_new_order() -> None:
    sent = {
        "ai.documents": ['"first"', '{"id": "d2", "text": "second"}'],
        "ai.ranking": [
            '{"index": 1, "relevanceScore": 0.9}',
            '{"index": 0, "relevanceScore": 0.2}',
        ],
    }
    found = view("ai.rerank.doRerank", sent)

    assert dialects.step(found).hit_count == 2
    assert dialects.content(found).documents == [
        {"id": "d2", "reranker_score": 0.9, "rank": 1, "snippet": "second"},
        {"reranker_score": 0.2, "rank": 2, "snippet": "first"},
    ]


def test_a_prompt_is_read_with_its_history() -> None:
    """`messages` instead of `prompt`; parts of tools in both spellings."""
    history = [
        {"role": "user", "content": "Paris?"},
        {"role": "assistant", "content": [
            {"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": {"a": 1}}]},
        {"role": "tool", "content": [
            {"type": "tool-result", "toolCallId": "c1", "toolName": "f",
             "output": {"type": "text", "value": "18C"}}]},
    ]  # fmt: skip
    sent = {"ai.prompt": json.dumps({"system": "Be kind.", "messages": history})}
    found = dialects.content(view("ai.generateText", {**sent, "ai.response.text": "18C."}))

    assert (found.input, found.output) == ("Paris?", "18C.")
    assert found.system_instructions == "Be kind."
    assert found.messages_in == [
        {"role": "user", "content": "Paris?"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "18C"},
    ]


def test_an_agent_that_a_tool_calls_is_named_by_its_function_id() -> None:
    """DIALECTS 2.15: the handoff is a `generateText` below an `ai.toolCall`."""
    traces = captures.by_trace(captures.folder("vercel-ai"))
    (handoff,) = [
        run["trace_ids"][0]
        for run in captures.truth(captures.folder("vercel-ai"))["runs"]
        if run["run"] == "handoff-1"
    ]
    steps = {one.span_id: one for one in map(dialects.step, traces[handoff])}
    runs = [one for one in steps.values() if one.kind is Kind.RUN]

    assert {run.agent_name for run in runs} == {"triage_agent", "refund_agent"}
    (inner,) = [run for run in runs if run.parent_span_id]
    assert steps[inner.parent_span_id].tool_name == "ask_refund_agent"


def test_a_call_shows_what_was_asked_and_said() -> None:
    """Capture of version 4: a reply that asks for a tool, with why it ended."""
    (span,) = [
        span
        for span in captures.spans(captures.folder("vercel-ai-v4"))
        if span.get("ai.response.id") == "chatcmpl-normal-1-1"
    ]
    found = dialects.content(span)

    assert found.input == (
        "What is the weather in Paris today, and should I bring an umbrella? (ref: normal-1)"
    )
    assert found.tools_offered == ["get_weather"]
    assert found.messages_out == [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": span.get("ai.response.toolCalls").partition('"toolCallId":"')[2][:27],
                    "name": "get_weather",
                    "arguments": {"city": "Paris"},
                }
            ],
            "finish_reason": "tool_call",
        }
    ]


def test_a_tools_answer_is_shown_without_the_quotes_it_was_sent_in() -> None:
    shown = dialects.content(view("ai.toolCall", {"ai.toolCall.result": '"Paris: 18C"'}))

    assert shown.result == shown.output == "Paris: 18C"


def test_a_limit_that_is_none_is_no_parameter() -> None:
    """`Infinity` is no JSON, so that nobody could read it back (Langfuse's wrapper sends it)."""
    span = SpanView(
        trace_id="a",
        span_id="b",
        attributes={
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.parameters": '{"max_tokens": "Infinity", "top_p": 1}',
        },
    )

    assert dialects.content(span).request == {"top_p": 1}


def test_a_stream_that_ended_before_its_first_step_was_aborted() -> None:
    """`streamText` notes a finish reason once a step has ended; of an aborted one it notes none."""
    ended = {"ai.response.finishReason": "stop"}

    assert step("ai.streamText").status is Status.CANCELLED
    assert step("ai.streamText", ended).status is Status.SUCCESS
    assert step("ai.streamText", status_code="Error").status is Status.ERROR
    assert step("ai.generateText").status is Status.SUCCESS
