"""`/metrics`: the counters of `collector.accounting` and a few gauges as Prometheus text.

Counters are plain objects that the pipeline owns; a scrape renders one snapshot of them, so that
the terms of promise 2 add up within every single scrape.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from collector.accounting import Accounting, Histogram, Snapshot, Terms
from collector.api.control_metrics import ControlMetrics
from collector.api.decision_metrics import DecisionMetrics, Decisions
from collector.clickhouse_http.stats import ReadStats
from collector.control.stats import ControlStats
from collector.forward.forwarding import Forwarding
from collector.receiver.stats import ReceiverStats

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

GAUGES: Final[Mapping[str, str]] = {
    "agentrun_journal_bytes": "Bytes of journal segments on disk.",
    "agentrun_journal_segments": "Journal segments on disk.",
    "agentrun_journal_bytes_max": "Size at which the journal refuses what comes in.",
    "agentrun_open_runs": "Runs that have not ended.",
    "agentrun_open_steps": "Steps held in memory for open and recently closed runs.",
    "agentrun_open_groups": "Trace groups held in memory.",
}
"""Metric -> help.  A collector gives a function for those it has."""

_TERMS: Final[Mapping[str, tuple[str, Callable[[Terms], int]]]] = {
    "agentrun_items_received": (
        "Items that arrived, refused ones included ({item}: span, log record, data point, event).",
        lambda terms: terms.received,
    ),
    "agentrun_items_recovered": (
        "Items read from the journal at start.",
        lambda terms: terms.recovered,
    ),
    "agentrun_items_stored": ("Items in the store.", lambda terms: terms.stored),
    "agentrun_items_deduplicated": (
        "Items that had arrived before, while their trace was open.",
        lambda terms: terms.deduplicated,
    ),
}


class Metrics:
    """A registry of its own: nothing global, so that several collectors fit in one test process."""

    def __init__(
        self,
        accounting: Accounting,
        *,
        gauges: Mapping[str, Callable[[], float]] | None = None,
        receiver: ReceiverStats | None = None,
        reads: ReadStats | None = None,
        forwarding: Forwarding | None = None,
        control: ControlStats | None = None,
        decisions: Decisions | None = None,
    ) -> None:
        """`gauges`: a function for each metric of `GAUGES` that this collector has."""
        gauges = gauges or {}
        unknown = sorted(set(gauges) - set(GAUGES))
        assert not unknown, f"gauges without a help text in GAUGES: {unknown}"
        self._registry = CollectorRegistry()
        self._registry.register(_Counters(accounting))
        self._registry.register(_Gauges(gauges))
        self._registry.register(_Threads())
        if receiver is not None:
            self._registry.register(_Requests(receiver))
        if reads is not None:
            self._registry.register(_Reads(reads))
        if forwarding is not None:
            self._registry.register(_Forwarded(forwarding))
        if control is not None:
            self._registry.register(ControlMetrics(control, _histogram))
        if decisions is not None:
            self._registry.register(DecisionMetrics(decisions))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Prometheus text format 0.0.4."""
        return generate_latest(self._registry)


class _Counters(Collector):
    def __init__(self, accounting: Accounting) -> None:
        self._accounting = accounting

    def collect(self) -> Iterator[Metric]:
        snapshot = self._accounting.snapshot()
        yield from _terms(snapshot)
        yield from _beside(snapshot)
        yield _histogram(
            "agentrun_store_flush_seconds", "Time one flush to the store took.", snapshot.flushes
        )
        yield _histogram(
            "agentrun_span_to_run_seconds",
            "From a request's arrival until the runs of its spans were in the store.",
            snapshot.lags,
        )

    def describe(self) -> list[Metric]:
        """Empty: registering must not scrape."""
        return []


class _Gauges(Collector):
    def __init__(self, gauges: Mapping[str, Callable[[], float]]) -> None:
        self._gauges = dict(gauges)

    def collect(self) -> Iterator[Metric]:
        for name, read in self._gauges.items():
            try:
                value = float(read())
            except Exception:  # one broken gauge must not cost the other metrics
                continue
            yield GaugeMetricFamily(name, GAUGES[name], value=value)

    def describe(self) -> list[Metric]:
        return []


