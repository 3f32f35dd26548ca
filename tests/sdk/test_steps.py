"""Steps as spans: kinds, attributes, decorators, errors, retries, decisions (S2, S4, S5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

import otel_agentrun as agentrun
from otel_agentrun import semconv
from otel_agentrun.step import Status
from tests.sdk.conftest import Recorded


def test_each_kind_is_a_genai_span_with_our_kind_on_top(app: Recorded) -> None:
    """Valid for both vocabularies (S4.9-S4.14, S5.12)."""
    with agentrun.run("support"):
        with agentrun.plan("route"):
            pass
        with agentrun.model("gpt-5", provider="openai"):
            pass
        with agentrun.tool("search"):
            pass
        with agentrun.retrieve("kb"):
            pass
        with agentrun.validate("schema"):
            pass

    found = {
        span.name: (said.get(semconv.STEP_KIND), said.get(semconv.OPERATION), span.kind)
        for span in app.spans
        if (said := dict(span.attributes or {}))
    }
    assert found == {
        "agent.run support": ("run", "invoke_agent", SpanKind.INTERNAL),
        "agent.plan route": ("plan", "plan", SpanKind.INTERNAL),
        "agent.model gpt-5": ("model", "chat", SpanKind.CLIENT),
        "agent.tool search": ("tool", "execute_tool", SpanKind.INTERNAL),
        "agent.retrieve kb": ("retrieve", "retrieval", SpanKind.CLIENT),
        "agent.validate schema": ("validate", None, SpanKind.INTERNAL),
    }


def test_a_model_call_is_told_in_full(app: Recorded) -> None:
    """Parameters, prompt version and variables, messages, usage, why it ended (S5.5, S5.24)."""
    with (
        agentrun.run("support"),
        agentrun.model(
            "gpt-5",
            provider="openai",
            messages=[{"role": "user", "content": "hi"}],
            system="be brief",
            prompt_name="greeting",
            prompt_version="7",
            prompt_variables={"name": "Ada"},
            temperature=0,
            max_tokens=100,
        ) as step,
    ):
        step.response(
            {
                "id": "r1",
                "model": "gpt-5-2025",
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 5,
                    "prompt_tokens_details": {"cached_tokens": 4},
                },
                "choices": [
                    {
                        "finish_reason": "tool_calls",
                        "message": {
                            "role": "assistant",
                            "content": None,
                            "tool_calls": [
                                {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
                            ],
                        },
                    }
                ],
            }
        )

    said = app.said("agent.model gpt-5")
    assert said[semconv.GEN_AI_REQUEST_TEMPERATURE] == 0.0
    assert said[semconv.GEN_AI_RESPONSE_MODEL] == "gpt-5-2025"
    assert said[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ("tool_calls",)
    assert said[semconv.GEN_AI_USAGE_INPUT_TOKENS] == 10
    assert said[semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] == 4
    assert said["gen_ai.prompt.variable.name"] == "Ada"
    assert json.loads(said[semconv.GEN_AI_INPUT_MESSAGES]) == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    ]
    assert json.loads(said[semconv.GEN_AI_OUTPUT_MESSAGES])[0]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": "{}"}
    ]


def test_anthropic_input_tokens_include_cached_ones(app: Recorded) -> None:
    """Its API counts them apart; the convention wants the sum."""
    with agentrun.run("r"), agentrun.model("claude", provider="anthropic") as step:
        step.response(
            {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 2,
                    "cache_read_input_tokens": 5,
                    "cache_creation_input_tokens": 1,
                },
                "content": [{"type": "text", "text": "ok"}],
                "stop_reason": "end_turn",
            }
        )

    assert app.said("agent.model claude")[semconv.GEN_AI_USAGE_INPUT_TOKENS] == 16


def plain(a: int, b: int = 2) -> int:
    return a + b


async def coroutine(a: int, b: int = 2) -> int:
    await asyncio.sleep(0)
    return a + b


def call_plain(decorate: Callable[[Any], Any]) -> None:
    assert decorate(plain)(1) == 3


def call_coroutine(decorate: Callable[[Any], Any]) -> None:
    assert asyncio.run(decorate(coroutine)(1)) == 3


@pytest.mark.parametrize("call", [call_plain, call_coroutine])
@pytest.mark.parametrize("decorate", [agentrun.tool, agentrun.tool("search", version="v3")])
def test_a_decorated_function_is_a_step_with_its_arguments_and_result(
    app: Recorded, call: Callable[[Any], None], decorate: Any
) -> None:
    with agentrun.run("support"):
        call(decorate)

    [span] = [span for span in app.spans if span.name != "agent.run support"]
    said = dict(span.attributes or {})
    assert said[semconv.GEN_AI_TOOL_NAME] in ("plain", "coroutine", "search")
    assert json.loads(said[semconv.GEN_AI_TOOL_CALL_ARGUMENTS]) == {"a": 1}
    assert said[semconv.GEN_AI_TOOL_CALL_RESULT] == "3"


def test_the_object_of_a_method_is_no_argument(app: Recorded) -> None:
    class Shop:
        @agentrun.tool
        def buy(self, item: str) -> None: ...

    with agentrun.run("support"):
        Shop().buy("tea")

    said = app.said("agent.tool buy")
    assert json.loads(said[semconv.GEN_AI_TOOL_CALL_ARGUMENTS]) == {"item": "tea"}


class RateLimitError(Exception):
    status_code = 429


@pytest.mark.parametrize(
    ("error", "typed", "status"),
    [
        (RateLimitError("slow down"), "rate_limit", "error"),
        (TimeoutError(), "timeout", "timeout"),
        (PermissionError("no"), "auth_error", "error"),
        (ValueError("HTTP status 503"), "upstream_5xx", "error"),
        (ConnectionRefusedError(), "connection_error", "error"),
        (KeyError("x"), "KeyError", "error"),
    ],
)
def test_an_exception_becomes_a_typed_error_and_an_end_state(
    app: Recorded, error: Exception, typed: str, status: str
) -> None:
    """S5.21, S5.29."""
    with pytest.raises(type(error)), agentrun.run("support"), agentrun.tool("search"):
        raise error

    span = app.span("agent.tool search")
    said = dict(span.attributes or {})
    assert (said[semconv.ERROR_TYPE], said[semconv.STEP_STATUS]) == (typed, status)
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_a_cancelled_step_is_no_error(app: Recorded) -> None:
    """S5.21: the caller gave up."""

    @agentrun.run
    async def agent() -> None:
        with agentrun.tool("slow"):
            await asyncio.sleep(60)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(agent(), 0.01)

    asyncio.run(main())

    assert app.said("agent.tool slow")[semconv.STEP_STATUS] == "cancelled"
    assert app.span("agent.tool slow").status.status_code is StatusCode.UNSET
    assert app.said("agent.run agent")[semconv.STOP_REASON] == "cancelled"


def test_steps_may_be_skipped_or_fail_without_an_exception(app: Recorded) -> None:
    with agentrun.run("r"):
        with agentrun.tool("a") as step:
            step.skip("cached")
        with agentrun.tool("b") as step:
            step.fail("upstream_5xx", "bad gateway")
        with agentrun.tool("c") as step:
            step.fail("timeout", status=Status.TIMEOUT)

    assert app.said("agent.tool a")[semconv.STEP_STATUS] == "skipped"
    assert app.said("agent.tool b")[semconv.ERROR_TYPE] == "upstream_5xx"
    assert app.span("agent.tool b").status.description == "upstream_5xx: bad gateway"
    assert app.said("agent.tool c")[semconv.STEP_STATUS] == "timeout"


def test_a_call_that_is_made_again_after_it_failed_is_a_retry_with_its_reason(
    app: Recorded,
) -> None:
    """S5.30: also where a library retries around a decorated function."""
    calls = iter([TimeoutError(), TimeoutError(), None])

    @agentrun.tool
    def flaky(x: int) -> str:
        error = next(calls)
        if error is not None:
            raise error
        return "ok"

    with agentrun.run("support") as run:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                flaky(1)
        flaky(1)
        with agentrun.tool("flaky", arguments={"x": 2}):
            pass
        assert run.totals.retries == 2

    attempts = [dict(s.attributes or {}).get(semconv.RETRY_ATTEMPT) for s in app.spans[:4]]
    assert attempts == [None, 2, 3, None]
    assert dict(app.spans[1].attributes or {})[semconv.RETRY_REASON] == "timeout"


def test_another_call_of_a_tool_that_failed_is_no_retry(app: Recorded) -> None:
    with agentrun.run("r"):
        with pytest.raises(KeyError), agentrun.tool("get", arguments={"id": 1}):
            raise KeyError(1)
        with agentrun.tool("get", arguments={"id": 2}):
            pass

    assert semconv.RETRY_ATTEMPT not in dict(app.spans[1].attributes or {})


def test_decisions_routes_fallbacks_branches_and_state_are_events_of_their_step(
    app: Recorded,
) -> None:
    """S2.14, S3.16, S3.17, S4.26, S4.27, S5.8, S5.9."""
    with agentrun.run("support", policy_version="p1") as run:
        with agentrun.plan() as step:
            step.route("gpt-5", alternatives=["gpt-4o"], reason="hard question", name="default")
            step.branch("refund", alternatives=["exchange"])
        run.fallback("gpt-4o", instead_of="gpt-5", reason="rate_limit")
        run.decision("policy", outcome="block", rule="no-refunds", actor="guard")
        run.state("memory", operation="write", key="name", value="Ada")

    decisions = app.events("agentrun.decision")
    assert [d[semconv.DECISION_KIND] for d in decisions] == [
        "route", "branch", "fallback", "policy",
    ]  # fmt: skip
    assert decisions[0][semconv.DECISION_ALTERNATIVES] == ("gpt-4o",)
    assert decisions[0][semconv.ROUTE_NAME] == "default"
    assert decisions[0][semconv.STEP_ID] == 2
    assert {d[semconv.RUN_ID] for d in decisions} == {run.run_id}
    assert {d[semconv.POLICY_VERSION] for d in decisions} == {"p1"}
    [state] = app.events("agentrun.state")
    assert (state[semconv.STATE_KEY], state[semconv.STATE_VALUE]) == ("name", "Ada")


def test_without_logs_an_event_stays_with_its_span(make_app: Callable[..., Recorded]) -> None:
    app = make_app(live=False)
    with agentrun.run("r") as run:
        run.route("a")

    [event] = app.span("agent.run r").events
    assert event.name == "agentrun.decision"


def test_a_plan_its_compiled_steps_and_what_carries_them_out_are_told_apart(
    app: Recorded,
) -> None:
    """S5.53."""
    with agentrun.run("r"):
        with agentrun.plan(iteration=1) as plan:
            plan.generated("First search, then answer.")
            first, second = plan.compiled(["search", {"id": "b", "name": "answer"}])
        with agentrun.tool("search", plan_step=first):
            pass

    said = app.said("agent.plan")
    assert said[semconv.PLAN_GENERATED] == "First search, then answer."
    assert json.loads(said[semconv.PLAN_STEPS]) == [
        {"name": "search", "id": "1"},
        {"id": "b", "name": "answer"},
    ]
    assert (first, second) == ("1", "b")
    assert app.said("agent.tool search")[semconv.PLAN_STEP_ID] == "1"


def test_fan_out_votes_and_discarded_outputs_are_recorded(app: Recorded) -> None:
    """S5.49-S5.52."""
    with agentrun.run("r") as run:
        run.fan_out(3)
        run.aggregate("majority", votes={"a": 2, "b": 1}, chosen=["a"], discarded=["b"])

    said = app.said("agent.plan aggregate")
    assert json.loads(said[semconv.AGGREGATION_VOTES]) == {"a": 2, "b": 1}
    assert said[semconv.AGGREGATION_DISCARDED] == ("b",)
    assert app.said("agent.run r")[semconv.FAN_OUT_COUNT] == 3


def test_a_handoff_names_recipient_role_reason_and_both_messages(app: Recorded) -> None:
    """S5.44-S5.48."""
    with (
        agentrun.run("front"),
        agentrun.handoff(
            "billing", role="specialist", reason="refund", message="please check"
        ) as step,
    ):
        with agentrun.run("billing"):
            pass
        step.reply("done")

    said = app.said("agent.tool transfer_to_billing")
    assert said[semconv.HANDOFF_TO] == "billing"
    assert said[semconv.HANDOFF_ROLE] == "specialist"
    assert said[semconv.HANDOFF_REASON] == "refund"
    assert (said[semconv.HANDOFF_MESSAGE], said[semconv.HANDOFF_REPLY]) == ("please check", "done")


def test_a_retrieval_tells_documents_filters_and_what_they_removed(app: Recorded) -> None:
    """S4.22, S5.7, S5.15, S5.32, S5.33: ids, scores, versions and snippets, not documents."""
    with (
        agentrun.run("r"),
        agentrun.retrieve(
            "kb", query="refund", top_k=3, filters={"lang": "en"}, index_version="i9"
        ) as step,
    ):
        step.documents(
            [{"id": "d1", "score": 0.9, "version": "2", "content": "x" * 5000}, "text only"],
            removed={"d7": "not allowed"},
        )

    said = app.said("agent.retrieve kb")
    documents = json.loads(said[semconv.GEN_AI_RETRIEVAL_DOCUMENTS])
    assert (documents[0]["id"], documents[0]["version"], documents[0]["rank"]) == ("d1", "2", 1)
    assert len(documents[0]["snippet"]) < 1100
    assert said[semconv.RETRIEVAL_HIT_COUNT] == 2
    assert json.loads(said[semconv.RETRIEVAL_FILTERS]) == {"lang": "en"}
    assert said[semconv.RETRIEVAL_REMOVED_COUNT] == 1
    assert said[semconv.INDEX_VERSION] == "i9"


def test_a_check_says_what_it_found(app: Recorded) -> None:
    """S4.13, S4.32: a check that finds something has done its work; one that raises has failed."""

    @agentrun.validate
    def is_polite(text: str) -> bool:
        return "please" in text

    with agentrun.run("r"):
        is_polite("give me")
        with agentrun.validate("quality", check="evaluation") as step:
            step.passed(score=0.8, explanation="good")
        with pytest.raises(ValueError, match="bad"), agentrun.validate("schema"):
            raise ValueError("bad")

    assert app.said("agent.validate is_polite")[semconv.VALIDATION_OUTCOME] == "fail"
    assert app.said("agent.validate quality")[semconv.VALIDATION_SCORE] == 0.8
    assert app.said("agent.validate schema")[semconv.VALIDATION_OUTCOME] == "fail"
    [score] = app.events("gen_ai.evaluation.result")
    assert score[semconv.GEN_AI_EVALUATION_NAME] == "quality"


def test_a_step_is_entered_once(app: Recorded) -> None:
    step = agentrun.tool("x")
    with step:
        pass
    with pytest.raises(RuntimeError, match="entered once"), step:
        pass


def test_tool_arguments_versions_and_costs(app: Recorded) -> None:
    """S5.25-S5.28, S2.29."""
    with agentrun.run("r") as run:
        with agentrun.tool(
            "pay", version="v3", call_id="c1", sensitive=True, cost_usd=0.25
        ) as step:
            step.invalid("amount missing")
        assert run.totals.cost_usd == 0.25

    said = app.said("agent.tool pay")
    assert said[semconv.TOOL_VERSION] == "v3"
    assert said[semconv.TOOL_ARGUMENTS_VALID] is False
    assert said[semconv.TOOL_SENSITIVE] is True
    assert said[semconv.GEN_AI_TOOL_CALL_ID] == "c1"
