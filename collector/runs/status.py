"""How a run stands, and why: from what happened in it, not only from the status of its root."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collector.runs.bucket import Bucket
from collector.runs.events import EventFacts
from collector.runs.identity import Assembly, descend
from otel_agentrun import semconv
from otel_agentrun.step import Kind, Role, Status, Step
from otel_agentrun.stops import STATUS_OF_STOP

MODE_OF_STOP: Final = {
    **dict.fromkeys(
        ("budget_cost", "budget_tokens", "budget_steps", "budget_calls", "budget_time"), "budget"
    ),
    "loop_detected": "loop",
    "policy": "policy",
    "rejected": "policy",
    "approval_expired": "policy",
    "tool_failure": "tool_error",
    "model_error": "model_error",
    "input_invalid": "input_validation",
}
STOP_OF_MODE: Final = {
    "tool_error": "tool_failure",
    "model_error": "model_error",
    "input_validation": "input_invalid",
}
MODE_OF_KIND: Final = {
    Kind.MODEL: "model_error",
    Kind.TOOL: "tool_error",
    Kind.RETRIEVE: "tool_error",
    Kind.VALIDATE: "input_validation",
    Kind.PLAN: "agent_error",
}
ITERATION_LIMITS: Final = (
    "GraphRecursionError", "MaxTurnsExceeded", "Max turns exceeded", "MaxIterations",
    "max_iterations", "AgentMaxStepsError", "request_limit",
)  # fmt: skip
"""Explicit evidence that a framework's own limit ended the run: parts of an error's type or text
(LangGraph, OpenAI Agents, LangChain, smolagents, pydantic-ai)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    status: str
    stop_reason: str = ""
    outcome: str = ""
    failure_mode: str = ""
    error: Step | None = None
    """The step at fault."""
    error_type: str = ""
    error_message: str = ""
    root_missing: bool = False


def conclude(run: Assembly, buckets: Iterable[Bucket], facts: EventFacts) -> Conclusion:
    """Status, stop reason, outcome, failure mode and the step at fault."""
    buckets = list(buckets)
    stated = stop_stated(run, facts)
    root = run.root
    if root is None and facts.ended is None and facts.closed is None:
        if facts.paused:
            return Conclusion(status="paused")
        nothing_yet = not any(bucket.nodes for bucket in buckets)
        return Conclusion(status="initiated" if nothing_yet else "running")
    failing = failing_agent(run)
    fault = unrecovered(buckets)
    missing = root is None and facts.ended is None
    if stated:
        failed = STATUS_OF_STOP[stated] != "completed"
    elif missing:
        below = (bucket for each in descend(run) for bucket in each.buckets)
        failed = fault is not None or pending_calls(below)
    else:
        failed = failing is not None or (
            facts.ended is not None and facts.ended.attributes.get(semconv.ERROR_TYPE, "") != ""
        )
        failed = failed or (root is not None and fault is not None and is_last(fault, buckets))
    if not failed:
        return Conclusion(
            status="completed",
            stop_reason=stated or "completed",
            outcome=facts.outcome or ("process_failure" if facts.process_failure else "success"),
            root_missing=missing,
        )
    cancelled = failing is not None and failing.status is Status.CANCELLED
    if cancelled and fault is not None and fault.status is not Status.CANCELLED:
        # Nobody stopped what had failed already: Vercel's root says of both that nothing came.
        cancelled = not is_last(fault, buckets)
    return _failed(stated, failing, fault, facts, missing=missing, cancelled=cancelled)


