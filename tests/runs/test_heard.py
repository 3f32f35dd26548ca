"""Tool calls that only log records tell of: each is a step once, whatever came when."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.normalize import events_of
from collector.receiver.decode import Decoder
from collector.runs.assembler import Assembler, Stored
from collector.runs.group import TraceGroup, fold
from collector.runs.heard import telling
from collector.runs.run import Changes, PlacedStep, Run
from otel_agentrun import arguments, dialects
from otel_agentrun.dialects import hearsay
from otel_agentrun.step import Event, Kind, Role, SpanView, Status, Step
from tests.e2e.otlp import a_record, as_json, logs
from tests.runs.builders import (
    BASE_NS,
    OTHER_TRACE,
    TRACE,
    a_step,
    a_tool_message,
    agent,
    an_assistant_message,
    model,
    tool,
)

SPAN = f"{2:016x}"


def tools_of(steps: list[Step], events: list[Event]) -> list[Step]:
    """Tool steps that the runs count, by start."""
    group = TraceGroup()
    for step in steps:
        group.add(step)
    for event in events:
        group.add_event(event)
    placed = [each.step for each in group.changes().steps if each.run_id]
    return sorted((s for s in placed if s.kind is Kind.TOOL), key=lambda step: step.key)


def history(span: int, *turns: dict[str, str], trace_id: str = TRACE) -> list[Event]:
    """The records of one model call: every turn's requests (call id -> tool) and their results."""
    found: list[Event] = []
    for turn in turns:
        found.append(an_assistant_message(span, turn, at=len(found), trace_id=trace_id))
        for call_id in turn:
            found.append(a_tool_message(span, call_id, at=len(found), trace_id=trace_id))
    return found


def test_a_result_that_only_records_tell_of_is_a_step() -> None:
    """With what a span of the tool would have said: name, arguments, result, id; its time is that
    of calls which another span tells of, right before the model call."""
    events = [
        an_assistant_message(2, {"c1": "get_weather", "c2": "lookup"}, at=1),
        a_tool_message(2, "c1", "Rome: 18C", at=2),
        a_tool_message(2, "c2", "error: timed out after 5000ms", at=3),
    ]
    teller = model(2, 1, labels={"session_id": "s"})

    first, second = tools_of([agent(1), teller], events)

    assert (first.tool_name, first.tool_call_id, first.status) == (
        "get_weather", "c1", Status.SUCCESS,
    )  # fmt: skip
    assert first.arguments_digest == arguments.digest("c1")
    assert first.result_digest == arguments.result_digest("Rome: 18C")
    assert (first.input_bytes, first.output_bytes) == (len('"c1"'), len("Rome: 18C"))
    assert (first.start_ns, first.end_ns) == (teller.start_ns - 2, teller.start_ns - 2)
    assert (first.role, first.parent_span_id, first.labels) == (
        Role.TOLD, teller.parent_span_id, teller.labels,
    )  # fmt: skip
    assert (second.tool_name, second.status, second.error_type, second.start_ns) == (
        "lookup", Status.ERROR, "timeout", teller.start_ns - 1,
    )  # fmt: skip
    assert second.error_message == "error: timed out after 5000ms"


def test_what_is_told_without_content_is_a_step_too() -> None:
    """The default of instrumentations: ids and names, no arguments, no results."""
    record = {"id": "c1", "type": "function", "function": {"name": "search"}}
    base = Event(event_id="", name="", at_ns=5, trace_id=TRACE, span_id=SPAN)
    asked = telling(replace(base, name=hearsay.ASSISTANT, body=f'{{"tool_calls": [{record}]}}'))
    answer = telling(replace(base, name=hearsay.TOOL, body='{"id": "c1"}'))
    assert asked is not None
    assert answer is not None

    [step] = tools_of([model(2)], [asked, answer])

    assert (step.tool_name, step.arguments_digest, step.result_digest) == ("search", "", "")


def test_a_history_that_is_logged_with_every_call_tells_of_each_tool_once() -> None:
    turns = [{f"c{n}": "search"} for n in range(6)]
    steps: list[Step] = [agent(1), *(model(n + 2, 1) for n in range(7))]
    events = [each for n in range(7) for each in history(n + 2, *turns[:n])]

    assert [step.tool_call_id for step in tools_of(steps, events)] == [f"c{n}" for n in range(6)]


def test_calls_in_traces_of_their_own_tell_only_of_what_is_new() -> None:
    """Without a span around them each call is a run: an earlier one's tool is not the later one's
    again, though its result is in the history."""
    first, second = {"c1": "search"}, {"c2": "refund"}
    other = replace(model(3), trace_id=OTHER_TRACE)
    late = history(3, first, second, trace_id=OTHER_TRACE)

    assert [s.tool_call_id for s in tools_of([model(2)], history(2, first))] == ["c1"]
    assert [s.tool_call_id for s in tools_of([other], late)] == ["c2"]


