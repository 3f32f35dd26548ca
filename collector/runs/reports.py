"""Reports of steps that have ended (`agentrun.run.step`): what is known of a step before its span.

A report says what its span will, without content: the fold takes it for the step until the span
comes, and keeps of it what the span cannot say as well: digests of arguments and results, which the
application made before anything was redacted or cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from collector.runs.events import RUN_STEP
from otel_agentrun import dialects, semconv
from otel_agentrun.step import Event, SpanView, Status, Step

SCOPE: Final = "otel_agentrun"
REPORTED: Final = 0
"""`version` of a step that no span has told of yet; those of spans are greater."""
STATUS_CODES: Final = {Status.ERROR.value: "Error", Status.TIMEOUT.value: "Error"}


def is_report(event: Event) -> bool:
    """Whether it tells of a step that has ended."""
    return (
        event.name == RUN_STEP
        and event.attributes.get(semconv.STEP_PHASE) == "ended"
        and event.trace_id != ""
        and event.span_id != ""
    )


def reported(event: Event) -> Step:
    """The step that a report tells of, read like a span of the same attributes."""
    said = event.attributes
    view = SpanView(
        trace_id=event.trace_id,
        span_id=event.span_id,
        parent_span_id=said.get(semconv.STEP_PARENT_SPAN_ID, ""),
        name=said.get(semconv.STEP_NAME, ""),
        scope=SCOPE,
        start_ns=_integer(said.get(semconv.STEP_START_UNIX_NS, ""), event.at_ns),
        end_ns=_integer(said.get(semconv.STEP_END_UNIX_NS, ""), event.at_ns),
        status_code=STATUS_CODES.get(said.get(semconv.STEP_STATUS, ""), "Unset"),
        attributes=said,
        version=REPORTED,
    )
    return replace(dialects.step(view), dialect="")


def with_report(step: Step, report: Step) -> Step:
    """The step of a span with what its report knows better."""
    arguments = report.arguments_digest or step.arguments_digest
    result = report.result_digest or step.result_digest
    if arguments == step.arguments_digest and result == step.result_digest:
        return step
    return replace(step, arguments_digest=arguments, result_digest=result)


def _integer(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 20 else otherwise
