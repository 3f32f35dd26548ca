"""Whether two spans beside each other describe one model call.

Two instrumentations of one client may each open a span without knowing of the other's.
"""

from __future__ import annotations

from otel_agentrun.step import Step

__all__ = ["same_call", "sibling_key"]


def same_call(one: Step, other: Step) -> bool:
    """Whether two siblings (same parent, model and counts) describe one call."""
    if one.scope == other.scope:
        return False
    if one.response_id and other.response_id and one.response_id != other.response_id:
        return False
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def sibling_key(step: Step) -> tuple[str, str, str, int, int] | None:
    """What siblings must share to be one call; `None` when there is nothing to compare."""
    usage = step.usage
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return (
        step.trace_id,
        step.parent_span_id,
        step.model,
        usage.input_tokens,
        usage.output_tokens,
    )
