"""Coding agents that log their calls: the events become spans, and the spans runs."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from collector.log_spans import log_spans
from collector.normalize import steps_of
from collector.receiver.decode import Decoder
from collector.runs.group import fold
from otel_agentrun.dialects import step
from otel_agentrun.step import Kind, Role, SpanView, Status, Step

AT = 1_795_300_000_000_000_000

CLAUDE = [
    ("user_prompt", {"prompt_length": "12"}),
    ("api_request", {
        "model": "claude-sonnet-4-5", "input_tokens": "2", "output_tokens": "40",
        "cache_read_tokens": "1000", "cache_creation_tokens": "100", "cost_usd": "0.0021",
        "duration_ms": "900", "request_id": "req_1",
    }),
    ("tool_result", {
        "tool_name": "Bash", "success": "true", "duration_ms": "20", "tool_use_id": "toolu_1",
        "tool_input": '{"command": "ls"}',
    }),
    ("tool_result", {
        "tool_name": "Bash", "success": "false", "duration_ms": "5", "tool_use_id": "toolu_2",
        "error": "exit code 1",
    }),
    ("api_error", {"model": "claude-sonnet-4-5", "error": "Overloaded", "duration_ms": "10"}),
]  # fmt: skip
CODEX = [
    ("codex.api_request", {"http.response.status_code": "200", "duration_ms": "300"}),
    ("codex.sse_event", {"event.kind": "response.created"}),
    ("codex.sse_event", {
        "event.kind": "response.completed", "model": "gpt-5.1", "input_token_count": "100",
        "cached_token_count": "40", "output_token_count": "10", "reasoning_token_count": "5",
    }),
    ("codex.tool_result", {
        "tool_name": "shell", "call_id": "call_1", "arguments": '{"cmd": "ls"}', "success": "true",
        "output": "a.txt", "duration_ms": "30",
    }),
    ("codex.api_request", {"http.response.status_code": "429", "error.message": "rate limited"}),
]  # fmt: skip
GEMINI = [
    ("gemini_cli.api_response", {
        "model": "gemini-2.5-pro", "input_token_count": "500", "cached_content_token_count": "200",
        "output_token_count": "20", "thoughts_token_count": "30", "duration_ms": "800",
    }),
    ("gemini_cli.tool_call", {
        "function_name": "read_file", "function_args": '{"path": "a"}', "success": "true",
        "duration_ms": "4",
    }),
    ("gemini_cli.api_error", {"model": "gemini-2.5-pro", "error": "quota", "status_code": "429"}),
]  # fmt: skip
GROUPS = {
    "claude": {"session.id": "s-1", "prompt.id": "p-1"},
    "codex": {"conversation.id": "c-1"},
    "gemini": {"session.id": "s-1", "prompt_id": "s-1########0"},
}


def request(
    source: str, events: list[tuple[str, dict[str, str]]], *, trace_id: str = "", **group: str
) -> bytes:
    """An OTLP/JSON export of these events, a second apart."""
    records = []
    for index, (name, said) in enumerate(events):
        attributes = {"event.name": name, **GROUPS[source], **group, **said}
        records.append(
            {
                "timeUnixNano": str(AT + index * 1_000_000_000),
                "traceId": trace_id,
                "body": {"stringValue": f"claude_code.{name}" if source == "claude" else name},
                "attributes": [
                    {"key": key, "value": {"stringValue": value}}
                    for key, value in attributes.items()
                ],
            }
        )
    scope: dict[str, Any] = {"scope": {"name": "events"}, "logRecords": records}
    return json.dumps({"resourceLogs": [{"resource": {}, "scopeLogs": [scope]}]}).encode()


def steps(body: bytes) -> list[Step]:
    return steps_of(log_spans(Decoder().logs_json(body, received_at_ns=AT).batch))


def test_claude_code_events_are_calls_of_one_run() -> None:
    """Cached tokens are added to the input; the cost is the one that it states itself."""
    found = steps(request("claude", CLAUDE))
    (run,) = fold(found)

    assert [each.kind for each in found] == [Kind.MODEL, Kind.TOOL, Kind.TOOL, Kind.MODEL]
    assert (run.own.input_tokens, run.own.cache_read_tokens, run.own.cache_write_tokens) == (
        1102, 1000, 100,
    )  # fmt: skip
    assert run.own.model_cost_nano_usd == 2_100_000
    assert (run.own.tool_calls, run.own.tool_errors, run.own.model_errors) == (2, 1, 1)
    assert run.session_id == "s-1"
    assert (found[0].start_ns, found[0].end_ns) == (AT + 100_000_000, AT + 1_000_000_000)


def test_codex_counts_a_call_where_its_tokens_are() -> None:
    """A request is logged when it is sent and its stream when it is done: one call, not two."""
    (run,) = fold(steps(request("codex", CODEX)))

    assert (run.own.model_calls, run.own.model_errors, run.own.tool_calls) == (2, 1, 1)
    assert (run.own.input_tokens, run.own.cache_read_tokens) == (100, 40)
    assert (run.own.output_tokens, run.own.reasoning_tokens) == (10, 5)
    assert run.tools == ("shell",)
    assert run.conversation_id == "c-1"


def test_gemini_thoughts_are_output() -> None:
    (run,) = fold(steps(request("gemini", GEMINI)))

    assert (run.own.model_calls, run.own.model_errors, run.own.tool_calls) == (2, 1, 1)
    assert (run.own.input_tokens, run.own.cache_read_tokens) == (500, 200)
    assert (run.own.output_tokens, run.own.reasoning_tokens) == (50, 30)


def test_prompts_of_a_session_are_runs_of_their_own() -> None:
    found = steps(request("claude", CLAUDE)) + steps(
        request("claude", CLAUDE, **{"prompt.id": "q"})
    )

    assert len({each.trace_id for each in found}) == 2
    assert len({each.span_id for each in found}) == 8


def test_an_event_inside_a_trace_is_told_by_its_span() -> None:
    """With beta traces on, Claude Code sends both."""
    assert not steps(request("claude", CLAUDE, trace_id="a" * 32))


@pytest.mark.parametrize(
    ("source", "events"), [("claude", CLAUDE), ("codex", CODEX), ("gemini", GEMINI)]
)
def test_order_and_repetition_of_events_change_nothing(
    source: str, events: list[tuple[str, dict[str, str]]]
) -> None:
    """Promise 3 holds for log events, too: their spans have ids of their content."""
    found = steps(request(source, events))
    again = [*found, *steps(request(source, events))]
    random.Random(1).shuffle(again)

    assert fold(again) == fold(found)


def test_claude_code_spans_of_the_beta_traces() -> None:
    """The names of its tokens are its own, and the input is without cached ones."""
    attributes = {
        "span.type": "llm_request", "model": "claude-opus-5", "input_tokens": "2",
        "output_tokens": "1200", "cache_read_tokens": "84562", "cache_creation_tokens": "7096",
        "success": "true", "stop_reason": "tool_use",
    }  # fmt: skip
    scope = "com.anthropic.claude_code.tracing"
    span = SpanView(
        trace_id="a",
        span_id="b",
        name="claude_code.llm_request",
        scope=scope,
        attributes=attributes,
    )
    found = step(span)
    root = step(
        SpanView(
            trace_id="a", span_id="r", name="claude_code.interaction", scope=scope,
            attributes={"span.type": "interaction", "session.id": "s"},
        )
    )  # fmt: skip
    tool = step(
        SpanView(
            trace_id="a", span_id="t", name="claude_code.tool", scope=scope,
            attributes={"span.type": "tool", "tool_name": "Bash", "tool_use_id": "toolu_1"},
        )
    )  # fmt: skip
    inner = step(
        SpanView(
            trace_id="a", span_id="e", name="claude_code.tool.execution", scope=scope,
            attributes={"span.type": "tool.execution", "success": "false"},
        )
    )  # fmt: skip

    assert found.usage is not None
    assert (found.kind, found.usage.input_tokens, found.usage.cache_read_tokens) == (
        Kind.MODEL, 91_660, 84_562,
    )  # fmt: skip
    assert found.finish_reasons == ("tool_call",)
    assert (root.kind, root.role, root.agent_name) == (Kind.RUN, Role.AGENT, "Claude Code")
    assert (tool.kind, tool.tool_name, tool.tool_call_id) == (Kind.TOOL, "Bash", "toolu_1")
    assert (inner.kind, inner.status) == (Kind.OTHER, Status.SUCCESS)
