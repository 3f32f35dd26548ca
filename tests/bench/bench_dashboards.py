"""How long the panels of the dashboards take, over a store of generated runs.

    python -m tests.bench dashboards [--steps 300000] [--repeats 5] [--days 7 30] [--slow 150]

The full size is `--steps 5000000`: half a million runs, as in issue 6.  Ten steps are a run; runs
are spread evenly over 30 days, 20 agents and six task types.  Times are wall times of warm queries;
`cpu` is the process's, which other load on the machine disturbs less.  Parts are merged first, as
background merges leave all but the newest; `--unmerged` leaves them as inserted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.table import Table

from collector.dashboards import query
from collector.dashboards.macros import Context, interval_ms
from collector.dashboards.scope import FILTERS, LIST_FILTERS
from collector.store import schema
from collector.store.client import Store
from tools.dashboards.__main__ import DASHBOARDS
from tools.dashboards.build import Shown

PER_RUN: Final = 10
BLOCK: Final = 500_000
"""Steps made by one statement."""
DAYS: Final = 30
DAY_NS: Final = 86_400_000_000_000
DATABASE: Final = "bench"

RUN_OF: Final = """
    toUInt64(%(first)s) + number AS n,
    fromUnixTimestamp64Nano(toInt64(%(start)s + n * %(apart)s), 'UTC') AS began,
    lower(hex(sipHash128(n))) AS run,
    sipHash64(n, 'a') %% 1000 AS dice
"""
RUNS: Final = f"""
INSERT INTO agent_runs (StartTime, EndTime, RunId, GroupId, RootRunId, TraceIds, RootSpanId,
    SessionId, AgentName, AgentVersion, WorkflowName, TaskType, ServiceName, Environment, Workspace,
    Department, VirtualKey, UserId, Trigger, Execution, Status, StopReason, Outcome, FailureMode,
    ErrorType, Steps, ModelCalls, ToolCalls, Retrievals, Retries, InputTokens, OutputTokens,
    ModelCostNanoUsd, StepsTotal, ModelCallsTotal, ToolCallsTotal, RetrievalsTotal, RetriesTotal,
    InputTokensTotal, OutputTokensTotal, ModelCostNanoUsdTotal, CostConfidence, CostConfidenceTotal,
    Models, Providers, Tools, PromptVersions, `Findings.Rule`, `Findings.Kind`, `Findings.Severity`,
    `Findings.Explanation`, `Findings.SpanIds`, `Findings.Timestamp`, Tags, Dialects, DataQuality,
    Version)
SELECT began, began + toIntervalMillisecond(500 + dice * 40), run, run, run, [run],
    lower(hex(sipHash64(n, 0))), concat('session-', toString(intDiv(n, 4))),
    concat('agent-', toString(dice %% 20)), concat('1.', toString(intDiv(n * 4, %(runs)s))),
    concat('flow-', toString(dice %% 5)), concat('task-', toString(dice %% 6)), 'desk',
    if(dice %% 10 = 0, 'staging', 'prod'), concat('team-', toString(dice %% 4)),
    concat('department-', toString(dice %% 3)), concat('key-', toString(dice %% 8)),
    concat('user-', toString(sipHash64(n, 'u') %% 5000)), 'user',
    if(dice %% 7 = 0, 'async', 'sync'),
    if(dice < 900, 'completed', if(dice < 980, 'failed', 'killed')) AS status,
    multiIf(dice < 900, 'completed', dice < 950, 'tool_failure', dice < 980, 'model_error',
        'loop_detected'),
    if(dice < 850, 'success', if(dice < 900, 'soft_failure', 'failure')),
    multiIf(dice < 900, '', dice < 950, 'tool_error', dice < 980, 'model_error', 'loop'),
    multiIf(dice < 900, '', dice < 930, 'validation_error', 'timeout'),
    10 AS steps, 4 AS calls, 4 AS tools, 1 AS retrievals, dice %% 3 AS retries, 4000 AS sent,
    400 AS got, (1000000 + dice * 20000)::Int64 AS cost,
    steps, calls, tools, retrievals, retries, sent, got, cost, 'exact', 'exact',
    [concat('model-', toString(dice %% 4))], ['openai'], ['search', 'refund'],
    map('support', toString(intDiv(n * 4, %(runs)s))),
    if(dice >= 980, ['repeated-call'], []), if(dice >= 980, ['loop'], []),
    if(dice >= 980, ['warning'], []), if(dice >= 980, ['again and again'], []),
    if(dice >= 980, [['ab']], []), if(dice >= 980, [began], []),
    map('tier', toString(dice %% 3)), ['genai'], if(dice %% 9 = 0, ['results_missing'], []), 1
FROM (SELECT {RUN_OF} FROM numbers(%(count)s))
"""
STEP_OF: Final = f"""
    intDiv(number, {PER_RUN}) AS r, number %% {PER_RUN} AS k,
    toUInt64(%(first)s) + r AS n,
    fromUnixTimestamp64Nano(toInt64(%(start)s + n * %(apart)s + k * 50000000), 'UTC') AS began,
    lower(hex(sipHash128(n))) AS run, lower(hex(sipHash64(n, k))) AS span,
    sipHash64(n, 'a') %% 1000 AS dice, sipHash64(n, k, 'b') %% 1000 AS own,
    if(k = 0, '', lower(hex(sipHash64(n, 0)))) AS parent,
    multiIf(k = 0, 'run', k = 1, 'retrieve', k %% 2 = 0, 'model', 'tool') AS kind
"""
STEPS: Final = f"""
INSERT INTO agent_steps (Timestamp, EndTime, TraceId, SpanId, ParentSpanId, Kind, Dialect, Name,
    Status, ErrorType, Provider, Model, HasUsage, InputTokens, OutputTokens, ToolName,
    ArgumentsDigest, HitCount, Labels, RunId, GroupId, AgentName, Counted, CostNanoUsd,
    CostConfidence, Attempt, Version)
