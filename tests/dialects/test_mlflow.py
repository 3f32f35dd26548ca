"""MLflow: quoted values, the GenAI mode, answers of other APIs, roots, numbered names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Step, Usage

SCOPE = "mlflow.tracing.provider"


def view(attributes: dict[str, Any], **more: Any) -> SpanView:
    more = {"parent_span_id": "c", "scope": SCOPE, **more}
    return SpanView(trace_id="a", span_id="b", attributes=attributes, **more)


def native(kind: str, attributes: dict[str, Any] | None = None, **more: Any) -> SpanView:
    """A span of the default mode: every value as JSON."""
    sent = {"mlflow.spanType": kind, **(attributes or {})}
    return view({key: json.dumps(value) for key, value in sent.items()}, **more)


def step(span: SpanView) -> Step:
    return dialects.step(span)


@pytest.mark.parametrize(
    ("stated", "kind", "role"),
    [
        ("AGENT", Kind.RUN, Role.AGENT),
        ("CHAT_MODEL", Kind.MODEL, Role.NONE),
        ("LLM", Kind.MODEL, Role.NONE),
        ("EMBEDDING", Kind.MODEL, Role.NONE),
        ("TOOL", Kind.TOOL, Role.NONE),
        ("RETRIEVER", Kind.RETRIEVE, Role.NONE),
        ("RERANKER", Kind.RETRIEVE, Role.NONE),
        ("GUARDRAIL", Kind.VALIDATE, Role.NONE),
        ("CHAIN", Kind.OTHER, Role.NONE),
        ("MY_OWN", Kind.OTHER, Role.NONE),
    ],
)
def test_what_a_span_is_its_type_says(stated: str, kind: Kind, role: Role) -> None:
    """In quotes in the default mode; as the operation in the GenAI mode, where it has no other."""
    one, other = step(native(stated)), step(view({"gen_ai.operation.name": stated}))

    assert (one.kind, one.role) == (other.kind, other.role) == (kind, role)
    assert one.dialect == other.dialect == "mlflow"


def test_a_chain_that_is_the_root_is_a_workflow() -> None:
    """LangChain's autologging types its outermost span so."""
    root = step(native("CHAIN", name="rag_chain", parent_span_id=""))

    assert (root.kind, root.role) == (Kind.RUN, Role.WORKFLOW)
    assert (root.agent_name, root.labels) == ("", {"workflow_name": "rag_chain"})


def test_the_genai_mode_says_the_same_with_other_names() -> None:
    """Arguments and results are in JSON there, a string in its quotes."""
    tool = view(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.call.arguments": '{"city": "Paris"}',
            "gen_ai.tool.call.result": '"Paris: 18C"',
        },
        name="execute_tool get_weather",
    )
    same = native(
        "TOOL",
        {"mlflow.spanInputs": {"city": "Paris"}, "mlflow.spanOutputs": "Paris: 18C"},
        name="get_weather",
    )
    agent = step(view({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "w"}))
    model = step(
        view(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 1200,
                "gen_ai.usage.output_tokens": 42,
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [
                        {"type": "tool_call", "id": "c1", "name": "get_weather",
                         "arguments": '{"city": "Paris"}'}], "finish_reason": "tool_calls"}]
                ),
            }
        )
    )  # fmt: skip

    assert step(tool).tool_name == step(same).tool_name == "get_weather"
    assert step(tool).arguments_digest == step(same).arguments_digest
    assert step(tool).result_digest == step(same).result_digest
    for shown in (dialects.content(tool), dialects.content(same)):
        assert (shown.arguments, shown.result) == ({"city": "Paris"}, "Paris: 18C")
    assert (agent.kind, agent.agent_name) == (Kind.RUN, "w")
    assert model.usage == Usage(input_tokens=1200, output_tokens=42)
    assert model.finish_reasons == ("tool_call",)
    (request,) = model.tool_requests
    assert request.arguments_digest == step(tool).arguments_digest


def test_a_span_without_a_type_in_the_genai_mode_is_the_applications() -> None:
    assert step(view({"code": "x"})).kind is Kind.OTHER


