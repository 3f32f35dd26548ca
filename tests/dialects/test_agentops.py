"""AgentOps: sessions, requests that look like calls, spans of its other instrumentations."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanView, Usage
from tests.support import captures


def view(attributes: dict[str, Any], scope: str = "agentops", **more: Any) -> SpanView:
    return SpanView(trace_id="a", span_id="b", attributes=attributes, scope=scope, **more)


@pytest.mark.parametrize(
    ("stated", "name", "kind", "role"),
    [
        ("session", "weather_session", Kind.RUN, Role.WORKFLOW),
        ("session", "session", Kind.OTHER, Role.NONE),
        ("workflow", "w", Kind.RUN, Role.WORKFLOW),
        ("agent", "a", Kind.RUN, Role.AGENT),
        ("tool", "t", Kind.TOOL, Role.NONE),
        ("llm", "l", Kind.MODEL, Role.NONE),
        ("guardrail", "g", Kind.VALIDATE, Role.NONE),
        ("task", "t", Kind.OTHER, Role.NONE),
        ("operation", "o", Kind.OTHER, Role.NONE),
    ],
)
def test_span_kinds(stated: str, name: str, kind: Kind, role: Role) -> None:
    """The session that `init` opens is the process's: what runs in it are runs of their own."""
    step = dialects.step(view({"agentops.span.kind": stated, "operation.name": name}))

    assert (step.dialect, step.kind, step.role) == ("agentops", kind, role)


def test_a_request_below_a_model_span_is_not_the_tool() -> None:
    """DIALECTS 2.16; it even says that it is a tool, by the name of its enumeration's member."""
    sent = {
        "agentops.span.kind": "AgentOpsSpanKindValues.TOOL",
        "tool.name": "get_weather",
        "tool.parameters": '{"city": "Paris"}',
    }
    scope = "agentops.instrumentation.providers.openai.wrappers.chat"
    step = dialects.step(view(sent, scope, name="tool_call.get_weather"))

    assert step.kind is Kind.OTHER


def test_a_model_span_has_the_old_keys() -> None:
    sent = {
        "gen_ai.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.prompt_tokens": "1200",
        "gen_ai.usage.completion_tokens": "42",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Weather?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.finish_reason": "tool_calls",
        "gen_ai.completion.0.tool_calls.0.name": "get_weather",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"city": "Paris"}',
    }
    step = dialects.step(view(sent, "openai", name="openai.chat.completion"))

    assert (step.dialect, step.kind, step.provider) == ("agentops", Kind.MODEL, "openai")
    assert step.usage == Usage(input_tokens=1200, output_tokens=42)
    assert step.finish_reasons == ("tool_call",)
    assert [r.name for r in step.tool_requests] == ["get_weather"]
    assert dialects.content(view(sent, "openai")).input == "Weather?"


def test_a_scope_named_openai_alone_says_nothing() -> None:
    assert dialects.step(view({"some.key": "x"}, "openai")).dialect == ""


def test_a_decorated_tool_is_digested_without_its_wrapper() -> None:
    sent = {
        "agentops.span.kind": "tool",
        "operation.name": "get_weather",
        "agentops.tool.input": '{"args": [], "kwargs": {"city": "Paris"}}',
        "agentops.tool.output": "Paris: 18C",
    }
    step, shown = dialects.step(view(sent)), dialects.content(view(sent))

    assert step.tool_name == "get_weather"
    assert step.arguments_digest == arguments.digest({"city": "Paris"})
    assert step.result_digest == arguments.result_digest("Paris: 18C")
    assert (shown.arguments, shown.result) == ({"city": "Paris"}, "Paris: 18C")


def test_an_older_tool_is_an_entity() -> None:
    sent = {
        "agentops.span.kind": "tool",
        "agentops.entity.name": "get_weather",
        "agentops.entity.input": '{"args": [], "kwargs": {"city": "Paris"}}',
        "agentops.entity.output": "Paris: 18C",
    }
    step, shown = dialects.step(view(sent)), dialects.content(view(sent))

    assert step.tool_name == "get_weather"
    assert step.arguments_digest == arguments.digest({"city": "Paris"})
    assert (shown.arguments, shown.result) == ({"city": "Paris"}, "Paris: 18C")


def test_a_session_shows_its_task_and_its_answer() -> None:
    spans = {s.span_id: s for s in captures.spans(captures.folder("agentops"))}
    shown = dialects.content(spans["49fdc733aed13f82"])

    assert shown.input == "What? (ref: normal-1)"
    assert shown.output == "It is 18C."


def test_tags_of_a_session_are_tags() -> None:
    sent = {"agentops.span.kind": "session", "operation.name": "s", "agentops.tags": '["a", "b"]'}

    assert dialects.step(view(sent)).labels == {
        "workflow_name": "s", "tags.a": "true", "tags.b": "true",
    }  # fmt: skip
