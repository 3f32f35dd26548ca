"""LiteLLM: other providers' raw answers, asynchronous calls, the proxy."""

from __future__ import annotations

from typing import Any

import pytest

from collector.runs.group import fold
from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView, Status, Usage
from tests.support import captures


def view(attributes: dict[str, Any], scope: str = "litellm", **more: Any) -> SpanView:
    return SpanView(trace_id="a", span_id="b", attributes=attributes, scope=scope, **more)


def raw(**attributes: Any) -> SpanView:
    named = {f"llm.{key.replace('__', '.')}": value for key, value in attributes.items()}
    return view(named, name="raw_gen_ai_request")


def test_details_of_usage_come_from_the_repr_of_the_usage_object() -> None:
    """There are no attributes for cached and reasoning tokens (DIALECTS 3.17)."""
    usage = (
        "{'completion_tokens': 49, 'prompt_tokens': 1350, 'completion_tokens_details': "
        "{'reasoning_tokens': 16}, 'prompt_tokens_details': {'audio_tokens': None, "
        "'cached_tokens': 1024, 'cache_creation_tokens': None}}"
    )
    sent = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": "1350",
        "gen_ai.usage.output_tokens": "49",
        "metadata.usage_object": usage,
        "gen_ai.cost.total_cost": "0.0001551",
        "llm.user": "user-7",
        "metadata.user_api_key_alias": "",
    }
    step = dialects.step(view(sent, name="litellm_request"))

    assert step.usage == Usage(
        input_tokens=1350, output_tokens=49, cache_read_tokens=1024, reasoning_tokens=16
    )
    assert step.cost_nano_usd == 155_100
    assert step.labels == {"user_id": "user-7"}


def test_a_raw_answer_of_openai_is_a_whole_call() -> None:
    """Under a span of the application it is all there is."""
    spans = {s.span_id: s for s in captures.spans(captures.folder("litellm"))}
    step = dialects.step(spans["d9a1cded69624758"])
    shown = dialects.content(spans["a5123467ea43399a"])

    assert (step.kind, step.provider) == (Kind.MODEL, "openai")
    assert (step.response_id, step.finish_reasons) == ("chatcmpl-normal-3-1", ("tool_call",))
    (asked,) = step.tool_requests
    assert (asked.name, asked.call_id) == ("get_weather", "call_7621dfe8e31b00c5c07820")
    assert asked.arguments_digest == arguments.digest({"city": "Oslo"})
    assert shown.output == "It is 18C with light rain in Oslo. Yes, bring an umbrella."
    assert shown.input == "Oslo: 18C, light rain"
    assert shown.tools_offered == ["get_weather"]


def test_a_raw_answer_of_anthropic_counts_cached_tokens_apart() -> None:
    step = dialects.step(
        raw(
            anthropic__id="msg_1",
            anthropic__model="claude-sonnet-4-5",
            anthropic__stop_reason="tool_use",
            anthropic__content="[{'type': 'tool_use', 'id': 'toolu_1', 'name': 'get_weather', "
            "'input': {'city': 'Rome'}}]",
            anthropic__usage="{'input_tokens': 200, 'cache_creation_input_tokens': 512, "
            "'cache_read_input_tokens': 1000, 'output_tokens': 42}",
        )
    )

    assert (step.provider, step.model) == ("anthropic", "claude-sonnet-4-5")
    assert step.usage == Usage(
        input_tokens=1712, output_tokens=42, cache_read_tokens=1000, cache_write_tokens=512
    )
    assert step.finish_reasons == ("tool_call",)
    assert [(r.name, r.call_id) for r in step.tool_requests] == [("get_weather", "toolu_1")]


def test_a_raw_answer_of_gemini_counts_thoughts_apart() -> None:
    step = dialects.step(
        raw(
            vertex_ai__responseId="r-1",
            vertex_ai__candidates="[{'content': {'role': 'model', 'parts': [{'functionCall': "
            "{'name': 'get_weather', 'args': {'city': 'Rome'}}}]}, 'finishReason': 'STOP'}]",
            vertex_ai__usageMetadata="{'promptTokenCount': 10, 'candidatesTokenCount': 4, "
            "'thoughtsTokenCount': 6, 'cachedContentTokenCount': 8}",
        )
    )

    assert step.response_id == "r-1"
    assert step.usage == Usage(
        input_tokens=10, output_tokens=10, cache_read_tokens=8, reasoning_tokens=6
    )
    assert [r.name for r in step.tool_requests] == ["get_weather"]
    assert step.finish_reasons == ("stop",)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ([(10, "litellm.exceptions.RateLimitError")], Status.SUCCESS),
        ([(99, "litellm.exceptions.RateLimitError")], Status.SUCCESS),
        ([(97, "litellm.exceptions.APIError"), (99, "litellm.exceptions.APIError")], Status.ERROR),
        ([(99, "RuntimeError")], Status.ERROR),
        ([(10, "RuntimeError")], Status.SUCCESS),
    ],
)
def test_a_span_of_the_application_failed_if_an_exception_left_it(
    raised: list[tuple[int, str]], status: Status
) -> None:
    """LiteLLM writes OK onto it with a first call that works, and OpenTelemetry keeps that: what
    failed later shows in the events alone, beside those of calls that were tried again."""
    sent = {"litellm.call_id": "c", "gen_ai.operation.name": "chat"}
    events = [
        SpanEvent("exception", at * 1_000_000, {"exception.type": name, "exception.message": "no"})
        for at, name in raised
    ]
    span = view(sent, "demo.app", status_code="Ok", events=events, start_ns=1, end_ns=99_500_000)

    assert dialects.step(span).status is status


