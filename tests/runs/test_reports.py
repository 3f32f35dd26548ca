"""Live reports of steps: a run is seen and judged before its spans come, and then is the same."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.runs.assembler import Assembler, Stored
from collector.runs.group import TraceGroup, fold
from collector.runs.reports import SCOPE
from collector.runs.run import Run
from otel_agentrun.step import COUNTED, Event, Status, Step
from tests.runs.builders import TRACE, a_report, agent, model, tool, trace_groups
from tests.runs.test_fold_properties import PRICING, Group, by_id


def test_a_run_counts_what_was_reported_before_its_spans_come() -> None:
    """The exporter sends spans every five seconds, and never once its process was killed."""
    reports = [a_report(model(2, 1)), a_report(tool(3, 1, digest="d1")), a_report(tool(4, 1))]
    [run] = fold([], reports, PRICING)

    assert run.status == "running"
    assert (run.own.model_calls, run.own.tool_calls, run.own.input_tokens) == (1, 2, 100)
    assert run.own.model_cost_nano_usd > 0


def test_a_span_and_its_report_are_one_step() -> None:
    spans = [agent(1, start=1), model(2, 1), tool(3, 1)]
    [alone] = fold(spans, [], PRICING)
    [both] = fold(spans, [a_report(step) for step in spans[1:]], PRICING)

    assert both.own == alone.own
    assert both.status == alone.status == "completed"


def test_digests_are_those_of_the_report() -> None:
    """It saw the arguments before they were redacted: two that differ only there stay different."""
    span = tool(3, 1, digest="redacted")
    group = TraceGroup()
    group.add(span)
    group.add_event(a_report(replace(span, arguments_digest="seen", result_digest="result")))
    [step] = [placed.step for placed in group.changes().steps]

    assert (step.arguments_digest, step.result_digest) == ("seen", "result")
    assert step.version == span.version


def test_the_start_of_a_step_is_no_step_yet() -> None:
    started = a_report(tool(3, 1))
    attributes = {**started.attributes, "agentrun.step.phase": "started"}
    [run] = fold([model(2, 1)], [replace(started, event_id="b", attributes=attributes)], PRICING)

    assert run.own.tool_calls == 0


def test_a_failed_step_is_reported_as_one() -> None:
    [run] = fold([], [a_report(tool(3, 1, status=Status.ERROR, error_type="timeout"))], PRICING)

    assert run.own.tool_errors == 1


@settings(max_examples=200, deadline=None)
@given(trace_groups(), st.randoms(use_true_random=False))
def test_reports_come_in_any_order_with_spans_and_restarts(
    group: Group, rng: random.Random
) -> None:
    """Promise 3, of spans and their reports: at once, one by one, and read back from the store."""
    steps, events = group
    events = [replace(event, trace_id=event.trace_id or TRACE) for event in events]
    if rng.random() < 0.7:  # a span of our own SDK nearly always counts like its report
        steps = [replace(s, scope=SCOPE) if s.scope == "one" else s for s in steps]
    counted = [step for step in steps if step.kind in COUNTED and step.role.value == ""]
    reports = [a_report(step) for step in rng.sample(counted, k=len(counted) // 2)]
    missing = {step.span_id for step in rng.sample(counted, k=len(counted) // 4)}
    steps = [step for step in steps if step.span_id not in missing]
    arrived: list[Step | Event] = [*steps, *events, *reports]
    expected = by_id(fold(steps, [*events, *reports], PRICING))
    rng.shuffle(arrived)
    assert by_id(_collected(arrived, rng)) == expected


def _collected(arrived: list[Step | Event], rng: random.Random) -> list[Run]:
    """What is written while they come in batches, with one restart in between."""
    assembler = Assembler(pricing=PRICING)
    runs: dict[str, Run] = {}
    rows: dict[tuple[str, str], tuple[int, Step]] = {}
    spans: dict[tuple[str, str], Step] = {}
    """Those of no run have no row; they are read back as they came."""
    events: dict[str, Event] = {}
    restart = rng.randrange(len(arrived) + 1)
    at = 0
    while at < len(arrived) or at == 0:
        size = rng.randrange(1, 6)
        for item in arrived[at : at + size]:
            if isinstance(item, Step):
                assembler.add([item], 1)
            else:
                assembler.add_event(item, 1)
        if at <= restart < at + size:
            stored = Stored(
                steps=tuple((spans | {key: step for key, (_, step) in rows.items()}).values()),
                events=tuple(events.values()),
                runs=tuple(runs.values()),
            )
            assembler = Assembler(pricing=PRICING)
            for item in arrived[at : at + size]:
                if isinstance(item, Step):
                    assembler.add([item], 1)
                else:
                    assembler.add_event(item, 1)
            assembler.restore(stored, 1)
        for item in arrived[at : at + size]:
            if isinstance(item, Step):
                spans[item.trace_id, item.span_id] = item
        changes = assembler.changes()
        assert not assembler.failures
        for removed in changes.removed:
            runs.pop(removed.run_id, None)
        runs |= {run.run_id: run for run in changes.runs}
        for placed in changes.steps:
            key = (placed.step.trace_id, placed.step.span_id)
            if key not in rows or rows[key][0] <= placed.revision:
                rows[key] = (placed.revision, placed.step)
        events |= {event.event_id: event for event, _, _ in changes.events}
        at += size
    return list(runs.values())
