"""Runs as documents: rows of runs and steps, with content read from the raw spans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from collector.runs.approvals import Approval, pending
from collector.runs.document import (
    Document,
    event_document,
    responds,
    run_document,
    step_document,
)
from collector.runs.explain import explained
from collector.runs.heard import is_telling
from collector.runs.notes import is_note
from collector.runs.run import PlacedStep, Run
from collector.store.reader import Reader
from otel_agentrun import dialects
from otel_agentrun.dialects import Content
from otel_agentrun.step import Event, Role, SpanView

MINUTE_NS: Final = 60_000_000_000
Key = tuple[str, str]
"""(trace id, span id)."""


def run_documents(reader: Reader, runs: Sequence[Run]) -> list[Document]:
    """Documents of these runs, their input and output read in one go."""
    spans, logs = _content_spans(reader, runs)
    waiting = _waiting(reader, runs)
    return [
        run_document(run, *_input_output(run, spans, logs), waiting.get(run.run_id, ()))
        for run in runs
    ]


def _waiting(reader: Reader, runs: Sequence[Run]) -> dict[str, list[Approval]]:
    """Run id -> what it waits for; a run that has ended waits for nothing."""
    asked: dict[str, list[Event]] = defaultdict(list)
    going_on = [run for run in runs if run.ended_at_ns == 0]
    for event, run_id in reader.approval_events(going_on) if going_on else ():
        asked[run_id].append(event)
    return {run_id: pending(events) for run_id, events in asked.items()}


def shown(reader: Reader, run_id: str, workspace: str = "") -> Document | None:
    """`{run, steps, events}`; an old id resolves to the run that took its steps."""
    run = reader.run(run_id, workspace)
    if run is None:
        return None
    placed = reader.steps([run])
    spans: dict[Key, SpanView] = {}
    logs: dict[Key, list[Event]] = {}
    if placed:
        since = min(entry.step.start_ns for entry in placed)
        until = max(entry.step.start_ns for entry in placed) + 1
        spans = _by_key(reader.spans(run.trace_ids, since_ns=since, until_ns=until))
        logs = _by_span(reader.logs(run.trace_ids, since_ns=since - MINUTE_NS))
    told = _told(placed, spans, logs)
    steps = []
    for rank, entry in enumerate(placed, 1):
        key = (entry.step.trace_id, entry.step.span_id)
        view = spans.get(key)
        content = dialects.content(view, logs.get(key, ())) if view else told.get(key)
        document = step_document(entry, view, content, rank)
        if responds(run, entry.step):
            document["role"] = Role.RESPONSE.value
        steps.append(document)
    return {
        # What it was asked and answered may stand in spans of a child run.
        "run": run_documents(reader, [run])[0],
        "steps": steps,
        "events": [event_document(*pair) for pair in reader.events([run]) if _is_shown(pair[0])],
    }


def _is_shown(event: Event) -> bool:
    """What log records say of steps is on the steps."""
    return not is_note(event) and not is_telling(event)


def explained_run(reader: Reader, run_id: str, workspace: str = "") -> Document | None:
    """How the run's spans were read and counted; an old id resolves as in `shown`."""
    run = reader.run(run_id, workspace)
    if run is None:
        return None
    placed = reader.steps([run])
    spans: dict[Key, SpanView] = {}
    if placed:
        starts = [entry.step.start_ns for entry in placed]
        found = reader.spans(run.trace_ids, since_ns=min(starts), until_ns=max(starts) + 1)
        spans = _by_key(found)
    return explained(run, placed, spans)


def _told(
    placed: Sequence[PlacedStep], spans: dict[Key, SpanView], logs: dict[Key, list[Event]]
) -> dict[Key, Content]:
    """Content of steps that have no span of their own, from the spans that tell of them and from
    those spans' log records."""
    if all((entry.step.trace_id, entry.step.span_id) in spans for entry in placed):
        return {}
    return {
        (key[0], span_id): content
        for key, view in spans.items()
        for span_id, content in dialects.told_content(view, logs.get(key, ())).items()
    }


def _content_spans(
    reader: Reader, runs: Sequence[Run]
) -> tuple[dict[Key, SpanView], dict[Key, list[Event]]]:
    """The spans that hold these runs' input and output, and the log records of those spans."""
    keys = {key for run in runs for key in _content_keys(run)}
    if not keys:
        return {}, {}
    trace_ids = {trace_id for trace_id, _ in keys}
    span_ids = {span_id for _, span_id in keys}
    since = min(run.started_at_ns for run in runs) - MINUTE_NS
    spans = reader.spans(trace_ids, span_ids, since_ns=since)
    logs = reader.logs(trace_ids, span_ids, since_ns=since)
    return _by_key(spans), _by_span(logs)


def _content_keys(run: Run) -> Iterable[Key]:
    if run.root_span_id:
        yield from ((trace_id, run.root_span_id) for trace_id in run.trace_ids)
    for key in (run.input_span, run.output_span):
        if key[1]:
            yield key


def _by_key(views: Iterable[SpanView]) -> dict[Key, SpanView]:
    return {(view.trace_id, view.span_id): view for view in views}


def _by_span(events: Iterable[Event]) -> dict[Key, list[Event]]:
    found: dict[Key, list[Event]] = defaultdict(list)
    for event in events:
        found[event.trace_id, event.span_id].append(event)
    return found


def _input_output(
    run: Run, spans: dict[Key, SpanView], logs: dict[Key, list[Event]]
) -> tuple[str | None, str | None]:
    """What the root says of itself, else what the first and the last model call show."""

    def read(key: Key) -> dialects.Content | None:
        view = spans.get(key)
        return dialects.content(view, logs.get(key, ())) if view else None

    roots = (read((trace_id, run.root_span_id)) for trace_id in run.trace_ids)
    root = next((content for content in roots if content), None)
    input_ = root.input if root else None
    output = root.output if root else None
    if not input_ and (content := read(run.input_span)):
        input_ = dialects.task(content)
    if not output and (content := read(run.output_span)):
        output = dialects.answer(content) or content.output
    return input_ or None, output or None
