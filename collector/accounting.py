"""Where every item went: the terms of promise 2, counted at every moment of a process's life.

    received + recovered = stored + refused + deduplicated + dead_lettered + pending

An item is a span, a log record, a metric data point or an event of our own.  Every transition moves
items between two terms under one lock, so that a reader never sees the two sides differ.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from collector.model import Signal
from otel_agentrun import semconv
from otel_agentrun.step import Event

REASONS_MAX: Final = 64
"""Distinct reasons per signal and term; further ones are counted as `other`, so that a reason taken
from input by mistake cannot grow memory or the number of time series."""

SCOPES_MAX: Final = 32
"""Distinct scopes of unrecognized spans: a sender chooses their names."""

FLUSH_BUCKETS_SECS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_BUCKETS_SECS: Final = (
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Terms:
    """The terms of one signal, in items."""

    received: int = 0
    """Arrived in this process's life, refused ones included."""
    recovered: int = 0
    """Read from the journal at start."""
    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    deduplicated: int = 0
    dead_lettered: Counter[str] = field(default_factory=Counter)
    """By reason."""
    pending: int = 0
    """Acknowledged and not yet in the store."""

    @property
    def imbalance(self) -> int:
        """Left side minus right side: 0, or this process has a bug."""
        ended = self.stored + self.refused.total() + self.deduplicated + self.dead_lettered.total()
        return self.received + self.recovered - ended - self.pending

    def copy(self) -> Terms:
        return Terms(
            received=self.received,
            recovered=self.recovered,
            stored=self.stored,
            refused=Counter(self.refused),
            deduplicated=self.deduplicated,
            dead_lettered=Counter(self.dead_lettered),
            pending=self.pending,
        )

    def document(self) -> dict[str, object]:
        """The terms as JSON: totals, and reasons under `…_by_reason` where there are any."""
        document: dict[str, object] = {
            "received": self.received,
            "recovered": self.recovered,
            "stored": self.stored,
            "refused": self.refused.total(),
            "deduplicated": self.deduplicated,
            "dead_lettered": self.dead_lettered.total(),
            "pending": self.pending,
        }
        for name, reasons in (("refused", self.refused), ("dead_lettered", self.dead_lettered)):
            if reasons:
                document[f"{name}_by_reason"] = dict(reasons)
        return document


