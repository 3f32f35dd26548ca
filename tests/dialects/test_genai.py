"""GenAI conventions, current and older keys, and our own spans on top of them."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentrun import dialects
from otel_agentrun.step import Event, Kind, Role, SpanView, Step, Usage


def view(attributes: dict[str, Any], **more: Any) -> SpanView:
    return SpanView(trace_id="a", span_id="b", attributes=attributes, **more)


def genai(operation: str, **attributes: Any) -> Step:
    named = {f"gen_ai.{key.replace('__', '.')}": value for key, value in attributes.items()}
    return dialects.step(view({"gen_ai.operation.name": operation, **named}))


@pytest.mark.parametrize(
    ("operation", "kind", "role"),
    [
        ("chat", Kind.MODEL, Role.NONE),
        ("generate_content", Kind.MODEL, Role.NONE),
        ("text_completion", Kind.MODEL, Role.NONE),
        ("embeddings", Kind.MODEL, Role.NONE),
        ("execute_tool", Kind.TOOL, Role.NONE),
        ("retrieval", Kind.RETRIEVE, Role.NONE),
        ("search_memory", Kind.RETRIEVE, Role.NONE),
        ("plan", Kind.PLAN, Role.NONE),
        ("invoke_agent", Kind.RUN, Role.AGENT),
        ("invoke_workflow", Kind.RUN, Role.WORKFLOW),
        ("invoke_swarm", Kind.RUN, Role.WORKFLOW),
        ("create_agent", Kind.OTHER, Role.NONE),
        ("execute_event_loop_cycle", Kind.OTHER, Role.NONE),
        ("something_new", Kind.OTHER, Role.NONE),
    ],
)
def test_operations_have_kinds(operation: str, kind: Kind, role: Role) -> None:
    """`create_agent` makes no run (DIALECTS 2.20); custom operations are listed, not counted."""
    step = genai(operation)

    assert (step.kind, step.role, step.dialect) == (kind, role, "genai")


@pytest.mark.parametrize(
    "keys",
    [
        ("usage.input_tokens", "usage.output_tokens", "usage.cache_read.input_tokens",
         "usage.cache_write.input_tokens", "usage.reasoning.output_tokens"),
        ("usage.prompt_tokens", "usage.completion_tokens", "usage.cache_read_input_tokens",
         "usage.cache_creation_input_tokens", "usage.reasoning_tokens"),
        ("usage.input_tokens", "usage.output_tokens", "usage.details.cache_read_tokens",
         "usage.cache_creation.input_tokens", "usage.details.reasoning_tokens"),
    ],
)  # fmt: skip
def test_renamed_token_keys_are_read(keys: tuple[str, ...]) -> None:
    """Old and new names both, because renames are frequent (GenAI registry)."""
    values = dict(zip((f"gen_ai.{key}" for key in keys), (100, 20, 60, 30, 5), strict=True))
    step = dialects.step(view({"gen_ai.operation.name": "chat", **values}))

    assert step.usage == Usage(
        input_tokens=100,
        output_tokens=20,
        cache_read_tokens=60,
        cache_write_tokens=30,
        reasoning_tokens=5,
    )


@pytest.mark.parametrize("order", [1, -1])
def test_the_current_key_wins_in_any_order(order: int) -> None:
    """Strands sends tokens twice under two names; attribute order means nothing."""
    pairs = [("gen_ai.usage.input_tokens", 7), ("gen_ai.usage.prompt_tokens", 9)]
    step = dialects.step(view({"gen_ai.operation.name": "chat", **dict(pairs[::order])}))

    assert step.usage == Usage(input_tokens=7)


@pytest.mark.parametrize("nothing", [float("nan"), "NaN", "", None, -1, "many", float("inf")])
def test_what_is_no_count_is_absent(nothing: Any) -> None:
    """Streaming without usage sends NaN (DIALECTS 2.13): that is not zero, and no error."""
    step = genai("chat", usage__input_tokens=nothing, usage__output_tokens=3.0)

    assert step.usage == Usage(output_tokens=3)
    assert genai("chat", usage__input_tokens=nothing).usage is None


def test_the_response_model_wins_over_the_requested_one() -> None:
    assert genai("chat", request__model="m", response__model="m-2024").model == "m-2024"
    assert genai("chat", request__model="m").model == "m"


@pytest.mark.parametrize(
    ("sent", "want"),
    [
        (["tool_calls"], "tool_call"),
        ('["tool-calls"]', "tool_call"),
        ("tool_use", "tool_call"),
        ("end_turn", "stop"),
        ("FinishReason.STOP", "stop"),
        ('["length"]', "length"),
    ],
)
def test_finish_reasons_have_one_spelling(sent: Any, want: str) -> None:
    """Arrays, JSON text, bare and enum spellings (DIALECTS 2.12)."""
    assert genai("chat", response__finish_reasons=sent).finish_reasons == (want,)


def test_reported_cost_is_read_where_it_says_something() -> None:
    """OpenLIT sends 0 for models it has no price for; other currencies are not dollars."""
    amount, currency = "usage__cost__amount", "usage__cost__currency"

    assert genai("chat", **{amount: 0.0002052}).cost_nano_usd == 205_200
    assert genai("chat", **{amount: "0.5", currency: "EUR"}).cost_nano_usd is None
    assert genai("chat", usage__cost=0).cost_nano_usd is None
    assert genai("chat", **{amount: float("nan")}).cost_nano_usd is None
    assert genai("invoke_agent", **{amount: 1.0}).cost_nano_usd is None


def test_retrieval_counts_and_shows_its_documents() -> None:
    span = view(
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "kb",
            "gen_ai.retrieval.query.text": "vacation",
            "gen_ai.retrieval.top_k": "2",
            "gen_ai.retrieval.documents": '[{"id":"d1","score":0.9,"snippet":"25 days"},'
            '{"id":"d2"}]',
        }
    )
    shown = dialects.content(span)

    assert dialects.step(span).hit_count == 2
    assert (shown.query, shown.data_source, shown.top_k) == ("vacation", "kb", 2)
    assert shown.documents == [
        {"id": "d1", "score": 0.9, "rank": 1, "snippet": "25 days"},
        {"id": "d2", "rank": 2},
    ]


@pytest.mark.parametrize(
    ("name", "given", "to"),
    [
        ("transfer_to_refund_agent", None, "refund_agent"),
        ("transfer_to_agent", '{"agent_name": "refund_agent"}', "refund_agent"),
        ("handoff_to_agent", "{'agent_name': 'refund_agent', 'message': 'x'}", "refund_agent"),
        ("handoff", '{"kwargs": {"to_agent": "refund_agent"}}', "refund_agent"),
    ],
)
def test_handoff_tools_name_their_target(name: str, given: str | None, to: str) -> None:
    """Spellings of four frameworks (DIALECTS 2.15)."""
    step = genai("execute_tool", tool__name=name, tool__call__arguments=given)

    assert (step.kind, step.role, step.handoff_to) == (Kind.TOOL, Role.HANDOFF, to)


def test_request_parameters_and_prompt_are_shown() -> None:
    shown = dialects.content(
        view(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.temperature": "0.2",
                "gen_ai.request.max_tokens": "500",
                "gen_ai.request.stop_sequences": '["END"]',
                "gen_ai.prompt.name": "triage",
                "gen_ai.prompt.version": "7",
                "gen_ai.prompt.variable.city": "Paris",
                "gen_ai.conversation.compacted": "true",
                "gen_ai.tool.definitions": '[{"type":"function","function":{"name":"f"}},'
                '{"name":"g"}]',
            }
        )
    )

    assert shown.request == {"temperature": 0.2, "max_tokens": 500, "stop_sequences": ["END"]}
    assert (shown.prompt_name, shown.prompt_version) == ("triage", "7")
    assert shown.prompt_variables == {"city": "Paris"}
    assert shown.context_compacted is True
    assert shown.tools_offered == ["f", "g"]


def test_flattened_prompts_of_older_emitters_are_shown() -> None:
    """`gen_ai.prompt.N.*` and `gen_ai.completion.N.*` (semantic conventions before v1.28)."""
    shown = dialects.content(
        view(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "hello",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.content": "hi",
            }
        )
    )

    assert (shown.input, shown.output) == ("hello", "hi")


def test_pydantic_ai_version_1_events_attribute_is_shown() -> None:
    """One JSON attribute holds event objects (DIALECTS 2.14)."""
    shown = dialects.content(
        view(
            {
                "gen_ai.operation.name": "chat",
                "events": '[{"event.name":"gen_ai.user.message","role":"user","content":"hello"},'
                '{"event.name":"gen_ai.choice","index":0,"message":{"role":"assistant","content":"hi"}}]',
            }
        )
    )

    assert (shown.input, shown.output) == ("hello", "hi")


def test_messages_that_were_cut_are_shown_as_they_came() -> None:
    """Over-long values are cut, and half of a JSON text has no messages."""
    cut = '[{"role":"user","parts":[{"type":"text","content":"hel'
    shown = dialects.content(view({"gen_ai.operation.name": "chat", "gen_ai.input.messages": cut}))

    assert shown.messages_in is None
    assert shown.input == cut


def test_a_choice_log_adds_requests_and_finish_reason() -> None:
    """The default mode of the official instrumentation has them nowhere else."""
    fields = dialects.event_step_fields(
        Event(
            event_id="1",
            name="gen_ai.choice",
            at_ns=1,
            body='{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","tool_calls":'
            '[{"id":"c1","function":{"name":"f","arguments":"{}"}}]}}',
        )
    )

    assert [(r.name, r.call_id) for r in fields["tool_requests"]] == [("f", "c1")]
    assert fields["finish_reasons"] == ("tool_call",)


def test_several_turns_show_the_last_question_as_the_task() -> None:
    """A history repeats earlier questions; tool results and retries begin no new turn."""
    shown = dialects.content(
        view(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.input.messages": '[{"role":"user","content":"one"},'
                '{"role":"assistant","content":"1"},{"role":"user","content":"two"},'
                '{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]},'
                '{"role":"tool","tool_call_id":"c","content":"r"},{"role":"user","content":"hurry"}]',
            }
        )
    )

    assert shown.input == "two"


def test_a_run_has_the_structure_of_its_input_and_no_value() -> None:
    step = genai("invoke_agent", input__messages='[{"role":"user","content":"a secret"}]')

    assert '"content"' in step.input_structure
    assert "secret" not in step.input_structure
    assert step.input_bytes == len('[{"role":"user","content":"a secret"}]')


# Our own spans.


def own(kind: str, **attributes: Any) -> Step:
    named = {f"agentrun.{key.replace('__', '.')}": value for key, value in attributes.items()}
    return dialects.step(view({"agentrun.step.kind": kind, **named}))


def test_our_step_kinds_are_taken_as_said() -> None:
    """All seven kinds; `validate` has no GenAI operation."""
    assert [own(kind.value).kind for kind in Kind] == list(Kind)
    assert own("run").role is Role.SDK
    assert own("model", step__role="response").role is Role.RESPONSE
    assert own("tool").dialect == "agentrun"


def test_our_tool_span_has_cost_attempt_and_real_digests() -> None:
    """The SDK saw the arguments before redaction: its digest is the true one."""
    step = own(
        "tool",
        cost__usd=0.01,
        payment__usd="0.25",
        retry__attempt=2,
        retry__reason="timeout",
        tool__args_hash="00112233445566ff",
        step__id=4,
        run__id="run-1",
    )

    assert (step.cost_nano_usd, step.payment_nano_usd) == (10_000_000, 250_000_000)
    assert (step.attempt, step.retry_reason) == (2, "timeout")
    assert step.arguments_digest == "00112233445566ff"
    assert (step.step_id, step.run_id) == (4, "run-1")


def test_our_attributes_on_a_foreign_span_are_read() -> None:
    """The span processor stamps identity on spans of any instrumentation."""
    step = dialects.step(
        view({"openinference.span.kind": "TOOL", "agentrun.run.id": "r", "agentrun.tag.team": "x"})
    )

    assert (step.dialect, step.run_id, step.labels["tags.team"]) == ("openinference", "r", "x")


def test_a_handoff_is_a_call_of_the_tool_that_the_model_asked_for() -> None:
    """opentelemetry-instrumentation-openai-agents-v2 has an operation of its own for it."""
    step = dialects.step(
        SpanView(
            trace_id="a",
            span_id="b",
            attributes={
                "gen_ai.operation.name": "agent_handoff",
                "gen_ai.handoff.from_agent": "Triage",
                "gen_ai.handoff.to_agent": "Refund Agent",
            },
        )
    )

    assert (step.kind, step.role) == (Kind.TOOL, Role.HANDOFF)
    assert (step.tool_name, step.handoff_to) == ("transfer_to_refund_agent", "Refund Agent")