def test_a_failed_call_is_told_by_the_span_of_the_application_that_it_failed() -> None:
    """Under such a span LiteLLM makes none for it; in a run without any answer it counts."""
    sent = {
        "litellm.call_id": "c",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "llm.request.type": "completion",
        "error.type": "InternalServerError",
        "error.message": "litellm.InternalServerError: The server had an error",
    }
    span = view(sent, "demo.app", name="assist", status_code="Error", end_ns=9)
    teller = dialects.step(span)
    (told,) = dialects.told(span, teller)
    [run] = fold([teller, told])

    assert (told.kind, told.model, told.status) == (Kind.MODEL, "gpt-4o-mini", Status.ERROR)
    assert (run.status, run.stop_reason, run.own.model_errors) == ("failed", "model_error", 1)


def test_an_agent_that_litellm_wrote_on_stays_an_agent() -> None:
    sent = {"litellm.call_id": "c", "gen_ai.operation.name": "chat", "gen_ai.agent.name": "triage"}
    step = dialects.step(view(sent, "demo.app", name="invoke_agent triage"))

    assert (step.kind, step.role, step.agent_name) == (Kind.RUN, Role.AGENT, "triage")


def test_a_provider_that_litellm_does_not_know_is_not_named() -> None:
    """With the Responses API, 1.106 and later write `llm.None.usage`."""
    assert dialects.step(raw(None__usage="{'input_tokens': 12, 'output_tokens': 4}")).provider == ""


def test_a_span_of_the_application_that_litellm_wrote_on_is_not_a_call() -> None:
    """Each call overwrites the one before: its attributes are those of any call."""
    sent = {"gen_ai.operation.name": "chat", "litellm.call_id": "x", "gen_ai.system": "openai"}
    step = dialects.step(view(sent, "demo.app", name="weather_agent"))

    assert (step.dialect, step.kind) == ("litellm", Kind.OTHER)


def test_a_span_that_says_what_it_is_stays_so_whatever_litellm_wrote_on_it() -> None:
    sent = {
        "openinference.span.kind": "AGENT",
        "gen_ai.operation.name": "chat",
        "litellm.call_id": "x",
    }

    assert dialects.step(view(sent, "my.app", name="agent")).kind is Kind.RUN


@pytest.mark.parametrize(
    ("call_type", "kind"),
    [
        ("chat", Kind.MODEL),
        ("acompletion", Kind.MODEL),
        ("aembedding", Kind.MODEL),
        ("embedding", Kind.MODEL),
        ("responses", Kind.MODEL),
        ("aresponses", Kind.MODEL),
        ("anthropic_messages", Kind.MODEL),
        ("arerank", Kind.RETRIEVE),
        ("amoderation", Kind.VALIDATE),
        ("call_mcp_tool", Kind.TOOL),
        ("acreate_batch", Kind.OTHER),
    ],
)
def test_a_call_type_may_stand_for_the_operation(call_type: str, kind: Kind) -> None:
    assert dialects.step(view({"gen_ai.operation.name": call_type})).kind is kind


@pytest.mark.parametrize("name", ["Received Proxy Server Request", "redis", "auth", "postgres"])
def test_the_proxys_own_spans_are_not_calls(name: str) -> None:
    step = dialects.step(view({"service": name, "call_type": "x"}, name=name))

    assert (step.kind, step.role) == (Kind.OTHER, Role.NONE)


def test_a_guardrail_that_intervened_is_a_failed_validation() -> None:
    sent = {"guardrail_name": "pii", "guardrail_status": "guardrail_intervened"}
    step = dialects.step(view(sent, name="guardrail"))

    assert (step.kind, step.status) == (Kind.VALIDATE, Status.ERROR)


def test_requests_without_raw_span_come_from_flattened_keys() -> None:
    """`gen_ai.output.messages` leaves out what was asked for."""
    sent = {
        "gen_ai.operation.name": "chat",
        "gen_ai.output.messages": '[{"role": "assistant", "parts": []}]',
        "gen_ai.completion.0.function_call.name": "get_weather",
        "gen_ai.completion.0.function_call.arguments": '{"city": "Rome"}',
        "gen_ai.completion.1.function_call.name": "search_docs",
    }
    step = dialects.step(view(sent, name="litellm_request"))
    shown = dialects.content(view(sent, name="litellm_request"))

    assert [r.name for r in step.tool_requests] == ["get_weather", "search_docs"]
    assert shown.messages_out is not None
    assert [c["name"] for c in shown.messages_out[0]["tool_calls"]] == [
        "get_weather", "search_docs",
    ]  # fmt: skip


def test_a_request_tells_of_the_tools_that_were_run_before_it() -> None:
    """The application has no span for them: DIALECTS 2.10."""
    spans = {s.span_id: s for s in captures.spans(captures.folder("litellm"))}
    request, raw_request = spans["3e295633dc51d54e"], spans["3e673514974799cd"]
    told = [dialects.told(span, dialects.step(span)) for span in (request, raw_request)]

    for (call,) in told:
        assert (call.kind, call.tool_name, call.role) == (Kind.TOOL, "lookup_order", Role.TOLD)
        assert call.arguments_digest == arguments.digest({"order_id": "A-1001"})
        assert (call.failed, call.error_type) == (True, "timeout")
    assert told[0][0].span_id == told[1][0].span_id
