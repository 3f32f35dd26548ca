"""OpenLLMetry: what its capture does not show: old keys, other clients, stores, properties."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView, Status, Usage
from tests.support import captures

OPENAI = "opentelemetry.instrumentation.openai.v1"
LANGCHAIN = "opentelemetry.instrumentation.langchain"
ANTHROPIC = "opentelemetry.instrumentation.anthropic"


def view(attributes: dict[str, Any], scope: str = "traceloop.tracer", **more: Any) -> SpanView:
    return SpanView(trace_id="a", span_id="b", attributes=attributes, scope=scope, **more)


OLD_CALL = {
    "llm.request.type": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "llm.usage.total_tokens": "1242",
    "gen_ai.usage.prompt_tokens": "1200",
    "gen_ai.usage.completion_tokens": "42",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "You are a helpful assistant.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "What is the weather in Paris?",
    "llm.request.functions.0.name": "get_weather",
    "llm.request.functions.0.parameters": '{"type": "object"}',
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.finish_reason": "tool_calls",
    "gen_ai.completion.0.tool_calls.0.id": "call_1",
    "gen_ai.completion.0.tool_calls.0.name": "get_weather",
    "gen_ai.completion.0.tool_calls.0.arguments": '{"city": "Paris"}',
}
"""A model call as 0.33 sends it (DIALECTS 3.5)."""


def test_an_old_model_call_is_read_from_flattened_keys() -> None:
    step = dialects.step(view(OLD_CALL, OPENAI, name="openai.chat"))

    assert (step.dialect, step.kind) == ("traceloop", Kind.MODEL)
    assert (step.provider, step.model) == ("openai", "gpt-4o-mini-2024-07-18")
    assert step.usage == Usage(input_tokens=1200, output_tokens=42)
    assert step.finish_reasons == ("tool_call",)
    (asked,) = step.tool_requests
    assert (asked.name, asked.call_id) == ("get_weather", "call_1")
    assert asked.arguments_digest == arguments.digest({"city": "Paris"})


def test_tools_of_a_bare_client_are_told_by_the_next_request() -> None:
    """Without decorators, as after `Traceloop.init()` alone, no span shows a tool."""
    asked = {"type": "tool_call", "id": "t1", "name": "get_weather", "arguments": {"city": "Oslo"}}
    sent = [
        {"role": "user", "parts": [{"type": "text", "content": "Umbrella?"}]},
        {"role": "assistant", "parts": [asked]},
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "t1", "response": "no"}]},
    ]
    call = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(sent)}
    span = view(call, ANTHROPIC, name="anthropic.chat")

    (told,) = dialects.told(span, dialects.step(span))

    assert (told.kind, told.tool_name, told.tool_call_id) == (Kind.TOOL, "get_weather", "t1")
    assert told.arguments_digest == arguments.digest({"city": "Oslo"})


def test_an_old_model_call_shows_its_messages() -> None:
    shown = dialects.content(view(OLD_CALL, OPENAI))

    assert shown.input == "What is the weather in Paris?"
    assert shown.system_instructions == "You are a helpful assistant."
    assert shown.tools_offered == ["get_weather"]
    assert shown.messages_out is not None
    assert shown.messages_out[0]["tool_calls"][0]["arguments"] == {"city": "Paris"}


@pytest.mark.parametrize(
    ("request_type", "kind"),
    [
        ("chat", Kind.MODEL),
        ("completion", Kind.MODEL),
        ("embedding", Kind.MODEL),
        ("rerank", Kind.RETRIEVE),
        ("unknown", Kind.OTHER),
    ],
)
def test_an_old_request_type_is_a_kind(request_type: str, kind: Kind) -> None:
    assert dialects.step(view({"llm.request.type": request_type}, OPENAI)).kind is kind


def test_old_langchain_names_itself_as_provider_and_may_not_know_its_model() -> None:
    sent = {"llm.request.type": "completion", "gen_ai.system": "Langchain"}
    step = dialects.step(view({**sent, "gen_ai.response.model": "unknown"}, LANGCHAIN))

    assert (step.provider, step.model) == ("", "")


def test_an_old_agent_is_named_by_its_entity() -> None:
    """`traceloop.workflow.name` is overwritten by the innermost agent (DIALECTS 3.5)."""
    agent = dialects.step(
        view(
            {
                "traceloop.span.kind": "agent",
                "traceloop.entity.name": "weather_agent",
                "traceloop.workflow.name": "weather_agent",
                "traceloop.entity.input": '{"args": ["Weather?"], "kwargs": {}}',
            }
        )
    )
    workflow = dialects.step(
        view(
            {
                "traceloop.span.kind": "workflow",
                "traceloop.entity.name": "weather_workflow",
                "traceloop.workflow.name": "weather_agent",
            }
        )
    )

    assert (agent.kind, agent.role, agent.agent_name) == (Kind.RUN, Role.AGENT, "weather_agent")
    assert (workflow.kind, workflow.role) == (Kind.RUN, Role.WORKFLOW)
    assert workflow.labels["workflow_name"] == "weather_workflow"


def test_a_decorated_tool_is_digested_without_its_wrapper() -> None:
    sent = {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "get_weather",
        "traceloop.entity.input": '{"args": [], "kwargs": {"city": "Paris"}}',
        "traceloop.entity.output": '"\\"Paris: 18C\\""',
    }
    step, shown = dialects.step(view(sent)), dialects.content(view(sent))

    assert (step.kind, step.tool_name) == (Kind.TOOL, "get_weather")
    assert step.arguments_digest == arguments.digest({"city": "Paris"})
    assert step.result_digest == arguments.result_digest("Paris: 18C")
    assert (shown.arguments, shown.result) == ({"city": "Paris"}, "Paris: 18C")


TOOL_MESSAGE = {
    "output": {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "ToolMessage"],
        "kwargs": {"content": "Rome: 18C", "type": "tool", "tool_call_id": "call_7"},
    },
    "kwargs": {"tags": ["seq:step:1"]},
}


@pytest.mark.parametrize("prefix", ["gen_ai.tool.call.", "traceloop.entity."])
def test_a_langchain_tool_is_read_out_of_its_callback(prefix: str) -> None:
    """Arguments are a Python literal in JSON, the result a serialized message, new and old."""
    names = ("arguments", "result") if prefix.startswith("gen_ai") else ("input", "output")
    sent = {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "get_weather",
        prefix + names[0]: json.dumps({"input_str": "{'city': 'Rome'}", "tags": []}),
        prefix + names[1]: json.dumps(TOOL_MESSAGE),
    }
    step, shown = dialects.step(view(sent, LANGCHAIN)), dialects.content(view(sent, LANGCHAIN))

    assert (step.tool_name, step.tool_call_id) == ("get_weather", "call_7")
    assert step.arguments_digest == arguments.digest({"city": "Rome"})
    assert step.result_digest == arguments.result_digest("Rome: 18C")
    assert (shown.arguments, shown.result) == ({"city": "Rome"}, "Rome: 18C")


def test_a_failed_task_says_so_in_an_attribute() -> None:
    sent = {"gen_ai.operation.name": "execute_tool", "gen_ai.task.status": "failure"}

    assert dialects.step(view(sent, LANGCHAIN)).status is Status.ERROR


def test_association_properties_are_labels_and_langchains_own_are_not() -> None:
    """Any key that the application chose (DIALECTS 2.17)."""
    prefix = "traceloop.association.properties."
    sent = {
        "traceloop.span.kind": "workflow",
        prefix + "session_id": "s-1",
        prefix + "userId": "u-1",
        prefix + "customer": "acme",
        prefix + "langgraph_node": "model",
        prefix + "ls_provider": "openai",
        prefix + "lc_agent_name": "x",
    }
    labels = dialects.step(view(sent)).labels

    assert labels == {"session_id": "s-1", "user_id": "u-1", "tags.customer": "acme"}


def test_the_shared_key_of_a_session_comes_first() -> None:
    sent = {
        "traceloop.span.kind": "workflow",
        "traceloop.association.properties.session_id": "theirs",
        "session.id": "shared",
    }

    assert dialects.step(view(sent)).labels["session_id"] == "shared"


def test_anthropic_counts_cached_tokens_within_the_input() -> None:
    """Both API fields are added to the input by the instrumentation (DIALECTS 3.22)."""
    sent = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": "1712",
        "gen_ai.usage.output_tokens": "42",
        "gen_ai.usage.cache_read.input_tokens": "0",
        "gen_ai.usage.cache_creation.input_tokens": "512",
        "gen_ai.response.finish_reasons": '["tool_call"]',
    }
    step = dialects.step(view(sent, ANTHROPIC, name="anthropic.chat"))

    assert step.usage == Usage(
        input_tokens=1712, output_tokens=42, cache_read_tokens=0, cache_write_tokens=512
    )
    assert step.finish_reasons == ("tool_call",)


def test_old_anthropic_keys_are_the_same_counts() -> None:
    sent = {
        "llm.request.type": "completion",
        "gen_ai.system": "Anthropic",
        "gen_ai.usage.prompt_tokens": "1712",
        "gen_ai.usage.cache_read_input_tokens": "1024",
        "gen_ai.usage.cache_creation_input_tokens": "512",
        "gen_ai.completion.0.finish_reason": "tool_use",
    }
    step = dialects.step(view(sent, ANTHROPIC))

    assert step.provider == "anthropic"
    assert step.usage == Usage(input_tokens=1712, cache_read_tokens=1024, cache_write_tokens=512)
    assert step.finish_reasons == ("tool_call",)


def test_a_search_in_a_vector_store_is_a_retrieval() -> None:
    found = [SpanEvent("db.query.result", 1, {"db.query.result.id": str(n)}) for n in range(3)]
    sent = {"db.system": "pinecone", "db.operation": "query"}
    scope = "opentelemetry.instrumentation.pinecone"
    search = dialects.step(view(sent, scope, name="pinecone.query", events=found))
    upsert = dialects.step(view(sent, scope, name="pinecone.upsert"))

    assert (search.kind, search.hit_count) == (Kind.RETRIEVE, 3)
    assert upsert.kind is Kind.OTHER


def test_a_graph_that_comes_twice_is_a_workflow_around_its_agent() -> None:
    """`invoke_agent X` around `X.workflow` (DIALECTS 3.5): the outer one adopts the inner."""
    found = [dialects.step(span) for span in captures.spans(captures.folder("traceloop"))]
    runs = {
        (step.name, step.role)
        for step in found
        if step.scope == LANGCHAIN and step.kind is Kind.RUN and "weather" in step.name
    }

    assert runs == {
        ("invoke_agent weather_agent", Role.WORKFLOW),
        ("weather_agent.workflow", Role.AGENT),
    }
    assert {s.role for s in found if s.name.startswith("execute_task")} == {Role.NODE}


def test_a_run_shows_what_its_function_was_given() -> None:
    spans = {s.span_id: s for s in captures.spans(captures.folder("traceloop"))}
    decorated = dialects.content(spans["34dcda259fa98b15"])
    graph = dialects.content(spans["7476dc3df560a3b6"])

    assert (decorated.input or "").endswith("(ref: normal-1)")
    assert decorated.output == "It is 18C with light rain in Paris. Yes, bring an umbrella."
    assert (graph.input or "").endswith("(ref: normal-2)")
    assert graph.output == "It is 18C with light rain in Rome. Yes, bring an umbrella."


def test_a_handoff_of_openai_agents_is_a_call_of_its_tool() -> None:
    """With OpenAI Agents 0.24 the next agent is not sent."""
    scope = "opentelemetry.instrumentation.openai_agents"
    sent = {"traceloop.span.kind": "handoff", "gen_ai.operation.name": "handoff"}
    known = dialects.step(view({**sent, "gen_ai.handoff.to_agent": "Refund agent"}, scope))
    unknown = dialects.step(view(sent, scope, name="triage → unknown.handoff"))

    assert (known.kind, known.tool_name) == (Kind.TOOL, "transfer_to_refund_agent")
    assert (unknown.kind, unknown.tool_name, unknown.role) == (Kind.TOOL, "handoff", Role.HANDOFF)
