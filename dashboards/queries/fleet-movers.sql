-- title: Top movers
-- description: What changed most against the period of the same length before it, by cost. New groups have nothing before.
-- answers: S3.26 S3.45 S5.65
-- dimensions: runs
-- columns:
--   dimension: {unit: text, label: Group, width: 220, link: "runs:by"}
--   runs: short
--   runs_before: short
--   cost_usd: currencyUSD
--   cost_before_usd: {unit: currencyUSD, label: Cost before}
--   cost_change_usd: {unit: currencyUSD, label: Change of cost}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   success_before: {unit: percentunit, decimals: 1}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   duration_p95_before_ms: {unit: ms, label: p95 before}
--   steps_per_run: {unit: short, decimals: 1}
--   steps_per_run_before: {unit: short, decimals: 1}
WITH
    StartTime >= $__fromTime AS now_,
    Status NOT IN ('initiated', 'running', 'paused') AS ended
SELECT
    ${by:raw} AS dimension,
    countIf(now_) AS runs,
    countIf(NOT now_) AS runs_before,
    sumIf($level.CostUsd, now_) AS cost_usd,
    sumIf($level.CostUsd, NOT now_) AS cost_before_usd,
    cost_usd - cost_before_usd AS cost_change_usd,
    countIf(Status = 'completed' AND now_) / nullIf(countIf(ended AND now_), 0) AS success_rate,
    countIf(Status = 'completed' AND NOT now_) / nullIf(countIf(ended AND NOT now_), 0) AS success_before,
    quantileIf(0.95)(DurationMs, ended AND now_) AS duration_p95_ms,
    quantileIf(0.95)(DurationMs, ended AND NOT now_) AS duration_p95_before_ms,
    sumIf($level.Steps, now_) / nullIf(runs, 0) AS steps_per_run,
    sumIf($level.Steps, NOT now_) / nullIf(runs_before, 0) AS steps_per_run_before
FROM $database.runs
WHERE StartTime >= $__fromTime - ($__toTime - $__fromTime) AND StartTime <= $__toTime
  AND $run_filters
GROUP BY dimension
ORDER BY abs(cost_change_usd) DESC, abs(toInt64(runs) - toInt64(runs_before)) DESC
LIMIT 20
