"""Notes: what log records add to the step of their span (tool requests, finish reasons).

Several instrumentations say in log records what a model answered, before or after they send the
call's span.  The records themselves are stored as logs; the fold keeps of them an event with
nothing but the fields, so that a step is the same whatever came first, however often.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from collector.runs.events import NOTES, make_event
from otel_agentrun.dialects.kinds import MODEL
from otel_agentrun.step import Event, Step, ToolRequest

REQUESTS: Final = "tool_requests"
REASONS: Final = "finish_reasons"


def note(event: Event, fields: Mapping[str, Any]) -> Event | None:
    """The event that the fold keeps of a log record; `None` when it adds nothing to a step."""
    if not fields or not event.trace_id or not event.span_id:
        return None
    kept: dict[str, str] = {}
    if REQUESTS in fields:
        kept[REQUESTS] = json.dumps(
            [(one.name, one.call_id, one.arguments_digest) for one in fields[REQUESTS]]
        )
    if REASONS in fields:
        kept[REASONS] = json.dumps(fields[REASONS])
    return make_event(
        event.name,
        event.at_ns,
        trace_id=event.trace_id,
        span_id=event.span_id,
        attributes={**kept, "span_id": event.span_id},
    )


def is_note(event: Event) -> bool:
    return event.name in NOTES


def noted(step: Step, notes: Iterable[Event]) -> Step:
    """The step with what the notes of its span say in place of its own, unless that is more.

    A function of the step and the set of notes: what they said once, they say again, and more
    notes never make it less.
    """
    if step.kind is not MODEL:
        return step
    requests: dict[object, ToolRequest] = {}
    reasons: list[str] = []
    for each in sorted(notes, key=lambda event: (event.at_ns, event.event_id)):
        said = each.attributes
        for index, one in enumerate(json.loads(said.get(REQUESTS, "[]"))):
            name, call_id, digest = one
            requests.setdefault(
                call_id or (each.event_id, index),
                ToolRequest(name=name, call_id=call_id, arguments_digest=digest),
            )
        reasons += json.loads(said.get(REASONS, "[]"))
    changes: dict[str, Any] = {}
    asked = tuple(requests.values())
    if len(asked) >= len(step.tool_requests) and asked != step.tool_requests:
        changes[REQUESTS] = asked
    if reasons and tuple(reasons) != step.finish_reasons:
        changes[REASONS] = tuple(reasons)
    return replace(step, **changes) if changes else step
