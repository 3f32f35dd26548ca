-- title: What was stopped
-- description: >-
--   Runs that were ended before they were done, by reason, and what they had cost by then. What they would
--   have gone on to cost is not known; what rules would have saved in runs that were not stopped,
--   `agentrun rules backtest` says.
-- answers: S1.17 S1.18 S1.20 S1.26 S5.34
-- empty: No run was stopped in this period
-- columns:
--   stop_reason: {unit: text, link: "runs:stop_reason", width: 160}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of runs}
--   cost_usd: {unit: currencyUSD, label: Cost until then}
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   steps: {unit: short, decimals: 1, label: Steps until then}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   agents: {unit: text, label: Most frequent agents}
--   last_at: {unit: time, label: Last}
SELECT
    reason AS stop_reason, runs, runs / everything AS share, cost_usd, cost_usd / runs AS cost_per_run_usd,
    steps, duration_p50_ms, agents, last_at
FROM
(
    SELECT
        StopReason AS reason,
        count() AS runs,
        sum(runs) OVER () AS everything,
        sum($level.CostUsd) AS cost_usd,
        avg($level.Steps) AS steps,
        quantile(0.5)(DurationMs) AS duration_p50_ms,
        arrayStringConcat(topKIf(3)(AgentName, AgentName != ''), ', ') AS agents,
        max(EndTime) AS last_at
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
    GROUP BY reason
)
WHERE startsWith(reason, 'budget_')
   OR reason IN ('loop_detected', 'policy', 'killed_by_operator', 'rejected', 'approval_expired', 'cancelled')
ORDER BY runs DESC
