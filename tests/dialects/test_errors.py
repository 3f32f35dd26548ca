"""How a step ended, and its typed error (DESIGN 4)."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import SpanEvent, SpanView, Status, Step
from otel_agentrun.typed_errors import typed_error


@pytest.mark.parametrize(
    ("name", "message", "status_code", "want"),
    [
        ("openai.RateLimitError", "", None, "rate_limit"),
        ("ThrottlingException", "", None, "rate_limit"),
        ("TimeoutError", "", None, "timeout"),
        ("common.UpstreamTimeout", "", None, "timeout"),
        ("grpc.DeadlineExceeded", "", None, "timeout"),
        ("asyncio.CancelledError", "", None, "cancelled"),
        ("openai.AuthenticationError", "", None, "auth_error"),
        ("<class 'pydantic_core.ValidationError'>", "", None, "validation_error"),
        ("BadRequestError", "Error code: 400 - bad", None, "validation_error"),
        ("BadRequestError", "maximum context length is 128000 tokens", None, "context_length"),
        ("ModelHTTPError", "status_code: 429, model_name: m", None, "rate_limit"),
        ("ModelHTTPError", "status_code: 503, model_name: m", None, "upstream_5xx"),
        ("APIError", "", 502, "upstream_5xx"),
        ("APIError", "", 504, "timeout"),
        ("InternalServerError", "", None, "upstream_5xx"),
        ("500", "", None, "upstream_5xx"),
        ("langgraph.errors.GraphRecursionError", "", None, "max_iterations"),
        ("", "Max turns exceeded: {'max_turns': 8}", None, "max_iterations"),
        ("UsageLimitExceeded", "The next request would exceed", None, "max_iterations"),
        ("ConnectionRefusedError", "", None, "connection_error"),
        ("OutputParserException", "", None, "output_parse_error"),
        ("UnknownToolError", "", None, "unknown_tool"),
        ("RuntimeError", "tool call budget exceeded", None, ""),
        ("ValueError", "argument timeout=5 is odd", None, ""),
        ("", "", None, ""),
    ],
)
def test_errors_are_typed(name: str, message: str, status_code: int | None, want: str) -> None:
    assert typed_error(name, message, status_code) == want


def tool(
    attributes: dict[str, Any] | None = None,
    *,
    events: tuple[SpanEvent, ...] = (),
    code: str = "Unset",
    message: str = "",
) -> Step:
    return dialects.step(
        SpanView(
            trace_id="a",
            span_id="b",
            status_code=code,
            status_message=message,
            events=events,
            attributes={"gen_ai.operation.name": "execute_tool", **(attributes or {})},
        )
    )


def raised(name: str, text: str, **more: str) -> SpanEvent:
    return SpanEvent("exception", 1, {"exception.type": name, "exception.message": text, **more})


def ended(step: Step) -> tuple[Status, str, str]:
    return (step.status, step.error_type, step.error_message)


def test_unset_and_ok_are_success() -> None:
    """Frameworks differ in what they set on success; neither is an error."""
    assert ended(tool()) == ended(tool(code="Ok")) == (Status.SUCCESS, "", "")


def test_an_unclassified_error_keeps_its_class_name() -> None:
    step = tool(code="Error", events=(raised("app.tools.StockError", "out of stock"),))

    assert ended(step) == (Status.ERROR, "StockError", "out of stock")


def test_an_error_type_without_status_is_an_error() -> None:
    """OpenTelemetry sets `error.type` on failure only; with status Ok it was recovered."""
    assert ended(tool({"error.type": "ToolError"})) == (Status.ERROR, "ToolError", "")
    assert tool({"error.type": "ToolError"}, code="Ok").status is Status.SUCCESS


def test_a_handled_exception_is_no_error_and_an_escaped_one_is() -> None:
    assert tool(events=(raised("ValueError", "x"),)).status is Status.SUCCESS
    escaped = raised("ValueError", "x", **{"exception.escaped": "True"})
    assert tool(events=(escaped,)).status is Status.ERROR
    assert tool(events=(escaped,), code="Ok").status is Status.SUCCESS


@pytest.mark.parametrize(
    ("name", "status"),
    [("TimeoutError", Status.TIMEOUT), ("CancelledError", Status.CANCELLED), ("E", Status.ERROR)],
)
def test_the_type_of_an_error_decides_timeout_and_cancelled(name: str, status: Status) -> None:
    assert tool({"error.type": name}, code="Error").status is status


@pytest.mark.parametrize(
    ("stated", "status"),
    [("error", Status.ERROR), ("success", Status.SUCCESS)],
)
def test_what_a_tool_says_of_itself_counts(stated: str, status: Status) -> None:
    """Strands: `gen_ai.tool.status`."""
    assert tool({"gen_ai.tool.status": stated}, code="Ok").status is status


def test_our_own_end_states_are_kept() -> None:
    for state in ("skipped", "timeout", "cancelled"):
        assert tool({"agentrun.step.status": state}).status is Status(state)


@pytest.mark.parametrize(
    ("message", "want"),
    [
        ("UpstreamTimeout('slow')Traceback (most recent call last):\n  File x", "slow"),
        ("UpstreamTimeout: slow", "slow"),
        ("first line\nsecond line", "first line"),
        ("Error code: 400 - no", "Error code: 400 - no"),
        ("x" * 5000, "x" * 300),
        ("GraphRecursionError('too deep.\\nFor help, see https://example.test')", "too deep."),
    ],
)
def test_an_error_message_is_one_short_line(message: str, want: str) -> None:
    assert tool(code="Error", message=message).error_message == want


def test_the_name_in_a_status_message_is_the_error_type() -> None:
    """OpenInference repeats the exception in the status and may send no event."""
    assert tool(code="Error", message="StockError('none left')").error_type == "StockError"
