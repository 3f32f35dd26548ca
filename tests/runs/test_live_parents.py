"""Runs whose own spans are still to come: seen, under their names, where they say that they are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

from collector.runs.assembler import Assembler
from collector.runs.events import RUN_STARTED, RUN_STEP, make_event
from collector.runs.run import Run
from otel_agentrun import semconv
from otel_agentrun.step import Event

TRACE = "a" * 32
PARENT, CHILD = TRACE, f"{TRACE}-{'c' * 16}"


def told(name: str, at_ns: int, run_id: str, span_id: str, said: Mapping[str, str]) -> Event:
    attributes = {semconv.RUN_ID: run_id, **said}
    return make_event(
        name, at_ns, trace_id=TRACE, run_id=run_id, span_id=span_id, attributes=attributes
    )


def a_start(run_id: str, at_ns: int, span_id: str, agent: str, parent_id: str = "") -> Event:
    said = {semconv.STEP_KIND: "run", semconv.GEN_AI_AGENT_NAME: agent}
    if parent_id:
        said[semconv.RUN_PARENT_ID] = parent_id
    return told(RUN_STARTED, at_ns, run_id, span_id, said)


def a_tool(run_id: str, number: int, parent_span_id: str) -> Event:
    said = {
        semconv.STEP_PHASE: "ended",
        semconv.STEP_KIND: "tool",
        semconv.STEP_NAME: "search",
        semconv.STEP_PARENT_SPAN_ID: parent_span_id,
        semconv.STEP_START_UNIX_NS: str(3000 + number),
        semconv.STEP_END_UNIX_NS: str(3500 + number),
    }
    return told(RUN_STEP, 3500 + number, run_id, f"{number:016x}", said)


def folded(*events: Event) -> dict[str, Run]:
    assembler = Assembler()
    for event in events:
        assembler.add_event(event, 1)
    changes = assembler.changes()
    assert not assembler.failures
    return {run.run_id: run for run in changes.runs}


def test_a_live_parent_is_seen_while_only_its_child_has_steps() -> None:
    """And the child has its own name, in whatever order they are told of."""
    events = (
        a_start(PARENT, 1000, "1" * 16, "desk"),
        a_start(CHILD, 2000, "c" * 16, "billing", PARENT),
        a_tool(CHILD, 2, "c" * 16),
    )
    for order in permutations(events):
        runs = folded(*order)
        assert {run_id: run.agent_name for run_id, run in runs.items()} == {
            PARENT: "desk",
            CHILD: "billing",
        }
        assert runs[CHILD].parent_run_id == PARENT
        assert runs[CHILD].status == "running"
        assert list(runs[PARENT].child_run_ids) == [CHILD]
        assert not runs[PARENT].ended_at_ns


def test_a_live_child_is_below_its_parent_when_both_have_steps() -> None:
    runs = folded(
        a_start(PARENT, 1000, "1" * 16, "desk"),
        a_tool(PARENT, 2, "1" * 16),
        a_start(CHILD, 2000, "c" * 16, "billing", PARENT),
        a_tool(CHILD, 3, "c" * 16),
        a_tool(CHILD, 4, "c" * 16),
    )
    assert runs[CHILD].parent_run_id == PARENT
    assert runs[PARENT].parent_run_id == ""
    assert runs[PARENT].own.tool_calls == 1
    assert runs[PARENT].total.tool_calls == 3
