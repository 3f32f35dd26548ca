"""Spans of the Model Context Protocol."""

from __future__ import annotations

from otel_agentrun import dialects
from otel_agentrun.step import Kind, Role, SpanView, Status, Step


def read(name: str, *, parent: str = "p", kind: str = "Client", **attributes: str) -> Step:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    span = SpanView(
        trace_id="t", span_id="s", parent_span_id=parent, name=name, kind=kind, attributes=named
    )
    return dialects.step(span)


def test_a_tools_call_is_a_tool_call() -> None:
    """Also without `gen_ai.operation.name`, which the convention only recommends."""
    found = read("tools/call get-weather", mcp__method__name="tools/call")
    named = read(
        "tools/call get-weather",
        mcp__method__name="tools/call",
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name="get-weather",
        gen_ai__tool__call__arguments='{"city": "Paris"}',
        error__type="tool_error",
    )

    assert (found.kind, found.tool_name, found.dialect) == (Kind.TOOL, "get-weather", "mcp")
    assert (named.tool_name, named.status) == ("get-weather", Status.ERROR)
    assert named.arguments_digest


def test_other_methods_are_plumbing() -> None:
    for method in ("initialize", "tools/list", "notifications/initialized", "prompts/get"):
        found = read(method, mcp__method__name=method)
        assert (found.kind, found.role) == (Kind.OTHER, Role.TRANSPORT)


def test_a_server_alone_makes_no_run() -> None:
    """Its span has no parent when the client sends no trace context: who asked is unknown."""
    found = read("tools/call x", parent="", kind="Server", mcp__method__name="tools/call")

    assert (found.kind, found.role) == (Kind.OTHER, Role.TRANSPORT)
