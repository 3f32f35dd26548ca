"""Spans that the Anthropic SDK makes itself (anthropic 2.11)."""

from __future__ import annotations

from typing import Any

from collector.runs.group import fold
from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Step, Usage

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 1712,
    "gen_ai.usage.output_tokens": 42,
    "gen_ai.usage.cache_write.input_tokens": 512,
    "gen_ai.response.id": "msg_1",
    "anthropic.message.stop_reason": "tool_use",
    "http.request.method": "POST",
}


def view(attributes: dict[str, Any], **more: Any) -> SpanView:
    fields: dict[str, Any] = {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "name": "anthropic.messages.create",
        "scope": "com.anthropic.sdk.python",
        "start_ns": 1,
        "end_ns": 9,
    }
    return SpanView(attributes=attributes, **(fields | more))


def step(attributes: dict[str, Any], **more: Any) -> Step:
    return dialects.step(view(attributes, **more))


def test_a_message_is_a_model_call() -> None:
    made = step(CHAT)

    assert (made.kind, made.dialect, made.provider) == (Kind.MODEL, "anthropic_sdk", "anthropic")
    assert made.finish_reasons == ("tool_call",)
    assert made.usage == Usage(input_tokens=1712, output_tokens=42, cache_write_tokens=512)


def test_tokens_of_compactions_are_billed_on_top() -> None:
    """The SDK's own sums leave them out (lib/_tracing/_response.py)."""
    more = {"anthropic.usage.compaction.input_tokens": 1000,
            "anthropic.usage.compaction.output_tokens": "58"}  # fmt: skip
    usage = step({**CHAT, **more}).usage

    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (2712, 100)
    assert dialects.content(view({**CHAT, **more})).context_compacted


def test_other_endpoints_are_plumbing() -> None:
    """Counting tokens, uploading files: API calls, but no calls of a model."""
    made = step({"gen_ai.provider.name": "anthropic", "anthropic.file.id": "f"})

    assert (made.kind, made.role) == (Kind.OTHER, Role.TRANSPORT)


def test_a_call_that_another_instrumentor_describes_is_one_call() -> None:
    """The SDK's span lies within OpenInference's and beside OpenLLMetry's; the id is the same."""
    root = dialects.step(
        SpanView(
            trace_id="a" * 32,
            span_id="1" * 16,
            start_ns=0,
            end_ns=20,
            attributes={"gen_ai.operation.name": "invoke_agent"},
        )
    )
    outer = dialects.step(
        SpanView(
            trace_id="a" * 32,
            span_id="c" * 16,
            parent_span_id="1" * 16,
            scope="openinference.instrumentation.anthropic",
            start_ns=0,
            end_ns=10,
            attributes={
                "openinference.span.kind": "LLM",
                "llm.token_count.prompt": 1712,
                "llm.token_count.completion": 42,
            },
        )
    )
    within = step(CHAT, parent_span_id="c" * 16)
    beside = dialects.step(
        SpanView(
            trace_id="a" * 32,
            span_id="d" * 16,
            parent_span_id="1" * 16,
            scope="opentelemetry.instrumentation.anthropic",
            start_ns=0,
            end_ns=10,
            attributes={**CHAT, "gen_ai.response.finish_reasons": ["tool_call"]},
        )
    )

    [run] = fold([root, outer, within, beside])

    assert (run.own.model_calls, run.own.input_tokens, run.own.output_tokens) == (1, 1712, 42)
