"""LangSmith: what its capture does not show: hand-made spans, LangChain's tracer, other clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView, Status, Usage

METADATA = "langsmith.metadata."


def view(kind: str, attributes: dict[str, Any] | None = None, **more: Any) -> SpanView:
    found = {"langsmith.span.kind": kind, **(attributes or {})}
    return SpanView(trace_id="a", span_id="b", attributes=found, scope="langsmith", **more)


@pytest.mark.parametrize(
    ("kind", "operation", "expected"),
    [
        ("llm", "chat", Kind.MODEL),
        ("LLM", "chat", Kind.MODEL),
        ("embedding", "embeddings", Kind.MODEL),
        ("tool", "execute_tool", Kind.TOOL),
        ("retriever", "embeddings", Kind.RETRIEVE),
        ("prompt", "chat", Kind.OTHER),
        ("parser", "parser", Kind.OTHER),
        ("chain", "chain", Kind.OTHER),
    ],
)
def test_the_run_type_decides_not_the_operation(kind: str, operation: str, expected: Kind) -> None:
    """The exporter calls a retriever `embeddings` and a prompt template `chat`."""
    span = view(kind, {"gen_ai.operation.name": operation}, parent_span_id="c")

    assert dialects.step(span).kind is expected


MESSAGE = {
    "content": "",
    "type": "ai",
    "id": "run-1",
    "tool_calls": [{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}],
    "response_metadata": {
        "finish_reason": "tool_calls",
        "id": "chatcmpl-1",
        "model_name": "gpt-4o-mini-2024-07-18",
    },
    "usage_metadata": {
        "input_tokens": 1350,
        "output_tokens": 49,
        "input_token_details": {"cache_read": 1024},
        "output_token_details": {"reasoning": 16},
    },
}


def test_a_langchain_model_call_is_read_from_its_result() -> None:
    """Cached and reasoning tokens, the model that answered and the id are in the result alone."""
    generation = {"text": "", "message": {"lc": 1, "type": "constructor", "kwargs": MESSAGE}}
    step = dialects.step(
        view(
            "llm",
            {
                "gen_ai.system": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": "1350",
                "gen_ai.usage.output_tokens": "49",
                "gen_ai.completion": json.dumps({"generations": [[generation]]}),
            },
        )
    )

    assert step.usage == Usage(
        input_tokens=1350, cache_read_tokens=1024, output_tokens=49, reasoning_tokens=16
    )
    assert (step.model, step.response_id) == ("gpt-4o-mini-2024-07-18", "chatcmpl-1")
    assert step.finish_reasons == ("tool_call",)
    (asked,) = step.tool_requests
    assert (asked.name, asked.call_id) == ("f", "c1")
    assert asked.arguments_digest == arguments.digest({"a": 1})


def test_details_of_usage_may_be_attributes_in_pythons_spelling() -> None:
    step = dialects.step(
        view(
            "llm",
            {
                "gen_ai.usage.input_tokens": "1350",
                "gen_ai.usage.output_tokens": "49",
                "gen_ai.usage.input_token_details": "{'cache_read': 1024}",
                "gen_ai.usage.output_token_details": "{'reasoning': 16}",
            },
        )
    )

    assert step.usage == Usage(
        input_tokens=1350, cache_read_tokens=1024, output_tokens=49, reasoning_tokens=16
    )


def test_a_usage_that_the_application_states_comes_first() -> None:
    usage = {"input_tokens": 10, "output_tokens": 5}
    step = dialects.step(
        view(
            "llm",
            {"langsmith.usage_metadata": json.dumps(usage), "gen_ai.usage.input_tokens": "99"},
        )
    )

    assert step.usage == Usage(input_tokens=10, output_tokens=5)


def test_a_hand_made_span_with_flattened_messages() -> None:
    """As the documentation shows for applications with an OpenTelemetry SDK of their own."""
    span = SpanView(
        trace_id="a",
        span_id="b",
        scope="my_app",
        attributes={
            "langsmith.span.kind": "LLM",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Weather?",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "f",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"a": 1}',
            "gen_ai.usage.prompt_tokens": "12",
            "gen_ai.usage.completion_tokens": "3",
        },
    )
    step, shown = dialects.step(span), dialects.content(span)

    assert (step.dialect, step.kind, step.provider) == ("langsmith", Kind.MODEL, "openai")
    assert step.usage == Usage(input_tokens=12, output_tokens=3)
    assert [asked.name for asked in step.tool_requests] == ["f"]
    assert shown.input == "Weather?"


@pytest.mark.parametrize(
    "sent", ['{"city": "Rome"}', "{\"input\": \"{'city': 'Rome'}\"}"], ids=["traced", "langchain"]
)
def test_arguments_are_the_same_whoever_traced_the_tool(sent: str) -> None:
    span = view("tool", {"gen_ai.tool.name": "weather", "gen_ai.prompt": sent})

    assert dialects.step(span).arguments_digest == arguments.digest({"city": "Rome"})
    assert dialects.content(span).arguments == {"city": "Rome"}


@pytest.mark.parametrize(
    "output",
    [
        {"type": "tool", "content": "18C", "tool_call_id": "c1", "status": "success"},
        {"lc": 1, "type": "constructor", "kwargs": {"content": "18C", "tool_call_id": "c1"}},
    ],
    ids=["plain", "serialized"],
)
def test_a_result_is_read_out_of_its_message(output: dict[str, Any]) -> None:
    span = view("tool", {"gen_ai.completion": json.dumps({"output": output})}, name="weather")
    step = dialects.step(span)

    assert (step.tool_name, step.tool_call_id) == ("weather", "c1")
    assert step.result_digest == arguments.result_digest("18C")
    assert dialects.content(span).result == "18C"


def test_a_tool_message_that_reports_an_error_is_one() -> None:
    message = {"type": "tool", "content": "no such city", "tool_call_id": "c", "status": "error"}

    step = dialects.step(view("tool", {"gen_ai.completion": json.dumps({"output": message})}))

    assert (step.status, step.error_message) == (Status.ERROR, "no such city")


def test_an_error_is_taken_out_of_the_text_that_holds_it() -> None:
    """The exporter records an `Exception` whose message is the error's repr and traceback."""
    text = 'UpstreamBroken("no answer")\n\nTraceback (most recent call last):\n  File "x.py"'
    event = SpanEvent("exception", 1, {"exception.type": "Exception", "exception.message": text})

    step = dialects.step(view("tool", status_code="Error", events=(event,)))

    assert step.status is Status.ERROR
    assert (step.error_type, step.error_message) == ("UpstreamBroken", "no answer")


