"""What single OpenInference instrumentors send that the captures do not show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.runs.group import fold
from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Step

SCOPE = "openinference.instrumentation."


def span(scope: str, stated: str, name: str, **given: Any) -> SpanView:
    sent = {f"{key}.value": value for key, value in given.items() if key in ("input", "output")}
    return SpanView(
        trace_id="t" * 32,
        span_id="s" * 16,
        parent_span_id=given.get("parent", ""),
        name=name,
        scope=SCOPE + scope,
        start_ns=1,
        end_ns=2,
        status_code="Error" if given.get("error") else "Ok",
        status_message=given.get("error", ""),
        attributes={"openinference.span.kind": stated, **sent, **given.get("attributes", {})},
    )


@pytest.mark.parametrize(
    ("scope", "stated", "name", "agent"),
    [
        ("dspy", "CHAIN", "ReAct.aforward", "ReAct"),
        ("haystack", "CHAIN", "Pipeline.run_async", "Pipeline"),
        ("smolagents", "AGENT", "triage_agent.run", "triage_agent"),
    ],
)
def test_an_agent_is_named_without_the_method_that_was_called(
    scope: str, stated: str, name: str, agent: str
) -> None:
    """Synchronous or not, it is the same agent."""
    assert dialects.step(span(scope, stated, name)).agent_name == agent


def test_a_dspy_agent_inside_a_tool_is_an_agent_and_other_modules_are_not() -> None:
    """Of the modules below the outermost one, the library's own tool callers are known."""
    agent = dialects.step(span("dspy", "CHAIN", "ReAct.forward", parent="p" * 16))
    module = dialects.step(span("dspy", "CHAIN", "ChainOfThought.forward", parent="p" * 16))

    assert (agent.kind, agent.role) == (Kind.RUN, Role.AGENT)
    assert module.kind is Kind.OTHER


def shown(*args: Any, **given: Any) -> tuple[str | None, str | None]:
    content = dialects.content(span(*args, **given))
    return content.input, content.output


def test_a_dspy_run_shows_the_text_among_its_fields() -> None:
    """How an answer came about is in the steps."""
    given = json.dumps({"input_args": {"question": "Rain?"}})
    made = json.dumps({"trajectory": {"thought_0": "x"}, "reasoning": "r", "answer": "Yes."})
    two = json.dumps({"question": "Rain?", "city": "Paris"})

    assert shown("dspy", "CHAIN", "ReAct.forward", input=given, output=made) == ("Rain?", "Yes.")
    assert shown("dspy", "CHAIN", "ReAct.forward", input=two)[0] == two


def test_a_streamed_smolagents_run_shows_its_answer() -> None:
    """Its output is every event of the stream, printed."""
    made = (
        "ChatMessageStreamDelta(content='It')ActionStep(a=1)FinalAnswerStep(output='It\\'s 18C.')"
    )

    assert shown("smolagents", "AGENT", "CodeAgent.run", output=made)[1] == "It's 18C."


def test_a_managed_smolagents_agent_was_asked_what_its_manager_asked() -> None:
    """The library wraps the task in a page of instructions."""
    task = (
        "You're a helpful agent named 'x'.\nYou have been submitted this task by your manager.\n"
        "---\nTask:\nRefund A-1001\n---\nYou're helping your manager solve a wider task: so ..."
    )
    given = json.dumps({"task": task})

    assert shown("smolagents", "AGENT", "x.run", input=given, parent="p")[0] == "Refund A-1001"


def test_llama_index_engines_show_question_and_answer() -> None:
    """A chat engine's are parameters and an object; a streamed answer is not there yet."""
    given, made = '{"message": "How many days?"}', '{"response": "25.", "sources": []}'
    engine = "ContextChatEngine.chat"
    streamed = '{"response_gen": "<generator object>", "source_nodes": []}'

    chat = shown("llama_index", "CHAIN", engine, input=given, output=made)
    query = shown("llama_index", "CHAIN", "Q.query", input="Days?", output=streamed)

    assert chat == ("How many days?", "25.")
    assert query == ("Days?", None)