SELECT began, began + toIntervalMillisecond(40 + own), run, span, parent, kind, 'genai',
    concat('agent.', kind), if(own > 960, 'error', 'success'),
    if(own > 960, if(own > 980, 'timeout', 'validation_error'), ''), 'openai',
    if(kind = 'model', concat('model-', toString(dice %% 4)), ''), kind = 'model',
    if(kind = 'model', 1000, NULL), if(kind = 'model', 100, NULL),
    if(kind = 'tool', ['search', 'refund', 'find_order', 'mail'][1 + own %% 4], ''),
    if(kind = 'tool', toString(own), ''), if(kind = 'retrieve', own %% 5, NULL),
    map('prompt_versions.support', '1'), run, run, concat('agent-', toString(dice %% 20)), k > 0,
    if(kind = 'model', 250000 + dice * 5000, NULL), 'exact', own %% 20 = 0, 1
FROM (SELECT {STEP_OF} FROM numbers(%(count)s))
"""
SPANS: Final = f"""
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
    ResourceAttributes, ScopeName, SpanAttributes, Duration, StatusCode, ReceivedAt, Version)
SELECT began, run, span, parent, concat('agent.', kind), 'Internal', 'desk',
    map('deployment.environment.name', 'prod'), 'bench',
    map('gen_ai.input.messages', repeat('asked ', 20),
        'gen_ai.output.messages', repeat('told ', 20)),
    40000000, 'Unset', began + toIntervalSecond(2), 1
FROM (SELECT {STEP_OF} FROM numbers(%(count)s))
"""


def fill(store: Store, steps: int, start_ns: int) -> None:
    """Runs with their steps and spans, from `start_ns` on."""
    schema.apply(store, schema.Retention())
    runs = steps // PER_RUN
    apart = DAYS * DAY_NS // runs
    given = {"start": start_ns, "apart": apart, "runs": runs}
    for first in range(0, runs, BLOCK // PER_RUN):
        count = min(BLOCK // PER_RUN, runs - first)
        store.command(RUNS, given | {"first": first, "count": count})
        store.command(STEPS, given | {"first": first, "count": count * PER_RUN})
        store.command(SPANS, given | {"first": first, "count": count * PER_RUN})


def measure(
    store: Store, panel: Shown, context: Context, repeats: int
) -> tuple[list[float], float]:
    """Milliseconds of each repetition, the first (cold) one left out; CPU milliseconds of one."""
    asked = panel.query
    by = panel.by or ("agent" if "agent" in asked.dimensions else "")
    found = replace(context, trusted={"database": DATABASE, "by": asked.dimensions.get(by, "''")})
    sql = asked.runnable(found)
    store.arrow(sql)
    times, cpu = [], time.process_time()
    for _ in range(repeats):
        began = time.perf_counter()
        store.arrow(sql)
        times.append((time.perf_counter() - began) * 1000)
    return times, (time.process_time() - cpu) * 1000 / repeats


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=300_000)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--days", type=int, nargs="+", default=[7, 30])
    options.add_argument("--slow", type=float, default=150.0, help="ms; slower ones are marked")
    options.add_argument("--unmerged", action="store_true")
    options.add_argument("--only", default="", help="queries whose name begins so")
    chosen = options.parse_args()
    console = Console(width=110)
    with (
        tempfile.TemporaryDirectory(prefix="agentrun-bench-") as folder,
        Store.open(f"chdb://{folder}", database=DATABASE) as store,
    ):
        now = time.time_ns()
        began = time.perf_counter()
        fill(store, chosen.steps, now - DAYS * DAY_NS)
        for name in () if chosen.unmerged else ("agent_runs", "agent_steps", "otel_traces"):
            store.command(f"OPTIMIZE TABLE {name} FINAL")
        console.print(
            f"{chosen.steps:,} steps of {chosen.steps // PER_RUN:,} runs made in"
            f" {time.perf_counter() - began:.0f} s"
        )
        (run,) = store.column("SELECT RunId FROM runs ORDER BY StartTime DESC LIMIT 1 OFFSET 1000")
        panels = {(one.name, one.by): one for board in DASHBOARDS for one in board.shown}
        for days in chosen.days:
            _report(console, store, list(panels.values()), run, now, days, chosen)


def _report(
    console: Console,
    store: Store,
    panels: list[Shown],
    run: str,
    now: int,
    days: int,
    chosen: argparse.Namespace,
) -> None:
    context = Context(
        since_ns=now - days * DAY_NS,
        until_ns=now,
        interval_ms=interval_ms(now - days * DAY_NS, now),
        given=dict.fromkeys([*FILTERS, *LIST_FILTERS], "") | {"level": "tasks", "run": run},
    )
    table = Table(title=f"{days} days, warm, ms", box=None)
    for name in ("panel", "by", "p50", "p95", "max", "cpu", ""):
        table.add_column(name, justify="left" if name in ("panel", "by", "") else "right")
    every = []
    for panel in panels:
        if not panel.name.startswith(chosen.only):
            continue
        times, cpu = measure(store, panel, context, chosen.repeats)
        p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
        every.append(p95)
        table.add_row(
            panel.name, panel.by, f"{statistics.median(times):.0f}", f"{p95:.0f}",
            f"{max(times):.0f}", f"{cpu:.0f}", "slow" if p95 > chosen.slow else "",
        )  # fmt: skip
    console.print(table)
    console.print(f"slowest p95: {max(every):.0f} ms; {len(query.names())} queries\n")


if __name__ == "__main__":
    main()
