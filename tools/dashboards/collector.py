"""10. Collector: does it keep what it promises?

Its own figures come from `/metrics` by way of Prometheus, not from ClickHouse: they are needed most
when the store does not answer, and a collector that writes about its writing never comes to rest.
"""

from __future__ import annotations

from typing import Final

from tools.dashboards import metrics
from tools.dashboards.build import Dashboard, Row, rows, series
from tools.dashboards.metrics import Metric
from tools.dashboards.variables import source


def per_second(name: str, *labels: str) -> str:
    """How fast a counter grows, by these labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({name}_total@[$__rate_interval]))"


def quantile(percent: int, name: str) -> str:
    """Of a histogram over the chosen collectors."""
    buckets = f"sum by (le) (rate({name}_bucket@[$__rate_interval]))"
    return f"histogram_quantile(0.{percent}, {buckets})"


def term(name: str) -> str:
    """One term of promise 2 by signal; 0 where there is no series yet, as for reasons."""
    none = "sum by (signal) (agentrun_items_received_total@) * 0"
    return f"(sum by (signal) ({name}@) or {none})"


ENDED: Final = (
    "stored_total", "refused_total", "deduplicated_total", "dead_lettered_total", "pending",
)  # fmt: skip

INVARIANT: Final = Metric(
    title="Items that are nowhere",
    description="received + recovered - stored - refused - deduplicated - dead-lettered - pending, "
    "by signal. Anything but 0 is a bug of the collector.",
    unit="short",
    width=8,
    exact=True,
    queries={
        "{{signal}}": " ".join(
            (
                term("agentrun_items_received_total"),
                "+",
                term("agentrun_items_recovered_total"),
                *(f"- {term(f'agentrun_items_{name}')}" for name in ENDED),
            )
        )
    },
)
FLOW: Final = Metric(
    title="Items per second",
    description="What comes in and where it goes: stored follows received, a gap is pending.",
    unit="ops",
    width=16,
    queries={
        "received {{signal}}": per_second("agentrun_items_received", "signal"),
        "stored {{signal}}": per_second("agentrun_items_stored", "signal"),
        "deduplicated {{signal}}": per_second("agentrun_items_deduplicated", "signal"),
    },
)
LAG: Final = Metric(
    title="From span to run",
    description="From a request's arrival until the runs of its spans are in the store.",
    unit="s",
    limit=5,
    queries={
        f"p{percent}": quantile(percent, "agentrun_span_to_run_seconds") for percent in (50, 95, 99)
    },
)
PENDING: Final = Metric(
    title="Pending and held",
    description="Items acknowledged and not yet in the store, and the share of time that requests "
    "waited because the store had to catch up.",
    unit="short",
    queries={
        "pending {{signal}}": "sum by (signal) (agentrun_items_pending@)",
        "waiting, s/s": per_second("agentrun_held_seconds"),
    },
)
JOURNAL: Final = Metric(
    title="Journal",
    description="Share of the journal's size that is used; at 1 the collector answers 429 until "
    "the store takes more.",
    unit="percentunit",
    limit=0.8,
    queries={"{{instance}}": "agentrun_journal_bytes@ / agentrun_journal_bytes_max@"},
)
FLUSHES: Final = Metric(
    title="Flushes to the store",
    description="How long one flush takes, and flushes that the store did not take, by reason.",
    unit="s",
    queries={
        "p95": quantile(95, "agentrun_store_flush_seconds"),
        "failed per s: {{reason}}": per_second("agentrun_store_flush_failures", "reason"),
    },
)
REFUSED: Final = Metric(
    title="Refused and dead-lettered",
    description="Items per second that were refused or can never be stored, by reason; senders "
    "were told of the refused ones.",
    unit="ops",
    queries={
        "refused {{signal}}: {{reason}}": per_second("agentrun_items_refused", "signal", "reason"),
        "dead {{signal}}: {{reason}}": per_second(
            "agentrun_items_dead_lettered", "signal", "reason"
        ),
    },
)
REQUESTS: Final = Metric(
    title="Requests",
    description="Export requests by outcome: ok, partial, or why they were refused.",
    unit="reqps",
    queries={
        "{{transport}} {{signal}} {{outcome}}": per_second(
            "agentrun_receiver_requests", "transport", "signal", "outcome"
        ),
        "in flight": "sum(agentrun_receiver_in_flight@)",
    },
)
STRANGERS: Final = Metric(
    title="Unrecognized scopes",
    description="Spans per second that look like an agent's and that no dialect reads: map them in "
    "`mappings:` (docs/dialects.md).",
    unit="ops",
    queries={"{{scope}}": per_second("agentrun_unrecognized_spans", "scope")},
)
FOUND: Final = Metric(
    title="Findings",
    description="New findings per minute, by rule; what they say is on the page of each run.",
    unit="short",
    queries={"{{rule}}": per_second("agentrun_findings", "rule") + " * 60"},
)
REDACTED: Final = Metric(
    title="Redacted and cut values",
    description="Values per second with a redaction, and values over the length limit.",
    unit="ops",
    answers="S5.20, S5.66",
    queries={
        "redacted {{signal}}": per_second("agentrun_values_redacted", "signal"),
        "cut {{signal}}": per_second("agentrun_values_cut", "signal"),
    },
)
MEMORY: Final = Metric(
    title="Memory",
    description="Resident memory of the process, an embedded store's engine included.",
    unit="bytes",
    queries={"{{instance}}": "process_resident_memory_bytes@"},
)
CPU: Final = Metric(
    title="CPU by stage",
    description="Cores used by the process, and by each of its Python threads.",
    unit="short",
    queries={
        "process": per_second("process_cpu_seconds"),
        "{{thread}}": per_second("agentrun_thread_cpu_seconds", "thread"),
    },
)
OPEN: Final = Metric(
    title="Held in memory",
    description="Open runs, and the steps and trace groups held for them and for runs that "
    "have just closed.",
    unit="short",
    queries={
        "runs": "sum(agentrun_open_runs@)",
        "steps": "sum(agentrun_open_steps@)",
        "trace groups": "sum(agentrun_open_groups@)",
    },
)
ERRORS: Final = Metric(
    title="Since a component last failed",
    description="Seconds since the last failure of each component; /readyz and the log say how.",
    unit="s",
    queries={
        "{{component}}": "time() - max by (component) (agentrun_last_error_timestamp_seconds@)"
    },
)

METRICS: Final = (
    INVARIANT, FLOW, LAG, PENDING, JOURNAL, FLUSHES, REFUSED, REQUESTS, STRANGERS, FOUND, REDACTED,
    MEMORY, CPU, OPEN, ERRORS,
)  # fmt: skip

COLLECTOR: Final = Dashboard(
    uid="agentrun-collector",
    title="Collector",
    description="The collector itself: what it lost, how far behind it is, what it refuses.",
    variables=[*source(), *metrics.source()],
    rows=[
        Row(title="Nothing is lost", panels=[INVARIANT.panel, FLOW.panel]),
        Row(
            title="How far behind",
            panels=[LAG.panel, PENDING.panel, JOURNAL.panel, FLUSHES.panel,
                    series("collector-arrival", 12), OPEN.panel],
        ),
        Row(
            title="What is refused or not understood",
            panels=[REFUSED.panel, REQUESTS.panel, rows("collector-dead-letters", 12),
                    STRANGERS.panel, rows("collector-dialects", 12),
                    rows("collector-services", 12)],
        ),
        Row(
            title="What it needs",
            panels=[MEMORY.panel, CPU.panel, ERRORS.panel, FOUND.panel, REDACTED.panel],
        ),
    ],
)  # fmt: skip
