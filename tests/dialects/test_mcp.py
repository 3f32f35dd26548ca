"""Spans of the Model Context Protocol."""

from __future__ import annotations

from collector.runs.group import fold
from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Status, Step


def view(name: str, *, span_id: str = "s", kind: str = "Client", **attributes: str) -> SpanView:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return SpanView(
        trace_id="t", span_id=span_id, parent_span_id="p", name=name, kind=kind, start_ns=5,
        end_ns=9, attributes=named,
    )  # fmt: skip


def told(span: SpanView) -> tuple[Step, ...]:
    return dialects.told(span, dialects.step(span))


CALL = view(
    "tools/call get-weather",
    mcp__method__name="tools/call",
    gen_ai__operation__name="execute_tool",
    gen_ai__tool__name="get-weather",
    gen_ai__tool__call__arguments='{"city": "Paris"}',
    error__type="tool_error",
)
FRAMEWORK = view(
    "execute_tool get-weather",
    span_id="p",
    kind="Internal",
    gen_ai__operation__name="execute_tool",
    gen_ai__tool__name="get-weather",
)
AGENT = view("invoke_agent a", span_id="r", kind="Internal", gen_ai__operation__name="invoke_agent")


def test_a_tools_call_inside_the_frameworks_tool_span_is_one_call() -> None:
    (tool,) = told(CALL)
    (run,) = fold([dialects.step(AGENT), dialects.step(FRAMEWORK), dialects.step(CALL), tool])

    assert run.own.tool_calls == 1
    assert run.own.tool_errors == 0


def test_a_tools_call_without_a_frameworks_span_is_a_tool_call() -> None:
    """Also without `gen_ai.operation.name`, which the convention only recommends."""
    (tool,) = told(CALL)
    (bare,) = told(view("tools/call get-weather", mcp__method__name="tools/call"))
    (sent,) = told(view("MCP send tools/call get-weather", mcp__method__name="tools/call"))
    CALL.parent_span_id = "r"
    (run,) = fold([dialects.step(AGENT), dialects.step(CALL), tool])

    assert (tool.kind, tool.role, tool.tool_name) == (Kind.TOOL, Role.TOLD, "get-weather")
    assert (bare.tool_name, tool.status) == ("get-weather", Status.ERROR)
    assert sent.tool_name == "get-weather"  # the client of the MCP SDK 2.x
    assert tool.arguments_digest
    assert (run.own.tool_calls, run.own.tool_errors) == (1, 1)


def test_other_methods_and_the_server_are_plumbing() -> None:
    for method, kind in (
        ("initialize", "Client"),
        ("tools/list", "Client"),
        ("tools/call", "Server"),
    ):
        span = view(method, kind=kind, mcp__method__name=method)
        found = dialects.step(span)
        assert (found.kind, found.role) == (Kind.OTHER, Role.TRANSPORT)
        assert not told(span)


def test_a_framework_may_put_the_method_on_its_own_span() -> None:
    """The convention asks for this where the outer span can be found."""
    span = view(
        "execute_tool x",
        kind="Internal",
        mcp__method__name="tools/call",
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name="x",
    )

    assert (dialects.step(span).kind, dialects.step(span).tool_name) == (Kind.TOOL, "x")