@pytest.mark.parametrize("call_id", ["c1", ""])
def test_a_run_whose_tools_have_spans_is_told_of_none(call_id: str) -> None:
    """Many spans of tools carry no call id: rather one call too few than one twice."""
    shown = tool(3, 1, "search", tool_call_id=call_id)
    other = tool(4, 1, "unrelated")

    assert tools_of([agent(1), model(2, 1), shown], history(2, {"c1": "search"})) == [shown]
    assert tools_of([agent(1), model(2, 1), other], history(2, {"c1": "search"})) == [other]


def test_a_span_that_tells_of_the_call_as_well_is_believed() -> None:
    """Some emitters have messages on spans and in log records: one call, one id for both."""
    sent = (
        '[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"search"}]},'
        '{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"by span"}]}]'
    )
    view = SpanView(
        trace_id=TRACE,
        span_id=SPAN,
        start_ns=BASE_NS,
        end_ns=BASE_NS,
        attributes={"gen_ai.operation.name": "chat", "gen_ai.input.messages": sent},
    )
    teller = dialects.step(view)
    [by_span] = dialects.told(view, teller)
    steps, events = [teller, by_span], history(2, {"c1": "search"})
    runs = []
    for order in (steps, steps[::-1], [teller]):
        group = TraceGroup()
        for event in events:
            group.add_event(event)
        for step in order:
            group.add(step)
            group.changes()
        group.add(by_span)
        runs += group.runs()

    assert tools_of(steps, events) == [by_span]
    assert runs == 3 * fold(steps, events)


def test_what_came_last_of_one_time_cannot_be_told() -> None:
    """A coarse clock: which of two messages is history is not known, and neither what is new."""
    events = [
        an_assistant_message(2, {"c1": "search"}),
        a_tool_message(2, "c1"),
        an_assistant_message(2, {"c2": "search"}),
        a_tool_message(2, "c2"),
        an_assistant_message(2, {"c3": "search"}),
    ]

    assert tools_of([model(2)], events[:2]) != []
    for seed in range(20):
        random.Random(seed).shuffle(events)
        assert tools_of([model(2)], events) == []
    assert len(tools_of([model(2)], [*events, *history(2, {"c4": "a", "c5": "b"})])) == 0
    later = [an_assistant_message(2, {"c4": "a"}, at=1), a_tool_message(2, "c4", at=2)]
    assert [step.tool_name for step in tools_of([model(2)], [*later, *events])] == ["a"]


def test_a_step_that_is_no_model_call_tells_of_nothing() -> None:
    assert tools_of([a_step(2)], history(2, {"c1": "search"})) == []


def test_an_open_run_keeps_nothing_of_its_history() -> None:
    """A processor that exports each record alone: of n calls come n squared of them."""
    calls = 30
    group = TraceGroup()
    most = 0
    for n in range(1, calls):
        group.add(model(n + 1, 1))
        for event in history(n + 1, *({f"c{n}": "search"} for n in range(n))):
            group.add_event(event)
            most = max(most, len(group.events))
        group.changes()

    assert most <= 2 * calls
    [run] = group.runs()
    assert (run.own.tool_calls, run.own.model_calls) == (calls - 1, calls - 1)


# ---------------------------------------------------------------------- log records as they come


def batch_of(
    *records: tuple[str, object, int], attributes: dict[str, object] | None = None
) -> list[Event]:
    """Log records (event name, body, time) of one span, through the collector's decoder."""
    sent = [
        a_record(name, attributes or {}, trace=TRACE, number=2, body=body, at_ns=BASE_NS + at)
        for name, body, at in records
    ]
    body = as_json(logs(sent))
    return events_of(Decoder().logs_json(body, received_at_ns=BASE_NS).batch)


def asks(call_id: str) -> dict[str, object]:
    return {"tool_calls": [{"id": call_id, "function": {"name": "search", "arguments": "{}"}}]}


def test_of_a_batch_only_what_is_new_becomes_events() -> None:
    """The square of what a run said must not be read, nor stored beside the log records."""
    spoken = []
    for n in range(40):
        spoken.append((hearsay.ASSISTANT, asks(f"c{n}"), 2 * n))
        spoken.append((hearsay.TOOL, {"id": f"c{n}", "content": "SECRET-FREE " * 50}, 2 * n + 1))

    events = batch_of(*spoken)

    assert [event.name for event in events] == [hearsay.ASSISTANT, hearsay.TOOL]
    assert all(not event.body for event in events)
    assert "SECRET-FREE" not in str([dict(event.attributes) for event in events])


