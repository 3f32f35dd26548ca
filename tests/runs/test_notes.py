"""What a model answered may come in log records, before its span or after it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.normalize import events_of
from collector.receiver.decode import Decoder
from collector.runs.group import TraceGroup, fold
from collector.runs.notes import is_note, note, noted
from otel_agentrun import dialects
from otel_agentrun.step import Event, Kind, Step, Usage
from tests.runs.builders import BASE_NS, TRACE, a_note, agent, asks, model, tool, trace_groups


def held(group: TraceGroup) -> list[Step]:
    return [node.step for trace in group.traces.values() for node in trace.nodes.values()]


def steps_of(group: TraceGroup) -> dict[str, Step]:
    return {placed.step.span_id: placed.step for placed in group.changes().steps}


@pytest.mark.parametrize("late", [False, True])
def test_a_log_record_adds_tool_requests_to_the_step_of_its_span(late: bool) -> None:
    """openai-v2 in its default mode has them nowhere else; logs are exported on their own."""
    group = TraceGroup()
    items: list[Step | Event] = [a_note(2, "search", "refund", reason="tool_call"), model(2, 1)]
    for item in reversed(items) if late else items:
        group.add_event(item) if isinstance(item, Event) else group.add(item)
        group.changes()
    group.add(agent(1))

    [run] = group.runs()
    step = steps_of(group)[f"{2:016x}"]
    assert [one.name for one in step.tool_requests] == ["search", "refund"]
    assert step.finish_reasons == ("tool_call",)
    assert run.max_fan_out == 2


def test_requests_that_only_a_log_record_states_are_pending_until_they_ran() -> None:
    """Without its root a run is judged by its last model call: that tool never ran."""
    closed = Event(
        event_id="c",
        name="agentrun.run.closed",
        at_ns=BASE_NS,
        trace_id=TRACE,
        run_id=TRACE,
        attributes={},
    )
    asked = [model(2, 99), a_note(2, "search")]
    steps = [item for item in asked if isinstance(item, Step)]
    notes = [item for item in asked if isinstance(item, Event)]

    [unanswered] = fold(steps, [*notes, closed])
    [answered] = fold([*steps, tool(3, 99)], [*notes, closed])

    assert unanswered.status == "failed"
    assert answered.status == "completed"


def test_every_choice_of_a_call_is_counted_once() -> None:
    """A record that is sent again has the same id; two choices are two records."""
    first, second = a_note(2, "search", at=1), a_note(2, "refund", at=2)

    step = noted(model(2), [second, first, first])

    assert [one.name for one in step.tool_requests] == ["search", "refund"]
    assert noted(step, [first, second]) == step


def test_a_note_says_nothing_of_a_step_that_is_no_model_call() -> None:
    assert noted(tool(2), [a_note(2, "search")]) == tool(2)


def test_a_record_that_says_nothing_makes_no_event() -> None:
    """Without content (ADK's default) a record would cost a row for nothing."""
    record = Event(event_id="e", name="gen_ai.choice", at_ns=1, trace_id=TRACE, span_id="b" * 16)

    assert note(record, dialects.event_step_fields(record)) is None
    assert note(replace(record, span_id=""), {"finish_reasons": ("stop",)}) is None


@settings(max_examples=100, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_a_restored_step_that_was_amended_is_amended_alike(
    group: tuple[list[Step], list[Event]], rng: random.Random
) -> None:
    """The store has the step as the first notes left it, not as its span said it."""
    steps, events = group
    notes = [
        a_note(int(step.span_id, 16), "search", at=at, used=Usage(cache_read_tokens=at))
        for step in steps
        if step.kind is Kind.MODEL
        for at in (1, 2)
    ]
    rng.shuffle(notes)
    early, late = notes[: len(notes) // 2], notes[len(notes) // 2 :]
    first, second, whole = TraceGroup(), TraceGroup(), TraceGroup()
    for step in steps:
        first.add(step)
        whole.add(step)
    for event in (*events, *early):
        first.add_event(event)
    first.changes()
    for event in late:
        second.add_event(event)
    second.restore(held(first), [*events, *early], first.runs())
    second.changes()
    for event in (*events, *notes):
        whole.add_event(event)
    whole.changes()

    assert sorted(held(second), key=lambda step: step.key) == sorted(
        held(whole), key=lambda step: step.key
    )
    expected = {run.run_id: run for run in whole.runs()}
    assert {run.run_id: run for run in second.runs()} == expected


@pytest.mark.parametrize("late", [False, True])
def test_a_log_record_states_tokens_that_a_span_leaves_out(late: bool) -> None:
    """Semantic Kernel has cached and reasoning tokens in a log line alone; they are priced, too."""
    told = Usage(input_tokens=100, cache_read_tokens=60, reasoning_tokens=5)
    items: list[Step | Event] = [a_note(2, used=told), model(2, 1), agent(1)]
    group = TraceGroup()
    for item in reversed(items) if late else items:
        group.add_event(item) if isinstance(item, Event) else group.add(item)
        group.changes()

    [run] = group.runs()
    assert (run.own.cache_read_tokens, run.own.reasoning_tokens) == (60, 5)
    assert run.own.input_tokens == 100
    assert "cached_tokens_missing" not in run.data_quality


def test_a_usage_record_without_event_name_is_a_note() -> None:
    """It has the ids of its span and begins in words that nothing else begins with."""
    body = (
        "OpenAI usage: CompletionUsage(completion_tokens=49, prompt_tokens=1350, total_tokens=1399,"
        " completion_tokens_details=CompletionTokensDetails(reasoning_tokens=16),"
        " prompt_tokens_details=PromptTokensDetails(cache_write_tokens=None, cached_tokens=1024))"
    )
    record = {"timeUnixNano": "7", "traceId": TRACE, "spanId": "b" * 16}
    records = [
        {**record, "body": {"stringValue": body}},
        {**record, "body": {"stringValue": "Calling " + body}},
        {**record, "body": {"stringValue": body}, "eventName": "my.event"},
        {"timeUnixNano": "7", "body": {"stringValue": body}},
        {**record, "body": {"stringValue": "OpenAI usage: CompletionUsage()"}},
    ]
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}

    [found] = events_of(Decoder().logs_json(json.dumps(request).encode(), received_at_ns=9).batch)

    step = noted(model(2), [found])
    assert is_note(found)
    assert found.span_id == "b" * 16
    assert not found.body
    assert step.usage == Usage(
        input_tokens=1350, output_tokens=49, cache_read_tokens=1024, reasoning_tokens=16
    )


def test_a_span_that_says_more_than_the_log_records_is_believed() -> None:
    """Only some of the records may have arrived."""
    step = model(2, tool_requests=asks("search", "refund"))

    assert noted(step, [a_note(2, "search")]) is step


def test_asking_is_stated_by_the_span_where_no_record_says_it() -> None:
    step = model(2, tool_requests=asks("search"))

    assert noted(step, [a_note(2, reason="stop")]).tool_requests == asks("search")
