"""Semantic Kernel: spellings of its own, plugins, the loop around calls."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanEvent, SpanView
from tests.support import captures

MODELS = "semantic_kernel.utils.telemetry.model_diagnostics.decorators"
FUNCTIONS = "semantic_kernel.functions.kernel_function"


def view(attributes: dict[str, Any], scope: str = MODELS, **more: Any) -> SpanView:
    return SpanView(trace_id="a", span_id="b", attributes=attributes, scope=scope, **more)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("FinishReason.TOOL_CALLS", "tool_call"),
        ("FinishReason.STOP", "stop"),
        ("FinishReason.CONTENT_FILTER", "content_filter"),
        ("FinishReason.LENGTH", "length"),
    ],
)
def test_a_finish_reason_is_a_member_of_an_enumeration(sent: str, reason: str) -> None:
    """DIALECTS 2.12: singular, and in Python's spelling."""
    sent_all = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reason": sent}

    assert dialects.step(view(sent_all)).finish_reasons == (reason,)


@pytest.mark.parametrize("operation", ["chat", "chat.completions", "text.completions"])
def test_a_model_call_of_any_version(operation: str) -> None:
    assert dialects.step(view({"gen_ai.operation.name": operation})).kind is Kind.MODEL


def test_the_loop_around_the_calls_is_a_node() -> None:
    scope = "semantic_kernel.connectors.ai.chat_completion_client_base"
    step = dialects.step(view({}, scope, name="AutoFunctionInvocationLoop"))

    assert (step.dialect, step.kind, step.role) == ("semantic_kernel", Kind.OTHER, Role.NODE)


def test_a_handoff_is_a_function_of_a_plugin() -> None:
    sent = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "Handoff-transfer_to_refund_agent",
    }
    step = dialects.step(view(sent, FUNCTIONS))

    assert (step.role, step.handoff_to) == (Role.HANDOFF, "refund_agent")


def test_an_error_type_may_be_a_class_in_pythons_spelling() -> None:
    """And the exception is there twice (DIALECTS 3.20)."""
    event = SpanEvent("exception", 1, {"exception.type": "UpstreamTimeout"})
    sent = {
        "gen_ai.operation.name": "execute_tool",
        "error.type": "<class 'app.UpstreamTimeout'>",
    }
    step = dialects.step(
        view(sent, FUNCTIONS, status_code="Error", events=(event, event), status_message="late")
    )

    assert (step.failed, step.error_type, step.error_message) == (True, "timeout", "late")


def test_messages_are_log_records_with_their_name_in_an_attribute() -> None:
    folder = captures.folder("semkernel")
    spans = {s.span_id: s for s in captures.spans(folder)}
    logs = [e for e in captures.events(folder) if e.span_id == "be87aee6139a39c5"]
    shown = dialects.content(spans["be87aee6139a39c5"], list(reversed(logs)))

    assert shown.messages_in is not None
    assert [one["role"] for one in shown.messages_in] == [
        "system", "user", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip
    assert shown.output == "Order A-1001 has shipped and arrives on Tuesday."


def test_an_agent_span_hides_what_it_was_asked() -> None:
    """`gen_ai.input.messages` is `[]`: that is not an empty input."""
    spans = {s.span_id: s for s in captures.spans(captures.folder("semkernel"))}
    step, shown = (f(spans["5d68b70a17937edd"]) for f in (dialects.step, dialects.content))

    assert (step.input_bytes, step.input_structure) == (0, "")
    assert shown.output == "Order A-1001 has shipped and arrives on Tuesday."
