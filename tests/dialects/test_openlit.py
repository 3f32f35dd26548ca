"""OpenLIT: nodes, links, LangChain's messages as text, decorated functions."""

from __future__ import annotations

from typing import Any

from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanView, Usage
from tests.support import captures

LANGCHAIN = "openlit.instrumentation.langchain"
LANGGRAPH = "openlit.instrumentation.langgraph"


def view(attributes: dict[str, Any], scope: str = "openlit", **more: Any) -> SpanView:
    return SpanView(trace_id="a", span_id="b", attributes=attributes, scope=scope, **more)


def test_a_graphs_node_is_no_agent_though_it_says_so() -> None:
    """DIALECTS 2.16; the agents come from the LangChain instrumentation."""
    sent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "model"}
    node = dialects.step(view(sent, LANGGRAPH))
    agent = dialects.step(view(sent, LANGCHAIN))

    assert (node.kind, node.role, node.agent_name) == (Kind.OTHER, Role.NODE, "")
    assert (agent.kind, agent.role, agent.agent_name) == (Kind.RUN, Role.AGENT, "model")


def test_a_link_to_where_the_agent_was_created_joins_no_traces() -> None:
    """One agent is created once and runs for ever: its runs are not one."""
    sent = {"gen_ai.operation.name": "invoke_workflow"}

    assert dialects.step(view(sent, LANGGRAPH, links=[("c", "d")])).links == ()


def test_usage_of_a_graph_is_its_last_calls_and_is_not_read() -> None:
    sent = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.usage.input_tokens": "1350"}

    assert dialects.step(view(sent, LANGGRAPH)).usage is None


def test_a_tool_on_a_chat_span_is_what_the_model_asked_for() -> None:
    sent = {
        "gen_ai.operation.name": "chat",
        "gen_ai.tool.name": "get_weather",
        "gen_ai.tool.args": '{"city": "Paris"}',
        "gen_ai.usage.input_tokens": "1200",
        "gen_ai.usage.cost": "0",
    }
    step = dialects.step(view(sent, "openlit.instrumentation.openai"))

    assert (step.kind, step.tool_name) == (Kind.MODEL, "")
    assert step.usage == Usage(input_tokens=1200)
    assert step.cost_nano_usd is None


def test_a_langchain_result_is_read_out_of_the_text_of_its_message() -> None:
    said = "content='It\\'s 18C' name='get_weather' tool_call_id='call_1'"
    sent = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "get_weather",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.call.arguments": "{'city': 'Rome'}",
        "gen_ai.tool.call.result": said,
    }
    step, shown = dialects.step(view(sent, LANGCHAIN)), dialects.content(view(sent, LANGCHAIN))

    assert step.tool_call_id == "call_1"
    assert step.arguments_digest == arguments.digest({"city": "Rome"})
    assert step.result_digest == arguments.result_digest("It's 18C")
    assert (shown.arguments, shown.result) == ({"city": "Rome"}, "It's 18C")


def test_an_id_of_langchain_is_not_a_tool_call_id() -> None:
    """A failed call has the id of LangChain's own step there."""
    sent = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.call.id": "01a1fb55-b01d-7595-ae98-17bf50c54a88",
    }

    assert dialects.step(view(sent, LANGCHAIN)).tool_call_id == ""


def test_a_decorated_function_shows_what_it_was_given_and_gave() -> None:
    spans = {s.span_id: s for s in captures.spans(captures.folder("openlit"))}
    span = spans["dc8ba05693b14afd"]
    step, shown = dialects.step(span), dialects.content(span)

    assert (step.kind, step.role) == (Kind.OTHER, Role.FUNCTION)
    assert step.result_digest
    assert shown.input is not None
    assert "(ref: normal-1)" in shown.input
    assert shown.output == "It is 18C with light rain in Paris. Yes, bring an umbrella."


def test_a_conversation_an_environment_and_a_user_are_labels() -> None:
    sent = {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "thread-9",
        "gen_ai.environment": "dev",
        "gen_ai.request.user": "u-1",
    }
    labels = dialects.step(view(sent, LANGCHAIN)).labels

    assert labels == {"conversation_id": "thread-9", "environment": "dev", "user_id": "u-1"}


def test_an_agent_shows_its_task_and_its_answer() -> None:
    spans = {s.span_id: s for s in captures.spans(captures.folder("openlit"))}
    shown = dialects.content(spans["53e9cd2ad5e60650"])

    assert (shown.input or "").endswith("(ref: normal-2)")
    assert shown.output == "It is 18C with light rain in Rome. Yes, bring an umbrella."
