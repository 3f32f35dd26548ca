"""One step as rules see it: the step, what it cost, and what is known of its arguments."""

from __future__ import annotations

from collections.abc import Mapping

from otel_agentrun.step import Step

__all__ = ["Seen"]


class Seen:
    """Made once per step and never changed, but for `cost_so_far`, which the watch fills in."""

    __slots__ = (
        "arguments", "cost_nano_usd", "cost_so_far", "key", "requested", "sketch", "step",
    )  # fmt: skip

    def __init__(
        self,
        step: Step,
        cost_nano_usd: int | None = None,
        arguments: Mapping[str, object] | None = None,
        requested: Mapping[str, Mapping[str, object]] | None = None,
        sketch: str = "",
    ) -> None:
        """`arguments` of a tool call, and `requested` (arguments by call id) of a model call, where
        they are at hand: a `Step` has only digest and sketch.  `sketch` is of the real arguments,
        where the step's is of redacted ones."""
        self.step = step
        self.key = (step.start_ns, step.span_id)
        self.cost_nano_usd = cost_nano_usd
        self.cost_so_far = 0
        self.sketch = sketch or step.arguments_sketch
        self.arguments = arguments
        self.requested = requested
