"""In-house conventions are read by the same tables as every other."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from collector.unrecognized import scopes
from otel_agentrun import dialects
from otel_agentrun.dialects.mapping import NO_MAPPINGS, Mappings, SpanMapping
from otel_agentrun.step import Kind, Role, SpanView, Usage
from tests.support.store import spans

ACME = Mappings(
    spans=(
        SpanMapping(
            name="acme",
            scope="acme.*",
            attribute="acme.kind",
            kinds={"assistant": "run", "llm": "model", "function": "tool"},
            keys={
                "model": ("acme.model", "acme.model_id"),
                "input_tokens": ("acme.in",),
                # Elsewhere the total; here, it is said, what was written.
                "output_tokens": ("gen_ai.usage.input_tokens",),
                "tool_name": ("acme.function",),
                "arguments": ("acme.args",),
                "input": ("acme.prompt",),
                "workflow_name": ("acme.flow",),
            },
        ),
    ),
    keys={"session_id": ("acme.chat",), "tool_name": ("acme.tool",), "tags.team": ("acme.team",)},
)


@pytest.fixture(autouse=True)
def acme() -> Iterator[None]:
    dialects.use(ACME)
    yield
    dialects.use(NO_MAPPINGS)


def view(scope: str = "acme.core", **attributes: Any) -> SpanView:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return SpanView(trace_id="a", span_id="b", name="x", scope=scope, attributes=named)


def test_a_mapped_span_is_read_by_its_mapping() -> None:
    step = dialects.step(
        view(acme__kind="llm", acme__model_id="m", acme__in="7", gen_ai__usage__input_tokens="3")
    )

    assert (step.dialect, step.kind, step.model) == ("acme", Kind.MODEL, "m")
    assert step.usage == Usage(input_tokens=7, output_tokens=3)


def test_scope_and_attribute_both_have_to_fit() -> None:
    assert dialects.step(view("other", acme__kind="llm")).dialect == ""
    assert dialects.step(view(acme__model="m")).dialect == ""


def test_what_a_mapping_does_not_say_is_plain_genai() -> None:
    """An unknown kind, a standard key, messages."""
    step = dialects.step(
        view(acme__kind="?", gen_ai__operation__name="execute_tool", gen_ai__tool__name="t")
    )
    run = view(acme__kind="assistant", acme__prompt='[{"role":"user","content":"hello"}]')

    assert (step.kind, step.tool_name) == (Kind.TOOL, "t")
    assert dialects.step(run).role is Role.AGENT
    assert dialects.content(run).input == "hello"
    assert dialects.content(view(acme__kind="assistant", acme__prompt="hi")).input == "hi"


def test_keys_for_every_dialect_come_after_its_own() -> None:
    chat = {"gen_ai__operation__name": "execute_tool", "acme__tool": "late"}

    assert dialects.step(view("x", **chat)).tool_name == "late"
    assert dialects.step(view("x", **chat, gen_ai__tool__name="t")).tool_name == "t"


def test_labels_come_from_spans_resources_and_headers() -> None:
    span = SpanView(
        trace_id="a",
        span_id="b",
        attributes={"gen_ai.operation.name": "chat", "acme.team": "red"},
        resource={"acme.chat": "c1"},
        ingest={"acme.team": "blue"},
    )

    assert dialects.step(span).labels == {"session_id": "c1", "tags.team": "red"}


def test_mapped_keys_are_handed_over() -> None:
    """A batch picks columns by these."""
    assert dialects.is_logic_key("acme.model")
    assert dialects.is_logic_key("acme.kind")
    assert dialects.is_logic_key("acme.chat")
    assert dialects.is_root_key("acme.prompt")
    assert dialects.is_content_key("acme.prompt")


def test_without_mappings_everything_is_as_before() -> None:
    dialects.use(NO_MAPPINGS)

    assert dialects.step(view(acme__kind="llm")).dialect == ""
    assert not dialects.is_logic_key("acme.model")


def test_mappings_travel_to_the_decoder_processes() -> None:
    assert pickle.loads(pickle.dumps(ACME)) == ACME


def test_spans_that_look_like_an_agent_and_that_nobody_reads_are_found_by_scope() -> None:
    """By scope, name or key; plumbing and what a dialect reads do not count."""
    batch = spans(
        {"ScopeName": "my.agent"},
        {"ScopeName": "plain", "SpanName": "LLM call"},
        {"ScopeName": "keys", "SpanAttributes": {"llm.model": "m"}},
        {"ScopeName": "http", "SpanAttributes": {"http.method": "GET", "llm.x": "y"}},
        {"ScopeName": "browser", "SpanAttributes": {"user_agent.original": "curl"}},
        {"ScopeName": "maintenance", "SpanName": "email"},
        {"ScopeName": "agents", "SpanAttributes": {"gen_ai.operation.name": "chat"}},
    )
    steps = [
        dialects.step(
            SpanView(
                trace_id="a",
                span_id="b",
                name=row["SpanName"],
                scope=row["ScopeName"],
                attributes=dict(row["SpanAttributes"]),
            )
        )
        for row in batch.select(["SpanName", "ScopeName", "SpanAttributes"]).to_pylist()
    ]

    assert scopes(batch, steps) == {"my.agent": 1, "plain": 1, "keys": 1}
