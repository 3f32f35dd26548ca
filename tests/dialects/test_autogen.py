"""AutoGen: a team's messages tell of its model calls (its capture is `tests/captures/autogen`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Step, Usage

RUNTIME = "autogen SingleThreadedAgentRuntime"
USAGE = {"prompt_tokens": 1200, "completion_tokens": 42}


def passed(message: Any) -> SpanView:
    """The span that hands a message to the team's manager."""
    return SpanView(
        trace_id="a",
        span_id="b",
        name="autogen process GroupChatManager",
        scope=RUNTIME,
        attributes={
            "messaging.operation": "process",
            "message": json.dumps(message, separators=(",", ":")),
        },
        links=[("c", "d")],
    )


def core(operation: str, **attributes: Any) -> Step:
    return dialects.step(
        SpanView(
            trace_id="a",
            span_id="b",
            scope="autogen-core",
            attributes={"gen_ai.operation.name": operation, "gen_ai.system": "autogen"}
            | {key.replace("__", "."): value for key, value in attributes.items()},
        )
    )


def test_a_message_with_usage_is_a_model_call() -> None:
    """No span is made for one: what an agent says is passed on once, with what it used."""
    asked = [{"id": "c1", "arguments": '{"city":"Rome"}', "name": "get_weather"}]
    step = dialects.step(
        passed({"message": {"id": "m", "source": "helper", "models_usage": USAGE,
                            "content": asked, "type": "ToolCallRequestEvent"}})
    )  # fmt: skip

    assert (step.kind, step.agent_name, step.response_id) == (Kind.MODEL, "helper", "m")
    assert step.role is Role.TOLD  # does not count where the client's own spans do
    assert step.usage == Usage(input_tokens=1200, output_tokens=42)
    assert [(one.name, one.call_id) for one in step.tool_requests] == [("get_weather", "c1")]
    assert step.links == (("c", "d"),)


def test_the_answer_of_a_team_can_be_read() -> None:
    span = passed({"message": {"id": "m", "models_usage": USAGE, "content": "done"}})

    assert dialects.content(span).output == "done"


@pytest.mark.parametrize(
    "message",
    [
        {"message": {"id": "m", "models_usage": None, "content": "18C"}},
        {"messages": [{"models_usage": USAGE}], "output_task_messages": True},
        {"response": {"chat_message": {"models_usage": USAGE}, "inner_messages": []}},
        {},
        "No Message",
        {"message": [1]},
    ],
)
def test_messages_that_repeat_others_are_plumbing(message: Any) -> None:
    """A turn's messages are passed on again when it ends, to every other agent of the team."""
    step = dialects.step(passed(message))

    assert (step.kind, step.role, step.usage) == (Kind.OTHER, Role.TRANSPORT, None)


def test_genai_spans_are_agents_and_tools() -> None:
    """`create_agent` is a trace of its own and makes no run."""
    assert core("invoke_agent", gen_ai__agent__name="helper").role is Role.AGENT
    assert core("create_agent").kind is Kind.OTHER
    handoff = core("execute_tool", gen_ai__tool__name="transfer_to_refund_agent")
    assert (handoff.role, handoff.handoff_to) == (Role.HANDOFF, "refund_agent")
    assert (handoff.dialect, handoff.provider) == ("autogen", "")