def _failed(
    stated: str,
    failing: Step | None,
    fault: Step | None,
    facts: EventFacts,
    *,
    missing: bool,
    cancelled: bool,
) -> Conclusion:
    error = fault or failing
    mode = MODE_OF_KIND.get(error.kind, "agent_error") if error else "agent_error"
    stop = stated
    if not stop:
        if failing is not None and hit_iteration_limit(failing):
            stop, error, mode = "max_iterations", failing, "agent_error"
        elif cancelled:
            stop = "cancelled"
        else:
            stop = STOP_OF_MODE.get(mode, "error")
    mode = MODE_OF_STOP.get(stop, mode)
    if error is not None and error.status is Status.TIMEOUT and mode.endswith("_error"):
        mode = "timeout"
    ended = facts.ended.attributes if facts.ended else {}
    return Conclusion(
        status=STATUS_OF_STOP[stop],
        stop_reason=stop,
        outcome=facts.outcome or "failure",
        failure_mode=mode,
        error=error,
        error_type=(error.error_type if error else "") or ended.get(semconv.ERROR_TYPE, ""),
        # Some say only what kind of error it was (the Anthropic SDK): the agent's has the words.
        error_message=(error.error_message if error else "")
        or (failing.error_message if failing else "")
        or ended.get(semconv.ERROR_MESSAGE, ""),
        root_missing=missing,
    )


def stop_stated(run: Assembly, facts: EventFacts) -> str:
    """A stop reason given in so many words: by the end event, the root, or the closing event."""
    sources = [facts.ended.attributes.get(semconv.STOP_REASON, "")] if facts.ended else []
    sources += [step.labels.get("stop_reason", "") for step in own_roots(run)]
    if facts.closed is not None and run.root is None and facts.ended is None:
        sources.append(facts.closed.attributes.get(semconv.STOP_REASON, ""))
    return next((stop for stop in sources if stop in STATUS_OF_STOP), "")


def own_roots(run: Assembly) -> list[Step]:
    return ([run.root] if run.root else []) + [s for s in run.adopted if s is not run.root]


def failing_agent(run: Assembly) -> Step | None:
    """The agent span that failed.  A workflow wrapper may claim OK although its agent raised."""
    root = run.root
    if root is None:
        return next((step for step in run.adopted if step.status is not Status.SUCCESS), None)
    if root.status not in (Status.SUCCESS, Status.SKIPPED):
        return root
    if root.role is Role.WORKFLOW:
        return next((step for step in run.adopted if step.status is not Status.SUCCESS), None)
    return None


def unrecovered(buckets: Iterable[Bucket]) -> Step | None:
    """The last failed call that no later attempt of the same call made good."""
    found: Step | None = None
    for bucket in buckets:
        for attempts in bucket.attempts.values():
            if attempts.failures and attempts.entries[-1][2]:
                step = attempts.entries[-1][3].step
                if found is None or step.key > found.key:
                    found = step
    return found


def is_last(fault: Step, buckets: Iterable[Bucket]) -> bool:
    """Whether nothing counted went on after a failed call: its run ended there, though the root
    claims success or says nothing (AgentOps marks neither sessions nor agents)."""
    return fault.kind in (Kind.MODEL, Kind.TOOL) and all(
        not bucket.busy or bucket.busy[-1][1] <= fault.end_ns for bucket in buckets
    )


def pending_calls(buckets: Iterable[Bucket]) -> bool:
    """Whether the last model call asked for tools that never ran.

    A call with the asked id ran, whenever it says so: some emitters tell of a model call after the
    tool it asked for (AutoGen).  Without an id, what starts later counts.
    """
    buckets = list(buckets)
    last = max((b.last_model for b in buckets if b.last_model), key=lambda s: s.key, default=None)
    if last is None or not last.tool_requests:
        return False
    tools = [n.step for b in buckets for n in b.nodes if n.step.kind is Kind.TOOL]
    ids = {step.tool_call_id for step in tools if step.tool_call_id}
    open_ = [one for one in last.tool_requests if one.call_id not in ids]
    asked = {one.call_id for one in last.tool_requests if one.call_id}
    ran = sum(step.key > last.key and step.tool_call_id not in asked for step in tools)
    return ran < len(open_)


def hit_iteration_limit(step: Step) -> bool:
    text = f"{step.error_type} {step.error_message}"
    return any(sign in text for sign in ITERATION_LIMITS)
