"""Details of real exports, span by span.

That every capture gives the runs that were scripted is tests/runs/test_captures.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Event, Kind, Role, SpanView, Step
from tests.support import captures


@cache
def loaded(source: str) -> tuple[dict[str, list[SpanView]], dict[str, list[Event]], dict[str, Any]]:
    path = captures.folder(source)
    logs: dict[str, list[Event]] = {}
    for event in captures.events(path):
        logs.setdefault(event.span_id, []).append(event)
    return captures.by_trace(path), logs, captures.truth(path)


def spans_of(source: str, run: str) -> list[SpanView]:
    traces, _, truth = loaded(source)
    (found,) = [one for one in truth["runs"] if one["run"] == run]
    spans = [span for trace_id in found["trace_ids"] for span in traces.get(trace_id, ())]
    return sorted(spans, key=lambda span: (span.start_ns, span.span_id))


def steps_of(source: str, run: str) -> list[Step]:
    return [dialects.step(span) for span in spans_of(source, run)]


@pytest.mark.parametrize("source", ["langgraph", "pydanticai", "pydanticai-1x", "strands"])
def test_an_agent_span_that_carries_its_input_shows_it(source: str) -> None:
    """Four emitters put the task on the run itself."""
    _, logs, truth = loaded(source)
    for run in truth["runs"]:
        roots = [
            span
            for span in spans_of(source, run["run"])
            if dialects.step(span).kind is Kind.RUN and not span.parent_span_id
        ]
        for root in roots:
            shown = dialects.content(root, logs.get(root.span_id, ()))
            assert f"(ref: {run['run']})" in (shown.input or "")


SEVEN = (
    "langgraph", "openaiagents", "openaiv2", "openaiv2-legacy", "pydanticai", "pydanticai-1x",
    "strands",
)  # fmt: skip
"""Emitters that send arguments both with the request and with the call."""


@pytest.mark.parametrize("source", SEVEN)
def test_a_tool_call_has_the_digest_of_its_request(source: str) -> None:
    """Loop rules and policies compare the call with the request, however either is spelled."""
    _, logs, truth = loaded(source)
    compared = 0
    for run in truth["runs"]:
        pairs = [(dialects.step(span), span) for span in spans_of(source, run["run"])]
        requested = {
            (request.name, request.arguments_digest)
            for step, span in pairs
            for request in (
                *step.tool_requests,
                *(
                    request
                    for event in logs.get(span.span_id, ())
                    for request in dialects.event_step_fields(event).get("tool_requests", ())
                ),
            )
        }
        for step, _ in pairs:
            if step.kind is Kind.TOOL and step.arguments_digest:
                assert (step.tool_name, step.arguments_digest) in requested
                compared += 1
    assert compared >= 10


def names(steps: list[Step], kind: Kind) -> list[tuple[str, Role, str]]:
    return [(step.name, step.role, step.agent_name) for step in steps if step.kind is kind]


def test_langgraph_sub_graphs_are_agents_and_their_nodes_are_not() -> None:
    """A sub-graph comes twice, node and graph; the root of a team is a workflow (DESIGN 5)."""
    steps = steps_of("langgraph", "handoff-1")

    assert names(steps, Kind.RUN) == [
        ("support_team", Role.WORKFLOW, "support_team"),
        ("triage_agent", Role.AGENT, "triage_agent"),
        ("refund_agent", Role.AGENT, "refund_agent"),
    ]
    nodes = [step.name for step in steps if step.role is Role.NODE]
    assert {"triage_agent", "refund_agent", "agent", "tools"} <= set(nodes)


def test_langgraph_handoff_tool_typed_agent_is_a_tool() -> None:
    """`transfer_to_*` is typed AGENT because its name holds "agent" (DIALECTS 2.16)."""
    (tool, _) = [s for s in steps_of("langgraph", "handoff-1") if s.kind is Kind.TOOL]

    assert (tool.tool_name, tool.role, tool.handoff_to) == (
        "transfer_to_refund_agent", Role.HANDOFF, "refund_agent",
    )  # fmt: skip


def test_langgraph_passing_control_by_exception_is_no_error() -> None:
    """`ParentCommand` is raised and recorded on a handoff, with status Ok."""
    assert not [step for step in steps_of("langgraph", "handoff-1") if step.failed]


def test_langgraph_failed_tool_says_why_without_a_traceback() -> None:
    (failed, _) = [s for s in steps_of("langgraph", "fail-1") if s.kind is Kind.TOOL]

    assert failed.error_type == "timeout"
    assert failed.error_message == "order service timed out after 5000ms"


def test_langgraph_tool_call_id_and_result_come_from_the_tool_message() -> None:
    """The result digest must not contain the message's ids, or no result ever repeats."""
    first, second = [
        next(s for s in steps_of("langgraph", run) if s.kind is Kind.TOOL)
        for run in ("normal-1", "sess-1")
    ]

    assert first.tool_call_id.startswith("call_")
    assert first.tool_call_id != second.tool_call_id
    assert first.result_digest == second.result_digest != ""