def test_counts_are_inclusive_and_their_details_come_from_the_answer() -> None:
    """MLflow adds Anthropic's cached tokens itself; reasoning is only in the API's own object."""
    used = {
        "input_tokens": 1350,
        "output_tokens": 49,
        "total_tokens": 1399,
        "cache_read_input_tokens": 1024,
        "cache_creation_input_tokens": 100,
    }
    answer = {
        "id": "chatcmpl-1",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {"prompt_tokens": 1350, "completion_tokens": 49,
                  "completion_tokens_details": {"reasoning_tokens": 16}},
    }  # fmt: skip
    span = native("CHAT_MODEL", {"mlflow.chat.tokenUsage": used, "mlflow.spanOutputs": answer})
    found = step(span)

    assert found.usage == Usage(
        input_tokens=1350,
        output_tokens=49,
        cache_read_tokens=1024,
        cache_write_tokens=100,
        reasoning_tokens=16,
    )
    assert (found.response_id, found.finish_reasons) == ("chatcmpl-1", ("stop",))
    assert dialects.content(span).output == "Hi"


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"role": "assistant", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "f", "arguments": '{"a": 1}'}}]}}]},
        {"id": "resp_1", "output": [
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f",
             "arguments": '{"a": 1}'}]},
        {"role": "assistant", "stop_reason": "tool_use", "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]},
        {"candidates": [{"content": {"role": "model", "parts": [
            {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}]}}]},
        {"generations": [[{"message": {"type": "ai", "content": "", "tool_calls": [
            {"type": "tool_call", "id": "c1", "name": "f", "args": {"a": 1}}]}}]]},
    ],
)  # fmt: skip
def test_requests_are_read_from_the_answer_of_any_api(answer: Any) -> None:
    """Autologging keeps what the client returned: OpenAI, Anthropic, Gemini, LangChain."""
    span = native("CHAT_MODEL", {"mlflow.spanOutputs": answer})
    (request,) = step(span).tool_requests
    shown = [
        call
        for one in dialects.content(span).messages_out or ()
        for call in one.get("tool_calls", ())
    ]

    assert (request.name, request.call_id) == ("f", "c1")
    assert (
        request.arguments_digest
        == step(native("TOOL", {"mlflow.spanInputs": {"a": 1}})).arguments_digest
    )
    assert [(call["name"], call["arguments"]) for call in shown] == [("f", {"a": 1})]


def test_a_number_that_versions_before_3_add_to_a_name_is_no_part_of_it() -> None:
    """Two calls of `get_weather` are one tool; a tool may be called `step_2` all the same."""
    second = native("TOOL", {"mlflow.spanFunctionName": "get_weather"}, name="get_weather_2")
    named = native("TOOL", {"mlflow.spanFunctionName": "run"}, name="step_2")

    assert step(second).tool_name == "get_weather"
    assert step(named).tool_name == "step_2"


def test_cost_prompts_and_tags_are_read_where_mlflow_puts_them() -> None:
    span = native(
        "CHAT_MODEL",
        {
            "mlflow.llm.cost": {"input_cost": 0.001, "output_cost": 0.002, "total_cost": 0.003},
            "mlflow.llm.provider": "openai",
            "mlflow.llm.model": "gpt-4o-mini",
            "mlflow.linkedPrompts": [{"name": "triage", "version": "3"}],
            "mlflow.traceTag.tier": "gold",
            "session.id": "session-42",
        },
    )
    found = step(span)

    assert (found.cost_nano_usd, found.provider, found.model) == (
        3_000_000,
        "openai",
        "gpt-4o-mini",
    )
    assert found.labels == {
        "prompt_versions.triage": "3",
        "tags.tier": "gold",
        "session_id": "session-42",
    }


def test_a_retrieval_counts_its_documents() -> None:
    documents = [
        {"page_content": "25 days.", "metadata": {"doc_uri": "handbook.md#0"}, "id": "doc-0"}
    ]
    span = native(
        "RETRIEVER",
        {"mlflow.spanInputs": {"query": "vacation days"}, "mlflow.spanOutputs": documents},
    )
    shown = dialects.content(span)

    assert step(span).hit_count == 1
    assert shown.query == "vacation days"
    assert shown.documents == [{"id": "doc-0", "rank": 1, "snippet": "25 days."}]


def test_the_one_argument_of_an_agent_is_its_task() -> None:
    span = native(
        "AGENT", {"mlflow.spanInputs": {"p": "Why?"}, "mlflow.spanOutputs": "So."}, name="agent"
    )

    assert (dialects.content(span).input, dialects.content(span).output) == ("Why?", "So.")


def test_the_methods_of_a_framework_are_not_its_agents() -> None:
    """Autologging makes an AGENT of `Runner.run` around those that it runs; a lone agent below a
    workflow is its run."""
    entry = step(native("AGENT", name="AgentRunner.run"))
    genai = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "AgentRunner.run"}
    same = step(view(genai, name="invoke_agent AgentRunner.run"))
    waiting = step(native("AGENT", {"name": "py_agent"}, name="Agent.run_sync"))
    agent = step(native("AGENT", {"name": "py_agent"}, name="Agent.run"))

    assert {(one.role, one.agent_name) for one in (entry, same, waiting)} == {(Role.WORKFLOW, "")}
    assert (agent.role, agent.agent_name) == (Role.AGENT, "py_agent")


def test_a_handoff_of_openai_agents_is_a_call_of_its_tool() -> None:
    given = {"mlflow.spanInputs": {"from_agent": "triage"}}
    made = {**given, "mlflow.spanOutputs": {"to_agent": "Refund agent"}}
    found = step(native("CHAIN", made, name="Handoff"))

    assert (found.kind, found.tool_name) == (Kind.TOOL, "transfer_to_refund_agent")
    assert found.handoff_to == "refund_agent"
    assert step(native("CHAIN", name="Handoff")).kind is Kind.OTHER