def test_one_record_per_call_tells_of_its_tools() -> None:
    """The newer convention logs the whole request at once."""
    sent = [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "search"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "x"}]},
    ]
    events = batch_of(
        ("gen_ai.client.inference.operation.details", None, 7),
        attributes={"gen_ai.input.messages": sent},
    )
    teller = replace(model(2), span_id=events[0].span_id)

    [step] = tools_of([teller], events)

    assert (step.tool_name, step.tool_call_id) == ("search", "c1")
    assert step.result_digest == arguments.result_digest("x")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (hearsay.TOOL, None),
        (hearsay.TOOL, "<elided>"),
        (hearsay.TOOL, {"content": "whose?"}),
        (hearsay.TOOL, {"id": {"a": 1}, "content": [1, {"b": 2.5}]}),
        (hearsay.ASSISTANT, "<elided>"),
        (hearsay.ASSISTANT, {"tool_calls": "none", "content": {"parts": 7}}),
        (hearsay.ASSISTANT, {"tool_calls": [{"function": {"name": "nameless"}}, 3]}),
    ],
)
def test_records_of_any_shape_are_read(name: str, body: object) -> None:
    """A record that says nothing tells of nothing; it never costs its batch."""
    events = batch_of((name, body, 1), (hearsay.ASSISTANT, asks("c1"), 2), (hearsay.TOOL, body, 3))
    events += batch_of((hearsay.TOOL, {"id": "c1", "content": "fine"}, 4))

    assert len(tools_of([replace(model(2), span_id=events[0].span_id)], events)) == 1


# ---------------------------------------------------------------------- any order


class Rows:
    """What the store has: the last row of a key counts."""

    def __init__(self) -> None:
        self.steps: dict[str, PlacedStep] = {}
        self.events: dict[str, Event] = {}
        self.runs: dict[str, Run] = {}

    def write(self, changes: Changes) -> None:
        for removed in changes.removed:
            self.runs.pop(removed.run_id, None)
        for run in changes.runs:
            known = self.runs.get(run.run_id)
            assert known is None or known.revision <= run.revision
            self.runs[run.run_id] = run
        self.steps |= {f"{each.step.trace_id}/{each.step.span_id}": each for each in changes.steps}
        self.events |= {event.event_id: event for event, _, _ in changes.events}

    def stored(self) -> Stored:
        return Stored(
            steps=tuple(each.step for each in self.steps.values() if each.group_id),
            events=tuple(self.events.values()),
            runs=tuple(self.runs.values()),
        )

    def shown(self) -> dict[str, Step]:
        return {each.step.span_id: each.step for each in self.steps.values() if each.run_id}


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Step], list[Event]]:
    """Up to five model calls, each with the history so far; some tools have spans, some calls are
    sent again under the same history, in some runs an agent is around it all."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 5))
    root = rng.choice([0, 1, 99])
    steps: list[Step] = [agent(1)] if root == 1 else []
    turns: list[dict[str, str]] = []
    events: list[Event] = []
    for n in range(count):
        span = 10 + 10 * n
        for again in range(rng.choice([1, 1, 1, 2])):
            steps.append(model(span + again, root))
            spoken = history(span + again, *turns)
            events += rng.sample(spoken, k=len(spoken)) if rng.random() < 0.8 else spoken[::2]
        called = [f"c{n}{index}" for index in range(rng.randrange(0, 3))]
        turns.append({call_id: rng.choice(["search", "refund"]) for call_id in called})
        if rng.random() < 0.1:
            steps.append(tool(span + 5, root, tool_call_id=rng.choice([*called, ""])))
    return steps, events


@settings(max_examples=300, deadline=None)
@given(conversations(), st.randoms(use_true_random=False))
def test_what_is_told_does_not_depend_on_arrival(
    said: tuple[list[Step], list[Event]], rng: random.Random
) -> None:
    """In any order, piece by piece, some of it twice, with restarts that know only what was
    written: the same runs and the same rows as all at once, and no revision that falls."""
    steps, events = said
    arrived: list[Step | Event] = [*steps, *events]
    arrived += rng.sample(arrived, k=len(arrived) // 3)
    rng.shuffle(arrived)
    rows, assembler, known = Rows(), Assembler(), True
    for item in arrived:
        if isinstance(item, Step):
            assembler.add([item], 1)
        else:
            assembler.add_event(item, 1)
        if rng.random() < 0.3:
            if not known:
                assembler.restore(rows.stored(), 1)
                known = True
            rows.write(assembler.changes())
            if rng.random() < 0.3:
                assembler, known = Assembler(), False
    if not known:
        assembler.restore(rows.stored(), 1)
    rows.write(assembler.changes())
    whole = Rows()
    at_once = TraceGroup()
    for step in steps:
        at_once.add(step)
    for event in events:
        at_once.add_event(event)
    whole.write(at_once.changes())

    assert not assembler.failures
    assert rows.runs == whole.runs
    assert rows.shown() == whole.shown()
