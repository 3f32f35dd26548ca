"""What is counted of approvals, webhooks and the decision ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["DecisionMetrics", "Decisions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Asked at each scrape."""

    approvals: Callable[[], Mapping[str, int]]
    """By state."""
    webhooks: Callable[[], Mapping[str, int]]
    """By outcome."""
    ledger_entries: Callable[[], int]


class DecisionMetrics(Collector):
    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    def collect(self) -> Iterator[Metric]:
        approvals = GaugeMetricFamily(
            "agentrun_approvals",
            "Approvals of the time that is remembered, by state.",
            labels=["state"],
        )
        for state, number in self._decisions.approvals().items():
            approvals.add_metric([state], number)
        yield approvals
        deliveries = CounterMetricFamily(
            "agentrun_webhook_deliveries",
            "Notices to webhooks: delivered, failed (attempts that are tried again), given_up, "
            "dropped, not_matched.",
            labels=["outcome"],
        )
        for outcome, number in self._decisions.webhooks().items():
            deliveries.add_metric([outcome], number)
        yield deliveries
        yield CounterMetricFamily(
            "agentrun_ledger_entries",
            "Entries that this process has written to the decision ledger.",
            value=self._decisions.ledger_entries(),
        )

    def describe(self) -> list[Metric]:
        """Empty: registering must not scrape."""
        return []
