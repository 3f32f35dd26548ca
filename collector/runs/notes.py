"""Notes: what log records add to the step of their span (tool requests, finish reasons, usage).

Several instrumentations say in log records what a model answered, before or after they send the
call's span.  The records themselves are stored as logs; the fold keeps of them an event with
nothing but the fields, so that a step is the same whatever came first, however often.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from collector.runs.events import NOTES, make_event
from otel_agentrun.dialects.kinds import MODEL
from otel_agentrun.dialects.messages import DETAILS
from otel_agentrun.step import Event, Step, ToolRequest, Usage

REQUESTS: Final = "tool_requests"
REASONS: Final = "finish_reasons"
USAGE: Final = "usage"


def note(event: Event, fields: Mapping[str, Any]) -> Event | None:
    """The event that the fold keeps of a log record; `None` when it adds nothing to a step.

    A record without an event name is kept as the convention's details of a call.
    """
    if not fields or not event.trace_id or not event.span_id:
        return None
    kept: dict[str, str] = {}
    if REQUESTS in fields:
        kept[REQUESTS] = json.dumps(
            [(one.name, one.call_id, one.arguments_digest) for one in fields[REQUESTS]]
        )
    if REASONS in fields:
        kept[REASONS] = json.dumps(fields[REASONS])
    if USAGE in fields:
        kept[USAGE] = json.dumps(
            {name: count for name, count in asdict(fields[USAGE]).items() if count is not None}
        )
    return make_event(
        event.name or DETAILS,
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
    counts: dict[str, int] = {}
    for each in sorted(notes, key=lambda event: (event.at_ns, event.event_id)):
        said = each.attributes
        for index, one in enumerate(json.loads(said.get(REQUESTS, "[]"))):
            name, call_id, digest = one
            requests.setdefault(
                call_id or (each.event_id, index),
                ToolRequest(name=name, call_id=call_id, arguments_digest=digest),
            )
        reasons += json.loads(said.get(REASONS, "[]"))
        for name, count in json.loads(said.get(USAGE, "{}")).items():
            counts[name] = max(count, counts.get(name, 0))
    changes: dict[str, Any] = {}
    asked = tuple(requests.values())
    if len(asked) >= len(step.tool_requests) and asked != step.tool_requests:
        changes[REQUESTS] = asked
    if reasons and tuple(reasons) != step.finish_reasons:
        changes[REASONS] = tuple(reasons)
    if counts:
        used = step.usage or Usage()
        # The greatest, as a step from the store may hold what later notes said.
        most = {name: max(count, getattr(used, name) or 0) for name, count in counts.items()}
        if any(getattr(used, name) != count for name, count in most.items()):
            changes[USAGE] = replace(used, **most)
    return replace(step, **changes) if changes else step
