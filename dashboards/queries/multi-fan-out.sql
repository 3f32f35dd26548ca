-- title: Fan-out
-- description: >-
--   Runs by how many agents or calls they started at once, and what that does to success, duration and
--   cost, with all that was started. One at a time is 1.
-- answers: S5.49 S3.32
-- empty: No run in this period
-- columns:
--   fan_out: {unit: short, label: At once}
--   agent: {unit: text, link: "runs:agent"}
--   runs: {unit: short, colored: bar}
--   child_runs: {unit: short, decimals: 1, label: Child runs per run}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
SELECT
    MaxFanOut AS fan_out,
    AgentName AS agent,
    count() AS runs,
    avg(length(ChildRunIds)) AS child_runs,
    countIf(Status = 'completed') / nullIf(countIf(Status NOT IN ('initiated', 'running', 'paused')), 0) AS success_rate,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    quantile(0.95)(DurationMs) AS duration_p95_ms,
    avg($level.CostUsd) AS cost_per_run_usd
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND MaxFanOut > 0
  AND $run_filters
GROUP BY fan_out, agent
ORDER BY fan_out DESC, runs DESC, agent
LIMIT 100
