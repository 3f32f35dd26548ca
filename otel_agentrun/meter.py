"""What a run has used so far, counted from the ends of its spans.

The application's own reading, for its eyes and for limits; the collector counts again, from
everything.  Money is nano-USD.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

from otel_agentrun.step import COUNTED, Kind, Status, Step

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


class Meter:
    """Totals of one run.  Threads may share one; what a child run uses is added to its parents'."""

    __slots__ = ("_lock", "_own", "_parent", "_seen", "_total")

    def __init__(self, parent: Meter | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._own = Totals()
        self._total = Totals()
        self._seen: set[str] = set()

    def own(self) -> Totals:
        """Of the run itself."""
        with self._lock:
            return replace(self._own)

    def total(self) -> Totals:
        """Of the run and its descendants."""
        with self._lock:
            return replace(self._total)

    def count(self, step: Step, cost_nano_usd: int | None) -> None:
        """Count a step that ended; `None` is a cost that is not known."""
        if step.kind not in COUNTED or not self._is_new(step):
            return
        self._each(_Counted(step, cost_nano_usd))

    def pay(self, amount_nano_usd: int, *, is_revenue: bool = False) -> None:
        """Count a payment that is not part of a step."""
        self._each(_Paid(amount_nano_usd, is_revenue))

    def _is_new(self, step: Step) -> bool:
        """Whether no span before described the same call, by the provider's response id."""
        if step.kind is not Kind.MODEL or not step.response_id:
            return True
        with self._lock:
            if step.response_id in self._seen:
                return False
            if len(self._seen) < REMEMBERED_MAX:
                self._seen.add(step.response_id)
        return True

    def _each(self, entry: _Counted | _Paid) -> None:
        with self._lock:
            entry.add_to(self._own)
        meter: Meter | None = self
        while meter is not None:
            with meter._lock:
                entry.add_to(meter._total)
            meter = meter._parent


@dataclass(frozen=True, slots=True)
class _Paid:
    amount_nano_usd: int
    is_revenue: bool

    def add_to(self, totals: Totals) -> None:
        if self.is_revenue:
            totals.revenue_nano_usd += self.amount_nano_usd
        else:
            totals.cost_nano_usd += self.amount_nano_usd


@dataclass(frozen=True, slots=True)
class _Counted:
    step: Step
    cost_nano_usd: int | None

    def add_to(self, totals: Totals) -> None:
        step = self.step
        kind = step.kind
        totals.steps += 1
        totals.retries += step.attempt > 1
        totals.cost_nano_usd += (self.cost_nano_usd or 0) + step.payment_nano_usd
        totals.revenue_nano_usd += step.revenue_nano_usd
        if kind is Kind.MODEL:
            totals.model_calls += 1
            totals.model_errors += step.failed
            totals.unpriced_calls += self.cost_nano_usd is None and step.status is Status.SUCCESS
            usage = step.usage
            if usage is not None:
                totals.input_tokens += usage.input_tokens or 0
                totals.output_tokens += usage.output_tokens or 0
                totals.cache_read_tokens += usage.cache_read_tokens or 0
                totals.cache_write_tokens += usage.cache_write_tokens or 0
                totals.reasoning_tokens += usage.reasoning_tokens or 0
        elif kind is Kind.TOOL:
            totals.tool_calls += 1
            totals.tool_errors += step.failed
        elif kind is Kind.RETRIEVE:
            totals.retrievals += 1
