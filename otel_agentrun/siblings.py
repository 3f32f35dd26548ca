"""Whether two spans beside each other describe one model call.

Two instrumentations of one client may each open a span without knowing of the other's.
"""

from __future__ import annotations

from typing import Final

from otel_agentrun.step import Step

__all__ = ["same_call", "sibling_key"]


NOT_ANSWERED: Final = -1
"""In the place of counts of a call that failed."""


def same_call(one: Step, other: Step) -> bool:
    """Whether two siblings (same parent, model and counts) describe one call.

    Parallel calls often fail together and have no ids: there, one span must lie within the other,
    as the error passes the inner one first.
    """
    if one.scope == other.scope:
        return False
    if one.response_id and other.response_id and one.response_id != other.response_id:
        return False
    if one.failed and other.failed:
        first, last = sorted((one, other), key=lambda step: (step.start_ns, -step.end_ns))
        return last.end_ns <= first.end_ns
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def sibling_key(step: Step) -> tuple[str, str, str, int, int] | None:
    """What siblings must share to be one call; `None` when there is nothing to compare."""
    usage = step.usage
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        if not step.failed:
            return None
        unknown = NOT_ANSWERED
        return (step.trace_id, step.parent_span_id, step.model, unknown, unknown)
    return (
        step.trace_id,
        step.parent_span_id,
        step.model,
        usage.input_tokens,
        usage.output_tokens,
    )
