"""Logfire's spans of the OpenAI Agents SDK (capture: `tests/captures/logfire-openai-agents`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.dialects import logfire_agents
from otel_agentrun.step import Kind, Role, SpanView, Step, Usage

REDACTED = {"message": "Error running tool (non-fatal)", "data": {"error": "It is redacted."}}


def view(template: str, **attributes: Any) -> SpanView:
    """Values that are not text come as JSON, None as well."""
    sent = {
        key.replace("__", "."): value if isinstance(value, str) else json.dumps(value)
        for key, value in attributes.items()
    }
    return SpanView(
        trace_id="a",
        span_id="b",
        name=template,
        scope=logfire_agents.SCOPE,
        status_code="Error" if "error" in attributes else "Unset",
        attributes={logfire_agents.TEMPLATE: template, "logfire.span_type": "span", **sent},
    )


def read(template: str, **attributes: Any) -> Step:
    return dialects.step(view(template, **attributes))


@pytest.mark.parametrize(
    ("template", "kind", "role"),
    [
        ("OpenAI Agents trace: {name}", Kind.RUN, Role.WORKFLOW),
        ("Agent run: {name!r}", Kind.RUN, Role.AGENT),
        ("Function: {name}", Kind.TOOL, Role.NONE),
        ("Guardrail {name!r} {triggered=}", Kind.VALIDATE, Role.NONE),
        ("Task: {name}", Kind.OTHER, Role.NONE),
        ("Turn {turn} for agent helper", Kind.OTHER, Role.NONE),
    ],
)
def test_the_template_says_what_a_span_is(template: str, kind: Kind, role: Role) -> None:
    """Every span has a `name`; only the template says of what."""
    step = read(template, name="helper", input=None, output=None)

    assert (step.dialect, step.kind, step.role) == ("logfire_agents", kind, role)
    assert step.agent_name == ("helper" if role is Role.AGENT else "")


def test_a_trace_has_the_group_and_metadata_of_its_application() -> None:
    """`group_id` links the traces of one conversation; what is not given is the text `null`."""
    step = read("OpenAI Agents trace: {name}", name="Support", group_id="g", metadata={"userId": 7})
    bare = read("OpenAI Agents trace: {name}", name="Support", group_id=None, metadata=None)

    assert step.labels["session_id"] == "g"
    assert step.labels["user_id"] == "7"
    assert step.labels["workflow_name"] == bare.labels["workflow_name"] == "Support"
    assert "session_id" not in bare.labels


def test_a_tool_has_its_arguments_and_says_why_it_failed() -> None:
    step = read("Function: {name}", name="search", input={"q": "tea"}, output="no", error=REDACTED)
    content = dialects.content(view("Function: {name}", name="search", input={"q": "tea"}))

    assert (step.tool_name, step.failed, step.error_message) == ("search", True, "It is redacted.")
    assert step.arguments_digest
    assert content.arguments == {"q": "tea"}


def test_a_handoff_is_a_call_of_the_tool_that_the_model_asked_for() -> None:
    step = read("Handoff: {from_agent} → {to_agent}", from_agent="Triage", to_agent="Refund Agent")

    assert (step.kind, step.role, step.handoff_to) == (Kind.TOOL, Role.HANDOFF, "Refund Agent")
    assert (step.tool_name, step.agent_name) == ("transfer_to_refund_agent", "Triage")


@pytest.mark.parametrize(
    "sent",
    [
        {"output": [{"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]},
        {"response": {"output": [
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}},
        {"output": [{"object": "response", "output": [
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}]},
    ],
    ids=["chat completions", "Responses API", "streamed chat completions"],
)  # fmt: skip
def test_a_model_call_has_its_details_in_its_usage_object(sent: dict[str, Any]) -> None:
    """Chat completions have no cached and no reasoning tokens elsewhere."""
    usage = {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip
    step = read("Chat completion with {gen_ai.request.model!r}", usage=usage, **sent)

    assert step.kind is Kind.MODEL
    assert step.usage == Usage(
        input_tokens=10, cache_read_tokens=4, output_tokens=5, reasoning_tokens=2
    )
    assert [(one.name, one.call_id) for one in step.tool_requests] == [("f", "c")]


def test_sums_of_tasks_and_turns_are_not_usage() -> None:
    assert read("Turn {turn} for agent helper", usage={"input_tokens": 10}).usage is None


def test_zeros_are_no_usage() -> None:
    """A streamed chat completion that was not asked for its usage says 0 of everything."""
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    step = read("Chat completion with {gen_ai.request.model!r}", usage=usage,
                gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=0)  # fmt: skip

    assert step.usage is None
