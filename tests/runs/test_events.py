"""Events belong to a run, whenever it turns out to which."""

from __future__ import annotations

from collector.runs.events import EVALUATION, make_event
from collector.runs.group import TraceGroup
from otel_agentrun.step import Event
from tests.runs.builders import BASE_NS, MS, TRACE, agent, model


def evaluation(span_id: str) -> Event:
    return make_event(
        EVALUATION,
        BASE_NS + MS,
        trace_id=TRACE,
        span_id=span_id,
        attributes={"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": "1"},
    )


def test_an_event_is_written_again_when_it_turns_out_whose_it_is() -> None:
    """Logs may be exported before the spans: without this the run shows no event of them."""
    group = TraceGroup()
    step = model(1)
    event = evaluation(step.span_id)
    group.add_event(event)
    [(_, run_id, _)] = group.changes().events
    assert run_id == ""

    group.add(step)
    group.add(agent(0))

    [(again, run_id, group_id)] = group.changes().events
    assert (again, run_id, group_id) == (event, TRACE, TRACE)
    assert group.changes().events == ()
