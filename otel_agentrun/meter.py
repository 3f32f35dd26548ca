"""What a run has used so far, counted from the ends of its spans.

The application's own reading, for its eyes and for limits; the collector counts again, from
everything.  Money is nano-USD.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields, replace
from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.step import COUNTED, Kind, Usage

REMEMBERED_MAX: Final = 4096
"""Response ids of a run that are remembered, to count a call once."""
NANO: Final = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class Totals:
    """Counts of one run, or of one run with its descendants.  A snapshot once it is handed out."""

    steps: int = 0
    model_calls: int = 0
    model_errors: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    retrievals: int = 0
    retries: int = 0
    plan_steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0
    """Of what has a known price."""
    unpriced_calls: int = 0
    """Model calls whose price or usage is not known: they are not in the cost."""
    revenue_nano_usd: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float:
        return self.cost_nano_usd / NANO

    @property
    def cost_is_exact(self) -> bool:
        return self.unpriced_calls == 0

    @property
    def revenue_usd(self) -> float:
        return self.revenue_nano_usd / NANO


FIELDS: Final = tuple(each.name for each in fields(Totals))


class Meter:
    """Totals of one run.  Threads may share one; what a child run uses is added to its parents'."""

    __slots__ = ("_below", "_lock", "_own", "_parent", "_seen")

    def __init__(self, parent: Meter | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._own = Totals()
        self._below = Totals()
        """Of its descendants."""
        self._seen: set[str] = set()

    def own(self) -> Totals:
        """Of the run itself."""
        with self._lock:
            return replace(self._own)

    def total(self) -> Totals:
        """Of the run and its descendants."""
        with self._lock:
            own, below = self._own, self._below
            return Totals(**{name: getattr(own, name) + getattr(below, name) for name in FIELDS})

    def used(self, name: str) -> int:
        """One field of `total`."""
        with self._lock:
            found: int = getattr(self._own, name) + getattr(self._below, name)
        return found

    def count(
        self,
        kind: Kind,
        *,
        cost_nano_usd: int | None = None,
        failed: bool = False,
        is_retry: bool = False,
        usage: Usage | None = None,
        response_id: str = "",
        revenue_nano_usd: int = 0,
    ) -> None:
        """Count a step that ended; a cost of `None` is not known.

        A model call with a response id that was counted already is not counted again.
        """
        if kind not in COUNTED or (response_id and not self._is_new(response_id)):
            return
        with self._lock:
            _add(self._own, kind, cost_nano_usd, failed, is_retry, usage, revenue_nano_usd)
        meter = self._parent
        while meter is not None:
            with meter._lock:
                _add(meter._below, kind, cost_nano_usd, failed, is_retry, usage, revenue_nano_usd)
            meter = meter._parent

    def pay(self, amount_nano_usd: int, *, is_revenue: bool = False) -> None:
        """Count a payment that is not part of a step."""
        cost, revenue = (0, amount_nano_usd) if is_revenue else (amount_nano_usd, 0)
        with self._lock:
            self._own.cost_nano_usd += cost
            self._own.revenue_nano_usd += revenue
        meter = self._parent
        while meter is not None:
            with meter._lock:
                meter._below.cost_nano_usd += cost
                meter._below.revenue_nano_usd += revenue
            meter = meter._parent

    def _is_new(self, response_id: str) -> bool:
        with self._lock:
            if response_id in self._seen:
                return False
            if len(self._seen) < REMEMBERED_MAX:
                self._seen.add(response_id)
        return True


def _add(
    totals: Totals,
    kind: Kind,
    cost_nano_usd: int | None,
    failed: bool,
    is_retry: bool,
    usage: Usage | None,
    revenue_nano_usd: int,
) -> None:
    totals.steps += 1
    totals.retries += is_retry
    totals.cost_nano_usd += cost_nano_usd or 0
    totals.revenue_nano_usd += revenue_nano_usd
    if kind is kinds.MODEL:
        totals.model_calls += 1
        totals.model_errors += failed
        totals.unpriced_calls += cost_nano_usd is None and not failed
        if usage is not None:
            totals.input_tokens += usage.input_tokens or 0
            totals.output_tokens += usage.output_tokens or 0
            totals.cache_read_tokens += usage.cache_read_tokens or 0
            totals.cache_write_tokens += usage.cache_write_tokens or 0
            totals.reasoning_tokens += usage.reasoning_tokens or 0
    elif kind is kinds.TOOL:
        totals.tool_calls += 1
        totals.tool_errors += failed
    elif kind is kinds.RETRIEVE:
        totals.retrievals += 1
    elif kind is kinds.PLAN:
        totals.plan_steps += 1
