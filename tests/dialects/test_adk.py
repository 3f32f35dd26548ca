"""Google ADK: what its captures do not show, and why they are read as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import arguments, dialects
from otel_agentrun.step import Kind, Role, SpanView, Status, Step


def view(name: str, **attributes: Any) -> SpanView:
    """Attributes with `__` for a dot."""
    return SpanView(
        trace_id="a",
        span_id="b",
        name=name,
        scope="gcp.vertex.agent",
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
    )


def failed(name: str, message: str) -> Step:
    """The step of a span in error without attributes."""
    return dialects.step(
        SpanView(
            trace_id="a",
            span_id="b",
            name=name,
            scope="gcp.vertex.agent",
            status_code="Error",
            status_message=message,
            attributes={},
        )
    )


def tool(result: Any, **attributes: Any) -> Step:
    return dialects.step(
        view(
            "execute_tool lookup_order",
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="lookup_order",
            gen_ai__tool__call__result=result if isinstance(result, str) else json.dumps(result),
            **attributes,
        )
    )


def call(model: str, output: int = 107, reasoning: int = 16) -> Step:
    return dialects.step(
        view(
            f"generate_content {model}",
            gen_ai__operation__name="generate_content",
            gen_ai__request__model=model,
            gen_ai__usage__output_tokens=output,
            gen_ai__usage__reasoning__output_tokens=reasoning,
        )
    )


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("openai/gpt-4o-mini", 91),
        ("gpt-4o", 91),
        ("anthropic/claude-sonnet-4-5", 91),
        ("gemini/gemini-2.5-flash", 91),
        ("gemini-2.5-flash", 107),
        ("projects/p/locations/l/publishers/google/models/gemini-2.5-pro", 107),
        ("claude-sonnet-4-5", 107),
    ],
)
def test_thoughts_are_counted_once(model: str, output: int) -> None:
    """Gemini and Claude count thoughts apart; LiteLLM and OpenAI have them in the answer's count,
    to which ADK adds them a second time (lite_llm.py, _token_usage.py of 2.13.0)."""
    usage = call(model).usage

    assert usage is not None
    assert (usage.output_tokens, usage.reasoning_tokens) == (output, 16)


@pytest.mark.parametrize(
    ("result", "typed", "message"),
    [
        ({"status": "error", "error_message": "no such order"}, "tool_error", "no such order"),
        ({"status": "error", "message": "request timed out"}, "timeout", "request timed out"),
        ({"error": "Tool 'nope' not found.\nAvailable tools:"}, "unknown_tool", None),
        ("{'status': 'failed', 'error_message': 'x'}", "tool_error", "x"),
        (
            {
                "response_type": "ERROR_HANDLED_BY_REFLECT_AND_RETRY_PLUGIN",
                "error_type": "KeyError",
                "error_details": "'A-1001'",
            },
            "KeyError",
            "'A-1001'",
        ),
    ],
)
def test_an_error_that_a_tool_answers_is_the_steps(
    result: Any, typed: str, message: str | None
) -> None:
    """ADK asks tools to return errors instead of raising them: the span ends as if all was well."""
    step = tool(result)

    assert step.failed
    assert step.error_type == typed
    assert message is None or step.error_message == message


@pytest.mark.parametrize(
    "result",
    [
        {"status": "success", "error": "0 errors"},
        {"status": "shipped"},
        {"result": "an error in the text"},
        {"error": None},
        {"errors": 3},
        "error",
        '["error"]',
    ],
)
def test_an_answer_that_only_speaks_of_errors_is_none(result: Any) -> None:
    assert tool(result).status is Status.SUCCESS


def test_merged_calls_ran_nothing() -> None:
    """Parallel calls end in one more span with a call id that nobody asked for."""
    merged = dialects.step(
        view(
            "execute_tool (merged)",
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="(merged tools)",
            gcp__vertex__agent__tool_call_args="N/A",
        )
    )

    assert (merged.kind, merged.role) == (Kind.OTHER, Role.NODE)


def test_spans_of_schema_1_are_told_by_their_names() -> None:
    """`invocation` has no attribute at all, and `call_llm` none when the model failed."""
    root, call = dialects.step(view("invocation")), dialects.step(view("call_llm"))

    assert (root.kind, root.role, root.dialect) == (Kind.RUN, Role.WORKFLOW, "adk")
    assert call.kind is Kind.MODEL


def test_schema_1_keeps_content_in_its_own_attributes() -> None:
    response = {
        "content": {
            "role": "model",
            "parts": [{"function_call": {"id": "c1", "name": "lookup_order", "args": {"id": 7}}}],
        },
        "finish_reason": "STOP",
    }
    request = {
        "model": "gemini-2.5-flash",
        "config": {},
        "contents": [{"role": "user", "parts": [{"text": "where is order 7"}]}],
    }
    span = view(
        "call_llm",
        gen_ai__system="gcp.vertex.agent",
        gcp__vertex__agent__session_id="s1",
        gcp__vertex__agent__llm_request=json.dumps(request),
        gcp__vertex__agent__llm_response=json.dumps(response),
    )
    step, content = dialects.step(span), dialects.content(span)

    [asked] = step.tool_requests
    assert (asked.name, asked.call_id) == ("lookup_order", "c1")
    assert step.labels["conversation_id"] == "s1"
    assert step.provider == ""
    assert content.input == "where is order 7"


def test_content_that_is_off_does_not_make_calls_equal() -> None:
    """`{}` for arguments and result: equal digests would look like a loop."""
    hidden = dialects.step(
        view(
            "execute_tool lookup_order",
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="lookup_order",
            gcp__vertex__agent__tool_call_args="{}",
            gcp__vertex__agent__tool_response="{}",
        )
    )

    assert (hidden.arguments_digest, hidden.result_digest) == ("", "")


def test_a_call_that_gemini_could_not_form_is_malformed() -> None:
    step = dialects.step(
        view(
            "generate_content gemini-2.5-flash",
            gen_ai__operation__name="generate_content",
            gen_ai__response__finish_reasons=["malformed_function_call"],
        )
    )

    assert (step.status, step.error_type) == (Status.ERROR, "malformed_call")


def test_a_compaction_is_one() -> None:
    assert dialects.content(
        view("compact_events token_threshold", gen_ai__operation__name="compact_events")
    ).context_compacted


def test_a_tool_that_raised_is_told_by_the_name_of_its_span() -> None:
    """1.16 sets attributes when the call ends: a span in error has none."""
    raised = failed("execute_tool lookup_order", "KeyError: 'A-1001'")

    assert (raised.kind, raised.tool_name, raised.failed) == (Kind.TOOL, "lookup_order", True)
    assert dialects.step(view("execute_tool (merged)")).kind is Kind.OTHER


def test_agents_of_older_releases_are_told_by_the_names_of_their_spans() -> None:
    agent = dialects.step(view("agent_run [triage]"))

    assert (agent.kind, agent.role, agent.agent_name) == (Kind.RUN, Role.AGENT, "triage")


def test_the_call_that_was_one_too_many_was_not_made() -> None:
    """`max_llm_calls` raises within `call_llm`, before any model is asked."""
    limit = "LlmCallsLimitExceededError: Max number of llm calls limit of `3` exceeded"
    call, run = failed("call_llm", limit), failed("invocation", limit)

    assert (call.kind, call.role) == (Kind.OTHER, Role.NODE)
    assert (run.kind, run.labels["stop_reason"]) == (Kind.RUN, "max_iterations")


def test_a_streamed_answer_is_shown_once_and_asks_once() -> None:
    """SSE mode sends every piece as a message, then the whole."""
    part = {"type": "tool_call", "id": "c1", "name": "get_weather"}
    pieces = [
        {"role": "assistant", "parts": [{"type": "text", "content": "Let "}], "finish_reason": ""},
        {"role": "assistant", "parts": [{**part, "arguments": None}], "finish_reason": ""},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Let me see."},
                {**part, "arguments": {"city": "Paris"}},
            ],
            "finish_reason": "stop",
        },
    ]
    span = view(
        "generate_content openai/gpt-4o-mini",
        gen_ai__operation__name="generate_content",
        gen_ai__output__messages=json.dumps(pieces),
    )
    [asked] = dialects.step(span).tool_requests
    shown = dialects.content(span)

    assert (asked.call_id, asked.arguments_digest) == ("c1", arguments.digest({"city": "Paris"}))
    assert shown.messages_out is not None
    [whole] = shown.messages_out
    assert (whole["content"], shown.output) == ("Let me see.", "Let me see.")
