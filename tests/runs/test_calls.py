"""Promise 4: tokens and cost are counted once; an unknown price is unknown."""

from __future__ import annotations

from collector.runs.group import TraceGroup, fold
from collector.runs.trace import Pricing
from otel_agentrun.step import Role, Status, Usage
from tests.runs.builders import a_step, agent, model, tool

PRICING = Pricing(
    model=lambda usage, _, name, __: (
        ((usage.input_tokens or 0) * 10, "exact") if name != "secret" else (None, "unknown")
    ),
    tool=lambda step: 7 if step.tool_name == "search" else None,
    version="v1",
)


def test_nested_model_spans_are_one_call_with_the_innermost_fields() -> None:
    """LlamaIndex nests three model spans for a call; only the innermost knows the tokens."""
    outer = model(2, 1, start=10, end=50, usage=None, model="")
    middle = a_step(3, 2, start=11, end=49)
    inner = model(4, 3, tokens=120, start=12, end=48)
    group = TraceGroup()
    for step in (inner, outer, agent(1), middle):
        group.add(step)
    changes = group.changes()

    assert changes.runs[0].own.model_calls == 1
    assert changes.runs[0].own.input_tokens == 120
    assert {"duplicate_model_spans", "price_unknown"} <= set(changes.runs[0].data_quality)
    duplicates = {each.step.span_id: each.duplicate_of for each in changes.steps}
    assert duplicates[outer.span_id] == inner.span_id
    assert duplicates[inner.span_id] == ""


def test_a_tool_between_two_model_spans_makes_them_two_calls() -> None:
    """A tool that asks a model of its own is a real second call."""
    [run] = fold([agent(1), model(2, 1), tool(3, 2), model(4, 3)])

    assert run.own.model_calls == 2


def test_equal_response_ids_are_one_call() -> None:
    """A framework's callback and the client's wrapper saw the same answer."""
    [run] = fold([agent(1), model(2, 1, response_id="r"), model(3, 1, response_id="r")])

    assert (run.own.model_calls, run.own.input_tokens) == (1, 100)


def test_overlapping_siblings_of_two_instrumentations_are_one_call() -> None:
    """OpenLLMetry's span beside the Anthropic SDK's own."""
    one = model(2, 1, start=10, end=30, scope="openllmetry")
    other = model(3, 1, start=12, end=28, scope="anthropic")

    assert fold([agent(1), one, other])[0].own.model_calls == 1


def test_parallel_calls_of_one_instrumentation_stay_two() -> None:
    """Fan-out to the same model with the same prompt is billed twice."""
    one = model(2, 1, start=10, end=30)
    other = model(3, 1, start=12, end=28)

    assert fold([agent(1), one, other])[0].own.model_calls == 2


def test_a_failed_call_of_two_instrumentations_is_one_error() -> None:
    """Without an answer there are no counts and no id: the error passes the inner span first."""
    one = model(2, 1, start=10, end=30, scope="openllmetry", usage=None, status=Status.ERROR)
    other = model(3, 1, start=12, end=28, scope="anthropic", usage=None, status=Status.ERROR)
    alike = model(4, 1, start=11, end=29, scope="openllmetry", usage=None, status=Status.ERROR)
    later = model(4, 1, start=20, end=40, scope="anthropic", usage=None, status=Status.ERROR)

    assert fold([agent(1), one, other])[0].own.model_errors == 1
    assert fold([agent(1), one, alike])[0].own.model_errors == 2
    assert fold([agent(1), one, later])[0].own.model_errors == 2


def test_usage_on_agent_spans_counts_only_where_no_model_span_is() -> None:
    """Aggregates repeat what model spans say; alone they are all there is."""
    total = Usage(input_tokens=500, output_tokens=50)
    with_calls = fold([agent(1, usage=total), model(2, 1)], (), PRICING)[0]
    alone = fold([agent(1, usage=total, model="m"), tool(2, 1)], (), PRICING)[0]

    assert with_calls.own.input_tokens == 100
    assert alone.own.input_tokens == 500
    assert alone.cost_confidence == "estimated"
    assert "usage_from_aggregate" in alone.data_quality


def test_cost_kinds_stay_apart_and_unknown_stays_unknown() -> None:
    """S2.16, S2.29: model, tool and payment cost; an unpriced call is never guessed."""
    paid = tool(3, 1, payment_nano_usd=50, revenue_nano_usd=90)
    known = fold([agent(1), model(2, 1), paid], (), PRICING)[0]
    unknown = fold([agent(1), model(2, 1, model="secret")], (), PRICING)[0]

    own = known.own
    assert (own.model_cost_nano_usd, own.tool_cost_nano_usd) == (1000, 7)
    assert (own.payment_cost_nano_usd, own.revenue_nano_usd) == (50, 90)
    assert (known.cost_confidence, known.price_version) == ("exact", "v1")
    assert unknown.cost_confidence == "unknown"
    assert "price_unknown" in unknown.data_quality


def test_a_paid_endpoint_costs_its_price_per_call() -> None:
    """S2.10, S2.29: an external API call has its price, whether it succeeded or not."""
    paid = Pricing(
        model=PRICING.model,
        tool=lambda step: 9 if step.endpoint == "https://api.example.com/v1" else None,
    )
    call = a_step(3, 2, role=Role.TRANSPORT, endpoint="https://api.example.com/v1")
    free = a_step(4, 2, role=Role.TRANSPORT, endpoint="https://free.example.com/")
    group = TraceGroup(paid)
    for step in (agent(1), tool(2, 1), call, free):
        group.add(step)
    changes = group.changes()

    assert changes.runs[0].own.payment_cost_nano_usd == 9
    costs = {each.step.span_id: each.cost_nano_usd for each in changes.steps}
    assert (costs[call.span_id], costs[free.span_id]) == (9, None)


def test_a_cost_that_the_emitter_reports_wins_and_is_marked() -> None:
    """It knows its contract; ours is a price list."""
    [run] = fold([agent(1), model(2, 1, cost_nano_usd=123)], (), PRICING)

    assert (run.own.model_cost_nano_usd, run.cost_source) == (123, "emitter")


def test_failed_calls_are_counted_and_retries_follow_them() -> None:
    """S5.73, S5.74: failed calls never dropped, retries visible; a failure costs nothing."""
    failed = model(2, 1, status=Status.ERROR, usage=None)
    [run] = fold([agent(1), failed, model(3, 1)], (), PRICING)

    assert (run.own.model_calls, run.own.model_errors, run.own.retries) == (2, 1, 1)
    assert run.cost_confidence == "exact"


def test_attempts_are_numbered_per_call_whatever_the_order() -> None:
    """S5.30: the second attempt names the first, also when the first arrives last."""
    first = tool(2, 1, status=Status.ERROR)
    second = tool(3, 1, status=Status.ERROR)
    third = tool(4, 1)
    group = TraceGroup()
    placed = {}
    for step in (third, agent(1), second, first):
        group.add(step)
        placed |= {each.step.span_id: each for each in group.changes().steps}

    assert placed[third.span_id].retry_of == second.span_id
    assert [placed[s.span_id].attempt for s in (first, second, third)] == [0, 1, 2]