@dataclass(slots=True, kw_only=True)
class Histogram:
    """Observations in seconds: `counts[i]` are those of at most `bounds_secs[i]`; the last one
    counts what is above."""

    bounds_secs: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum_secs: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds_secs) + 1)

    def observe(self, secs: float) -> None:
        self.counts[bisect_left(self.bounds_secs, secs)] += 1
        self.sum_secs += secs

    def copy(self) -> Histogram:
        return replace(self, counts=list(self.counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """The newest failure of one component, kept until the next one."""

    at_ns: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All counters at one moment; nothing in it changes afterwards."""

    terms: Mapping[Signal, Terms]
    values_cut: Mapping[Signal, int]
    values_redacted: Mapping[Signal, int]
    flushes: Histogram
    lags: Histogram
    """From a request's arrival to its runs in the store."""
    flush_failures: Mapping[str, int]
    """By reason."""
    last_errors: Mapping[str, LastError]
    """By component (`store`, `journal`, ...)."""
    unrecognized: Mapping[str, int]
    """Agent-looking spans that no dialect read, by scope."""
    findings: Mapping[tuple[str, str], int]
    """New findings by (rule, kind)."""
    held_secs: float
    """How long requests waited for the store to catch up, in all."""

    def document(self) -> dict[str, dict[str, object]]:
        """The terms of promise 2 by signal, as `agentrun ingest` prints them."""
        return {signal.value: terms.document() for signal, terms in self.terms.items()}


class Accounting:
    """Counters of one collector process.  Safe to use from any thread; every method is one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._terms = {signal: Terms() for signal in Signal}
        self._values_cut: Counter[Signal] = Counter()
        self._values_redacted: Counter[Signal] = Counter()
        self._flushes = Histogram(bounds_secs=FLUSH_BUCKETS_SECS)
        self._lags = Histogram(bounds_secs=LAG_BUCKETS_SECS)
        self._flush_failures: Counter[str] = Counter()
        self._last_errors: dict[str, LastError] = {}
        self._unrecognized: Counter[str] = Counter()
        self._findings: Counter[tuple[str, str]] = Counter()
        self._held_secs = 0.0

    def pending(self, signal: Signal) -> int:
        """Items that are acknowledged and not stored."""
        return self._terms[signal].pending

    def held(self, secs: float) -> None:
        """A request was taken later because the store had to catch up."""
        with self._lock:
            self._held_secs += secs

    # Arrivals.

    def accepted(self, signal: Signal, items: int) -> None:
        """Acknowledged: received, and from now on pending."""
        with self._lock:
            terms = self._terms[signal]
            terms.received += items
            terms.pending += items

    def refused(self, signal: Signal, reason: str, items: int) -> None:
        """Received and answered with a refusal; it never was pending."""
        with self._lock:
            terms = self._terms[signal]
            terms.received += items
            _add(terms.refused, reason, items)

    def recovered(self, signal: Signal, items: int) -> None:
        """Read from the journal at start: pending again."""
        with self._lock:
            terms = self._terms[signal]
            terms.recovered += items
            terms.pending += items

    # Ends; each takes from `pending`.

    def stored(self, signal: Signal, items: int) -> None:
        with self._lock:
            terms = self._terms[signal]
            terms.stored += items
            terms.pending -= items

    def deduplicated(self, signal: Signal, items: int) -> None:
        with self._lock:
            terms = self._terms[signal]
            terms.deduplicated += items
            terms.pending -= items

    def dead_lettered(self, signal: Signal, reason: str, items: int) -> None:
        with self._lock:
            terms = self._terms[signal]
            _add(terms.dead_lettered, reason, items)
            terms.pending -= items

    def dropped(self, signal: Signal, reason: str, items: int) -> None:
        """Acknowledged, and refused later (a tombstoned trace): pending becomes refused."""
        with self._lock:
            terms = self._terms[signal]
            _add(terms.refused, reason, items)
            terms.pending -= items

    # Beside the identity.

    def values(self, signal: Signal, *, cut: int = 0, redacted: int = 0) -> None:
        """Attribute values cut to the length limit, and values with a redaction in them."""
        if cut or redacted:
            with self._lock:
                self._values_cut[signal] += cut
                self._values_redacted[signal] += redacted

    def unrecognized(self, scopes: Mapping[str, int]) -> None:
        """Spans by scope; scopes past `SCOPES_MAX` are counted as `other`."""
        with self._lock:
            for scope, spans in scopes.items():
                _add(self._unrecognized, scope, spans, SCOPES_MAX)

    def flushed(self, secs: float) -> None:
        """One flush reached the store; it took `secs`."""
        with self._lock:
            self._flushes.observe(secs)

    def landed(self, lags_secs: Iterable[float]) -> None:
        """Requests whose runs are in the store, each so long after it was received."""
        with self._lock:
            for secs in lags_secs:
                self._lags.observe(secs)

    def flush_failed(self, reason: str) -> None:
        with self._lock:
            _add(self._flush_failures, reason, 1)

    def error(self, component: str, message: str, *, at_ns: int) -> None:
        """Remember the newest failure of a component, for `/readyz` and `agentrun doctor`."""
        with self._lock:
            self._last_errors[component] = LastError(at_ns=at_ns, message=message)

    def found(self, findings: Iterable[Event]) -> None:
        """New findings, by rule and kind."""
        with self._lock:
            for event in findings:
                said = event.attributes
                key = (said.get(semconv.FINDING_RULE, ""), said.get(semconv.FINDING_KIND, ""))
                self._findings[key] += 1

    # Reading.

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(
                terms={signal: terms.copy() for signal, terms in self._terms.items()},
                values_cut=dict(self._values_cut),
                values_redacted=dict(self._values_redacted),
                flushes=self._flushes.copy(),
                lags=self._lags.copy(),
                flush_failures=dict(self._flush_failures),
                last_errors=dict(self._last_errors),
                unrecognized=dict(self._unrecognized),
                findings=dict(self._findings),
                held_secs=self._held_secs,
            )

    def check(self) -> None:
        """For tests: raises AssertionError when promise 2 does not hold at this moment."""
        for signal, terms in self.snapshot().terms.items():
            assert terms.imbalance == 0, f"{signal}: off by {terms.imbalance}: {terms}"
            assert terms.pending >= 0, f"{signal}: pending is negative: {terms}"


def _add(counter: Counter[str], reason: str, items: int, most: int = REASONS_MAX) -> None:
    if reason not in counter and len(counter) >= most:
        reason = "other"
    counter[reason] += items