def test_a_project_is_no_session() -> None:
    """LangSmith calls projects sessions; conversations are threads, in the metadata."""
    step = dialects.step(
        view(
            "chain",
            {
                "langsmith.trace.session_id": "project-id",
                "langsmith.trace.session_name": "project",
                "langsmith.span.tags": "demo, seq:step:1, beta",
                METADATA + "thread_id": "thread-1",
                METADATA + "user_id": "u-1",
                METADATA + "tier": "gold",
                METADATA + "revision_id": "v7",
                METADATA + "ls_method": "traceable",
            },
            name="rag",
        )
    )

    assert dict(step.labels) == {
        "conversation_id": "thread-1",
        "user_id": "u-1",
        "tags.tier": "gold",
        "tags.demo": "true",
        "tags.beta": "true",
        "app_version": "v7",
        "workflow_name": "rag",
    }


def test_a_graph_is_a_run_and_its_nodes_are_not() -> None:
    place = "refund:8c19"
    graph = {METADATA + "ls_integration": "langgraph", METADATA + "lc_agent_name": "refund"}
    node = {
        **graph,
        METADATA + "langgraph_node": "refund",
        METADATA + "langgraph_checkpoint_ns": place,
    }
    inner = {**node, METADATA + "checkpoint_ns": place}

    steps = [
        dialects.step(view("chain", one, name="refund", parent_span_id="c"))
        for one in (graph, node, inner)
    ]

    assert [(step.kind, step.role) for step in steps] == [
        (Kind.RUN, Role.AGENT),
        (Kind.OTHER, Role.NODE),
        (Kind.RUN, Role.AGENT),
    ]


def test_documents_of_a_retriever() -> None:
    documents = [{"page_content": "25 days", "metadata": {"id": "doc-0"}, "type": "Document"}]
    for name in ("output", "documents"):
        span = view(
            "retriever",
            {
                "gen_ai.prompt": '{"query": "vacation"}',
                "gen_ai.completion": json.dumps({name: documents}),
            },
        )

        assert dialects.step(span).hit_count == 1
        shown = dialects.content(span)
        assert shown.query == "vacation"
        assert shown.documents is not None
        assert len(shown.documents) == 1


def test_a_runs_task_and_answer_are_shown_without_their_names() -> None:
    shown = dialects.content(
        view("chain", {"gen_ai.prompt": '{"q": "Hi"}', "gen_ai.completion": '{"output": "Ho"}'})
    )

    assert (shown.input, shown.output) == ("Hi", "Ho")