def test_langgraph_retrieval_shows_query_and_documents() -> None:
    (span,) = [s for s in spans_of("langgraph", "rag-1") if dialects.step(s).kind is Kind.RETRIEVE]
    shown = dialects.content(span)

    assert dialects.step(span).hit_count == 2
    assert shown.query == "vacation days"
    assert shown.documents is not None
    assert [(d["id"], d["rank"]) for d in shown.documents] == [("doc-0", 1), ("doc-1", 2)]
    assert shown.documents[0]["snippet"] == "Employees get 25 vacation days per year."


def test_langgraph_session_user_and_tags_are_labels() -> None:
    root = steps_of("langgraph", "sess-1")[0]

    assert root.labels["session_id"] == "thread-9"
    assert root.labels["user_id"] == "user-7"
    assert root.labels["service_name"] == "demo-langgraph"
    assert root.labels["tags.demo"] == "true"
    assert root.labels["tags.tier"] == "gold"
    assert not [name for name in root.labels if name.startswith("tags.ls_")]


def test_openai_agents_trace_span_is_a_workflow_and_its_handoff_a_tool() -> None:
    """The root AGENT is the trace; `handoff to X` was asked for as `transfer_to_X`."""
    steps = steps_of("openaiagents", "handoff-1")
    (handoff,) = [step for step in steps if step.role is Role.HANDOFF]

    assert names(steps, Kind.RUN) == [
        ("Customer support", Role.WORKFLOW, ""),
        ("triage_agent", Role.AGENT, "triage_agent"),
        ("refund_agent", Role.AGENT, "refund_agent"),
    ]
    assert steps[0].labels["workflow_name"] == "Customer support"
    assert (handoff.tool_name, handoff.handoff_to) == ("transfer_to_refund_agent", "refund_agent")


def test_openai_agents_turn_limit_and_model_error_have_a_type() -> None:
    """There are no exception events: only the wording of the status tells."""
    (limit,) = [step for step in steps_of("openaiagents", "loop-1") if step.failed]
    failed = [step for step in steps_of("openaiagents", "modelerr-1") if step.failed]

    assert limit.error_type == "max_iterations"
    assert {step.error_type for step in failed} == {"context_length"}


def test_response_id_of_openinference_is_inside_the_output() -> None:
    """Duplicate model spans are found by it (DIALECTS 2.2)."""
    models = [s for s in steps_of("openaiagents", "normal-1") if s.kind is Kind.MODEL]

    assert all(step.response_id.startswith("resp_normal-1") for step in models)


def test_pydantic_ai_reports_its_own_cost_per_call() -> None:
    models = [s for s in steps_of("pydanticai", "fail-1") if s.kind is Kind.MODEL]

    assert [step.cost_nano_usd for step in models] == [205_200, 155_100, 181_800]


def test_strands_names_itself_as_provider_and_that_is_dropped() -> None:
    """`strands-agents` is no vendor; a price list must not be asked for it."""
    steps = steps_of("strands", "normal-1")

    assert {step.provider for step in steps} == {""}
    assert {step.model for step in steps if step.kind is Kind.MODEL} == {"gpt-4o-mini"}


def test_strands_content_comes_from_span_events() -> None:
    """Messages, arguments and results are in events in Bedrock's shape."""
    spans = spans_of("strands", "fail-1")
    (failed, _) = [s for s in spans if dialects.step(s).kind is Kind.TOOL]
    model = next(s for s in spans if dialects.step(s).kind is Kind.MODEL)
    shown, asked = dialects.content(failed), dialects.content(model)

    assert shown.arguments == {"order_id": "A-1001"}
    assert shown.result == "Error: UpstreamTimeout - order service timed out after 5000ms"
    assert asked.messages_out is not None
    (call,) = asked.messages_out[0]["tool_calls"]
    assert (call["name"], call["arguments"]) == ("lookup_order", {"order_id": "A-1001"})
    assert asked.messages_out[0]["finish_reason"] == "tool_call"


def test_openai_v2_default_mode_has_its_messages_in_logs() -> None:
    """One log record per message, joined by span id, in order of time however they come."""
    _, logs, _ = loaded("openaiv2-legacy")
    models = [
        s for s in spans_of("openaiv2-legacy", "fail-1") if dialects.step(s).kind is Kind.MODEL
    ]
    last = models[-1]
    shown = dialects.content(last, list(reversed(logs[last.span_id])))

    assert shown.messages_in is not None
    assert [one["role"] for one in shown.messages_in] == [
        "system", "user", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip
    assert shown.output == "Order A-1001 has shipped and arrives on Tuesday."
    assert shown.system_instructions == "You are a helpful assistant. Use the tools when they help."


def test_content_sent_twice_is_shown_once() -> None:
    """The experimental mode sends messages as attributes and as a log record (DIALECTS 2.14)."""
    _, logs, _ = loaded("openaiv2")
    model = next(s for s in spans_of("openaiv2", "normal-1") if s.span_id in logs)

    assert dialects.content(model, logs[model.span_id]) == dialects.content(model)
