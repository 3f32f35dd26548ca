"""Microsoft Agent Framework: what its capture does not show by itself."""

from __future__ import annotations

from typing import Any

from otel_agentrun import dialects
from otel_agentrun.step import Kind, SpanView, Step


def step(operation: str, **attributes: Any) -> Step:
    """Attributes with `__` for a dot."""
    return dialects.step(
        SpanView(
            trace_id="a",
            span_id="b",
            scope="agent_framework",
            attributes={
                "gen_ai.operation.name": operation,
                **{key.replace("__", "."): value for key, value in attributes.items()},
            },
        )
    )


def test_a_response_id_is_no_conversation() -> None:
    """On the Responses API it is the previous call's: it groups nothing."""
    chained = step("chat", gen_ai__conversation__id="resp_68af")
    named = step("chat", gen_ai__conversation__id="thread-7")

    assert "conversation_id" not in chained.labels
    assert named.labels["conversation_id"] == "thread-7"


def test_an_unknown_call_id_joins_nothing() -> None:
    """`unknown` stands for a missing id: it would join every call with every other."""
    made = step("execute_tool", gen_ai__tool__name="search", gen_ai__tool__call__id="unknown")

    assert (made.kind, made.tool_call_id, made.dialect) == (Kind.TOOL, "", "agent_framework")


def test_the_framework_is_no_provider() -> None:
    assert step("invoke_agent", gen_ai__provider__name="microsoft.agent_framework").provider == ""
