"""What is told of a run and its steps while they happen: start, steps, end.  Never content."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import StatusCode

from otel_agentrun import arguments, dialects, semconv
from otel_agentrun.current import RunScope
from otel_agentrun.emitter import Emitter, usage
from otel_agentrun.span_view import raw, view_of
from otel_agentrun.step import Kind, Status, Step

NANO: Final = 1_000_000_000
DIGESTS: Final = (
    (semconv.TOOL_ARGUMENTS_HASH, semconv.GEN_AI_TOOL_CALL_ARGUMENTS, arguments.digest),
    (semconv.TOOL_RESULT_HASH, semconv.GEN_AI_TOOL_CALL_RESULT, arguments.result_digest),
)

OPERATIONS: Final = {
    Kind.PLAN: "plan",
    Kind.MODEL: "chat",
    Kind.TOOL: "execute_tool",
    Kind.RETRIEVE: "retrieval",
}
BEGINNING: Final = (
    semconv.STEP_KIND,
    semconv.STEP_ROLE,
    semconv.STEP_BRANCH,
    semconv.OPERATION,
    semconv.GEN_AI_AGENT_NAME,
    semconv.GEN_AI_WORKFLOW_NAME,
    semconv.GEN_AI_PROVIDER_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_TOOL_NAME,
    semconv.GEN_AI_TOOL_CALL_ID,
    semconv.GEN_AI_DATA_SOURCE_ID,
    semconv.PLAN_STEP_ID,
    semconv.RETRY_ATTEMPT,
    semconv.RETRY_REASON,
    semconv.RUN_TRIGGER,
    semconv.RUN_EXECUTION,
    semconv.TASK_TYPE,
    semconv.AGENT_TYPE,
)
"""What is told of a step that begins, where its span says it."""
OF_STEP: Final = frozenset(
    {
        *BEGINNING,
        semconv.STEP_ID,
        semconv.STEP_STATUS,
        semconv.ERROR_TYPE,
        semconv.GEN_AI_RESPONSE_ID,
        semconv.GEN_AI_RESPONSE_FINISH_REASONS,
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
        semconv.TOOL_ARGUMENTS_HASH,
        semconv.TOOL_RESULT_HASH,
        semconv.RETRIEVAL_HIT_COUNT,
        semconv.HANDOFF_TO,
        semconv.COST_USD,
        semconv.PAYMENT_USD,
        semconv.REVENUE_USD,
    }
)
"""What is told of a step of ours that ended, where its span says it."""


def started(emitter: Emitter, span: Span, scope: RunScope, *, is_root: bool) -> None:
    """Tell that a run, or a step of ours, began."""
    at, start_ns = span.get_span_context(), span.start_time or 0
    if is_root:
        beginning = {**scope.stamps, **_beginning(span)}
        beginning[semconv.HEARTBEAT_INTERVAL_SECS] = float(emitter.heartbeat_secs)
        emitter.watch(scope, at)
        emitter.emit(semconv.RUN_STARTED_EVENT, at, beginning, at_ns=start_ns)
    else:
        build = partial(_start_of_step, span, scope)
        emitter.emit(semconv.RUN_STEP_EVENT, at, build, at_ns=start_ns, begins=True)


def run_ended(emitter: Emitter, span: ReadableSpan, scope: RunScope) -> None:
    """Tell that a run, whose own span this is, is over."""
    assert span.context is not None
    emitter.unwatch(scope)
    attributes = _end_of_run(span, scope)
    emitter.emit(semconv.RUN_ENDED_EVENT, span.context, attributes, at_ns=span.end_time or 0)


def step_ended(emitter: Emitter, span: ReadableSpan, scope: RunScope, step: Step | None) -> None:
    """Tell that a step, of whatever emitter, is over; `step` where the span was read already."""
    assert span.context is not None
    build = partial(_end_of_step, span, scope, step)
    emitter.emit(semconv.RUN_STEP_EVENT, span.context, build, at_ns=span.end_time or 0)


def _beginning(span: Span) -> dict[str, Any]:
    said = raw(span)
    told = {name: said.get(name) for name in (*BEGINNING, semconv.STEP_ID)}
    return {name: fact for name, fact in told.items() if fact is not None}


def _start_of_step(span: Span, scope: RunScope) -> dict[str, Any]:
    # Of the run only its ids: what else it is, its own start says.
    attributes = {**scope.ids, **_beginning(span)}
    attributes[semconv.STEP_PHASE] = "started"
    attributes[semconv.STEP_NAME] = span.name
    attributes[semconv.STEP_START_UNIX_NS] = span.start_time or 0
    if span.parent is not None:
        attributes[semconv.STEP_PARENT_SPAN_ID] = f"{span.parent.span_id:016x}"
    return attributes


def _end_of_run(span: ReadableSpan, scope: RunScope) -> dict[str, Any]:
    said = span.attributes or {}
    secs = ((span.end_time or 0) - (span.start_time or 0)) / NANO
    attributes: dict[str, Any] = {**scope.stamps, **usage(scope.meter.own(), secs)}
    for name in (semconv.STOP_REASON, semconv.RUN_STATUS, semconv.ERROR_TYPE):
        value = said.get(name)
        if value is not None:
            attributes[name] = value
    return attributes


def _end_of_step(span: ReadableSpan, scope: RunScope, step: Step | None) -> dict[str, Any]:
    said = raw(span)
    attributes: dict[str, Any] = scope.ids
    attributes[semconv.STEP_PHASE] = "ended"
    attributes[semconv.STEP_NAME] = span.name
    attributes[semconv.STEP_START_UNIX_NS] = span.start_time or 0
    attributes[semconv.STEP_END_UNIX_NS] = span.end_time or 0
    if span.parent is not None:
        attributes[semconv.STEP_PARENT_SPAN_ID] = f"{span.parent.span_id:016x}"
    if semconv.STEP_KIND in said:
        _say_of_ours(attributes, span, said)
    else:
        if step is None:
            step = dialects.step(view_of(span, said))
        facts = _of_others(said, step)
        attributes.update((name, fact) for name, fact in facts.items() if fact)
        if step.cost_nano_usd is not None:
            attributes[semconv.COST_USD] = step.cost_nano_usd / NANO
    return attributes


def _say_of_ours(attributes: dict[str, Any], span: ReadableSpan, said: Mapping[str, Any]) -> None:
    """A span of ours says it in the very attributes; what is zero or empty says nothing,
    but that a call was free."""
    attributes.update(
        (name, fact)
        for name, fact in said.items()
        if name in OF_STEP and (fact or name == semconv.COST_USD)
    )
    if semconv.STEP_STATUS not in attributes:
        failed = span.status.status_code is StatusCode.ERROR
        attributes[semconv.STEP_STATUS] = str(Status.ERROR if failed else Status.SUCCESS)
    for name, content, digest in DIGESTS:
        if content in said and name not in attributes and (found := digest(said[content])):
            attributes[name] = found


def _of_others(said: Mapping[str, Any], step: Step) -> dict[str, Any]:
    usage_ = step.usage
    return {
        semconv.STEP_ID: said.get(semconv.STEP_ID),
        semconv.STEP_BRANCH: said.get(semconv.STEP_BRANCH),
        semconv.PLAN_STEP_ID: said.get(semconv.PLAN_STEP_ID),
        semconv.STEP_KIND: str(step.kind),
        semconv.STEP_STATUS: str(step.status),
        semconv.OPERATION: said.get(semconv.OPERATION) or OPERATIONS.get(step.kind),
        semconv.ERROR_TYPE: step.error_type,
        semconv.GEN_AI_AGENT_NAME: step.agent_name,
        semconv.GEN_AI_PROVIDER_NAME: step.provider,
        semconv.GEN_AI_REQUEST_MODEL: step.model,
        semconv.GEN_AI_RESPONSE_ID: step.response_id,
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: step.finish_reasons,
        semconv.GEN_AI_USAGE_INPUT_TOKENS: usage_ and usage_.input_tokens,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage_ and usage_.output_tokens,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage_ and usage_.cache_read_tokens,
        semconv.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: usage_ and usage_.cache_write_tokens,
        semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage_ and usage_.reasoning_tokens,
        semconv.GEN_AI_TOOL_NAME: step.tool_name,
        semconv.GEN_AI_TOOL_CALL_ID: step.tool_call_id,
        semconv.TOOL_ARGUMENTS_HASH: step.arguments_digest,
        semconv.TOOL_RESULT_HASH: step.result_digest,
        semconv.RETRIEVAL_HIT_COUNT: step.hit_count,
        semconv.RETRY_ATTEMPT: step.attempt,
        semconv.RETRY_REASON: step.retry_reason,
        semconv.HANDOFF_TO: step.handoff_to,
        semconv.PAYMENT_USD: step.payment_nano_usd / NANO,
        semconv.REVENUE_USD: step.revenue_nano_usd / NANO,
    }
