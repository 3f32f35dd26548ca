"""What control counts, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from collector.accounting import Histogram
from collector.control.stats import ControlStats

__all__ = ["ControlMetrics"]


class ControlMetrics(Collector):
    """`histogram` makes a family of one of our histograms."""

    def __init__(
        self, stats: ControlStats, histogram: Callable[[str, str, Histogram], Metric]
    ) -> None:
        self._stats = stats
        self._histogram = histogram

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        with stats.lock:
            streams, secs = stats.streams, stats.authorize_secs.copy()
            refused, dropped = dict(stats.refused), dict(stats.dropped)
            directives, authorized = dict(stats.directives), dict(stats.authorized)
        yield GaugeMetricFamily(
            "agentrun_control_streams", "Applications that are connected.", value=streams
        )
        for name, text, label, counts in (
            ("agentrun_control_refused", "Streams that were ended, by reason.", "reason", refused),
            (
                "agentrun_control_dropped",
                "Messages, findings and open runs that were let go, by reason.",
                "reason",
                dropped,
            ),
            ("agentrun_authorize", "Calls that were asked about.", "decision", authorized),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value, number in sorted(counts.items()):
                family.add_metric([value], number)
            yield family
        told = CounterMetricFamily(
            "agentrun_directives",
            "Directives that were requested, and answers to them.",
            labels=["action", "status"],
        )
        for (action, status), number in sorted(directives.items()):
            told.add_metric([action, status], number)
        yield told
        yield self._histogram(
            "agentrun_authorize_seconds", "Time one answer to `/v1/authorize` took.", secs
        )

    def describe(self) -> list[Metric]:
        """Empty: registering must not scrape."""
        return []