def test_llama_index_streams_are_asked_for_once_somebody_reads_them() -> None:
    """The span has ended by then; that of an instrumented client is of the same call."""

    def llm(span_id: str, scope: str, name: str, start: int, end: int, said: str) -> Step:
        return dialects.step(
            SpanView(
                trace_id="a", span_id=span_id, parent_span_id="1", scope=SCOPE + scope, name=name,
                start_ns=start, end_ns=end,
                attributes={"openinference.span.kind": "LLM", "llm.model_name": said},
            )
        )  # fmt: skip

    agent = dialects.step(
        SpanView(
            trace_id="a", span_id="1", scope=SCOPE + "llama_index", name="FunctionAgent.run",
            start_ns=0, end_ns=99, attributes={"openinference.span.kind": "AGENT"},
        )
    )  # fmt: skip
    streamed = llm("2", "llama_index", "OpenAI.astream_chat", 1, 2, "gpt-4o-mini")
    complete = llm("2", "llama_index", "OpenAI.achat", 1, 2, "gpt-4o-mini")
    asked = llm("3", "openai", "ChatCompletion", 3, 9, "gpt-4o-mini-2024-07-18")

    assert (streamed.role, complete.role) == (Role.OPENING, Role.NONE)
    assert fold([agent, streamed, asked])[0].own.model_calls == 1
    assert fold([asked, agent, streamed])[0].own.model_calls == 1
    assert fold([agent, complete, asked])[0].own.model_calls == 2


def printed(role: str, text: str) -> str:
    return (
        f"ChatMessage(_role=<ChatRole.{role.upper()}: '{role}'>, "
        f"_content=[TextContent(text='{text}')], _name=None, _meta={{}})"
    )


def test_a_haystack_agent_shows_the_last_question_and_no_question_as_its_answer() -> None:
    """A history comes with each turn; a run that its limit of steps ended has no answer."""
    history = [printed("user", "Rain?"), printed("assistant", "Yes."), printed("user", "And now?")]
    given = json.dumps({"messages": history})
    made = json.dumps({"messages": [*history, printed("assistant", "No.")]})
    unanswered = json.dumps({"messages": history[:1]})

    assert shown("haystack", "CHAIN", "Agent.run", input=given, output=made) == ("And now?", "No.")
    assert shown("haystack", "CHAIN", "Agent.run", output=unanswered)[1] is None


def test_a_haystack_pipeline_fails_for_the_reason_that_its_error_ends_with() -> None:
    """The first line of that error only introduces the others."""
    error = (
        "PipelineRuntimeError: The following component failed to run:\nComponent name: 'agent'\n"
        "Component type: 'Agent'\nError: Error code: 400 - This model's maximum context length ..."
    )

    step = dialects.step(span("haystack", "CHAIN", "Pipeline.run", error=error))

    assert step.error_type == "context_length"
    assert "component failed to run: Component name: 'agent'" in step.error_message


def test_a_haystack_embedding_has_the_tokens_of_its_answer() -> None:
    """They are in no attribute."""
    made = '{"embedding": "<8-dimensional vector>", "meta": {"usage": {"prompt_tokens": 5}}}'

    step = dialects.step(span("haystack", "EMBEDDING", "CreateEmbeddings", output=made))

    assert step.kind is Kind.MODEL
    assert step.usage is not None
    assert step.usage.input_tokens == 5


def test_a_crewai_agent_without_a_crew_was_asked_its_messages() -> None:
    """`Agent.kickoff` has no task."""
    given = json.dumps({"messages": "Rain?"})

    assert shown("crewai", "AGENT", "A._execute_core", input=given)[0] == "Rain?"


def test_an_agno_team_hands_its_task_to_all_members_at_once() -> None:
    """It has another tool for that than for one of them."""
    named = {"tool.name": "delegate_task_to_members"}

    assert dialects.step(span("agno", "TOOL", "x", attributes=named)).role is Role.HANDOFF
