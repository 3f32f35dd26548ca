-- title: Runs at a glance
-- description: >-
--   How many runs there were, how many ended well, how long they took and what they cost. Success is
--   technical (status `completed`); "worked out" is product success: the outcome of the runs that
--   ended. A task counts with everything that its child runs used.
-- answers: S1.27 S1.33 S1.34 S1.35 S1.36 S2.30 S3.18 S3.24 S3.25 S3.26 S3.27 S3.29 S3.36 S3.37 S3.38 S3.42 S5.59 S5.60 S5.61
-- dimensions: runs
-- columns:
--   dimension: {unit: text, label: Group, width: 220, link: "runs:by"}
--   runs: {unit: short, colored: bar}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   worked_out_rate: {unit: percentunit, colored: good, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   cost_usd: currencyUSD
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   cost_per_success_usd: {unit: currencyUSD, decimals: 4, label: Cost per successful run}
--   steps_per_run: {unit: short, decimals: 1}
--   retries_per_run: {unit: short, decimals: 2}
--   failed: {unit: short, label: Failed or timed out}
--   killed: short
--   max_iterations: {unit: short, label: Hit max iterations}
--   loops: {unit: short, label: With a loop}
--   unpriced: {unit: short, label: Without a price}
SELECT
    ${by:raw} AS dimension,
    count() AS runs,
    countIf(Status = 'completed') / nullIf(countIf(Status NOT IN ('initiated', 'running', 'paused')), 0) AS success_rate,
    countIf(Outcome = 'success') / nullIf(countIf(Outcome != ''), 0) AS worked_out_rate,
    quantileIf(0.5)(DurationMs, Status NOT IN ('initiated', 'running', 'paused')) AS duration_p50_ms,
    quantileIf(0.95)(DurationMs, Status NOT IN ('initiated', 'running', 'paused')) AS duration_p95_ms,
    sum($level.CostUsd) AS cost_usd,
    cost_usd / runs AS cost_per_run_usd,
    cost_usd / nullIf(countIf(Status = 'completed'), 0) AS cost_per_success_usd,
    avg($level.Steps) AS steps_per_run,
    avg($level.Retries) AS retries_per_run,
    countIf(Status IN ('failed', 'timed_out')) AS failed,
    countIf(Status = 'killed') AS killed,
    countIf(StopReason = 'max_iterations') AS max_iterations,
    countIf(has(`Findings.Kind`, 'loop')) AS loops,
    countIf(CostConfidenceTotal = 'unknown') AS unpriced
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY dimension
ORDER BY runs DESC
LIMIT 500