class _Threads(Collector):
    """CPU of this process by stage: each stage is a thread with a name."""

    def collect(self) -> Iterator[Metric]:
        spent: dict[str, float] = {}
        for thread in threading.enumerate():
            if thread.ident is None:
                continue
            try:
                seconds = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            except (AttributeError, OSError):  # not on this platform, or it has just ended
                continue
            name = thread.name.rstrip("0123456789").rstrip("-_")
            spent[name] = spent.get(name, 0.0) + seconds
        family = CounterMetricFamily(
            "agentrun_thread_cpu_seconds",
            "CPU time of the living Python threads; the rest of the process is the engine's.",
            labels=["thread"],
        )
        for name, seconds in sorted(spent.items()):
            family.add_metric([name], seconds)
        yield family

    def describe(self) -> list[Metric]:
        return []


class _Forwarded(Collector):
    """What other OTLP backends got; nothing where none is configured."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding

    def collect(self) -> Iterator[Metric]:
        tallies = self._forwarding.tallies()
        if not tallies:
            return
        for name, text, label, counts in (
            ("agentrun_forwarded", "Items that a backend took.", "signal", "forwarded"),
            (
                "agentrun_forward_skipped",
                "Items that the match expression of a backend leaves out.",
                "signal",
                "skipped",
            ),
            (
                "agentrun_forward_dropped",
                "Items that a backend will never get, by reason.",
                "reason",
                "dropped",
            ),
            (
                "agentrun_forward_failures",
                "Requests that were not taken and are tried again, by reason.",
                "reason",
                "failures",
            ),
        ):
            family = CounterMetricFamily(name, text, labels=["backend", label])
            for backend, tally in tallies.items():
                for value, number in sorted(getattr(tally, counts).items()):
                    family.add_metric([backend, value], number)
            yield family
        for name, text, gauge in (
            ("agentrun_forward_pending_bytes", "Bytes on disk that wait.", "pending_bytes"),
            ("agentrun_forward_pending_items", "Items that wait.", "pending_items"),
            ("agentrun_forward_lag_seconds", "Age of the oldest item that waits.", "lag_secs"),
        ):
            waiting = GaugeMetricFamily(name, text, labels=["backend"])
            for backend, tally in tallies.items():
                waiting.add_metric([backend], getattr(tally, gauge))
            yield waiting

    def describe(self) -> list[Metric]:
        return []


class _Requests(Collector):
    """What the receivers count; written and read on the event loop's thread."""

    def __init__(self, stats: ReceiverStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        requests = CounterMetricFamily(
            "agentrun_receiver_requests",
            "Export requests by outcome: ok, partial, or the reason of the refusal.",
            labels=["transport", "signal", "encoding", "outcome"],
        )
        for key, number in sorted(stats.requests.items()):
            requests.add_metric(list(key), number)
        yield requests
        for name, text, sizes in (
            ("agentrun_receiver_wire_bytes", "Bytes of bodies as sent.", stats.wire_bytes),
            ("agentrun_receiver_body_bytes", "Bytes of bodies inflated.", stats.body_bytes),
        ):
            family = CounterMetricFamily(name, text, labels=["transport", "signal"])
            for (transport, signal), size in sorted(sizes.items()):
                family.add_metric([transport, signal], size)
            yield family
        unexpected = CounterMetricFamily(
            "agentrun_receiver_unexpected",
            "Requests that failed by a bug of the collector; the log has each class once.",
            labels=["exception"],
        )
        for exception, number in sorted(stats.unexpected.items()):
            unexpected.add_metric([exception], number)
        yield unexpected
        yield GaugeMetricFamily(
            "agentrun_receiver_in_flight", "Requests being served.", value=stats.in_flight
        )
        yield GaugeMetricFamily(
            "agentrun_receiver_in_flight_bytes",
            "Bytes of bodies held for them.",
            value=stats.in_flight_bytes,
        )

    def describe(self) -> list[Metric]:
        return []


class _Reads(Collector):
    def __init__(self, stats: ReadStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        queries = CounterMetricFamily(
            "agentrun_read_queries",
            "Queries of readers: ok, error (the engine failed it), refused, gone (client left).",
            labels=["outcome"],
        )
        for outcome, number in sorted(stats.queries.items()):
            queries.add_metric([outcome], number)
        yield queries
        failed = CounterMetricFamily(
            "agentrun_read_queries_failed",
            "Queries of readers without an answer, by the name of ClickHouse's error.",
            labels=["reason"],
        )
        for reason, number in sorted(stats.refused.items()):
            failed.add_metric([reason], number)
        yield failed
        yield _histogram(
            "agentrun_read_query_seconds", "Time queries of readers took.", stats.secs.copy()
        )
        yield GaugeMetricFamily(
            "agentrun_read_queries_running", "Queries of readers that run.", value=stats.running
        )
        yield GaugeMetricFamily(
            "agentrun_read_queries_waiting",
            "Queries of readers that wait for their turn.",
            value=stats.waiting,
        )

    def describe(self) -> list[Metric]:
        return []


def _terms(snapshot: Snapshot) -> Iterator[Metric]:
    for name, (text, term) in _TERMS.items():
        family = CounterMetricFamily(name, text, labels=["signal"])
        for signal, terms in snapshot.terms.items():
            family.add_metric([signal.value], term(terms))
        yield family
    refused = CounterMetricFamily(
        "agentrun_items_refused", "Items refused, by reason.", labels=["signal", "reason"]
    )
    dead = CounterMetricFamily(
        "agentrun_items_dead_lettered",
        "Acknowledged items that the store can never take, by reason.",
        labels=["signal", "reason"],
    )
    pending = GaugeMetricFamily(
        "agentrun_items_pending", "Items acknowledged and not yet in the store.", labels=["signal"]
    )
    for signal, terms in snapshot.terms.items():
        for family, reasons in ((refused, terms.refused), (dead, terms.dead_lettered)):
            for reason, items in sorted(reasons.items()):
                family.add_metric([signal.value, reason], items)
        pending.add_metric([signal.value], terms.pending)
    yield refused
    yield dead
    yield pending


def _beside(snapshot: Snapshot) -> Iterator[Metric]:
    for name, text, values in (
        ("agentrun_values_cut", "Values cut to the length limit.", snapshot.values_cut),
        ("agentrun_values_redacted", "Values with a redaction.", snapshot.values_redacted),
    ):
        family = CounterMetricFamily(name, text, labels=["signal"])
        for signal in snapshot.terms:
            family.add_metric([signal.value], values.get(signal, 0))
        yield family
    failures = CounterMetricFamily(
        "agentrun_store_flush_failures", "Flushes the store did not take.", labels=["reason"]
    )
    for reason, number in sorted(snapshot.flush_failures.items()):
        failures.add_metric([reason], number)
    yield failures
    yield CounterMetricFamily(
        "agentrun_held_seconds",
        "How long requests waited because the store had to catch up.",
        value=snapshot.held_secs,
    )
    strangers = CounterMetricFamily(
        "agentrun_unrecognized_spans",
        "Spans that look like an agent's and that no dialect reads; `agentrun doctor` says more.",
        labels=["scope"],
    )
    for scope, spans in sorted(snapshot.unrecognized.items()):
        strangers.add_metric([scope], spans)
    yield strangers
    findings = CounterMetricFamily(
        "agentrun_findings", "New findings of rules, by rule and kind.", labels=["rule", "kind"]
    )
    for (rule, kind), number in sorted(snapshot.findings.items()):
        findings.add_metric([rule, kind], number)
    yield findings
    errors = GaugeMetricFamily(
        "agentrun_last_error_timestamp_seconds",
        "When a component last failed; /readyz and the log say how.",
        labels=["component"],
    )
    for component, error in sorted(snapshot.last_errors.items()):
        errors.add_metric([component], error.at_ns / 1e9)
    yield errors


def _histogram(name: str, text: str, observed: Histogram) -> Metric:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*observed.bounds_secs, "+Inf"], observed.counts, strict=True):
        total += count
        buckets.append((str(bound), total))
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets=buckets, sum_value=observed.sum_secs)
    return family
