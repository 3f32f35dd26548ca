-- title: Models within a task type
-- description: >-
--   The same kind of work done with other models: what its model calls cost, how long it takes, and how
--   often it works out; runs without a price are left out of the cost.
--   Where a cheaper line is as good, the dearer model is not needed. Runs that used several models are a
--   line of their own.
-- answers: S3.25 S3.26 S3.27 S3.46
-- columns:
--   task_type: {unit: text, width: 160, link: "runs:task_type"}
--   models: {unit: text, width: 240}
--   runs: short
--   cost_per_run_usd: {unit: currencyUSD, decimals: 5}
--   cost_per_success_usd: {unit: currencyUSD, decimals: 5, label: Cost per successful run}
--   times_cheapest: {unit: short, decimals: 1, label: Times the cheapest}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   worked_out_rate: {unit: percentunit, colored: good, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   model_calls: {unit: short, decimals: 1, label: Model calls per run}
--   retries: {unit: short, decimals: 2, label: Retries per run}
--   tokens: {unit: short, decimals: 0, label: Tokens per run}
WITH $level.CostConfidence != 'unknown' AS known
SELECT
    TaskType AS task_type,
    arrayStringConcat(arraySort(Models), ' + ') AS models,
    count() AS runs,
    sumIf($level.ModelCostNanoUsd, known) / 1e9 / nullIf(countIf(known), 0) AS cost_per_run_usd,
    sumIf($level.ModelCostNanoUsd, known) / 1e9 / nullIf(countIf(known AND Status = 'completed'), 0) AS cost_per_success_usd,
    cost_per_run_usd / nullIf(min(nullIf(cost_per_run_usd, 0)) OVER (PARTITION BY task_type), 0) AS times_cheapest,
    countIf(Status = 'completed') / nullIf(countIf(Status NOT IN ('initiated', 'running', 'paused')), 0) AS success_rate,
    countIf(Outcome = 'success') / nullIf(countIf(Outcome != ''), 0) AS worked_out_rate,
    quantileIf(0.5)(DurationMs, Status NOT IN ('initiated', 'running', 'paused')) AS duration_p50_ms,
    quantileIf(0.95)(DurationMs, Status NOT IN ('initiated', 'running', 'paused')) AS duration_p95_ms,
    avg($level.ModelCalls) AS model_calls,
    avg($level.Retries) AS retries,
    avg($level.InputTokens + $level.OutputTokens) AS tokens
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND notEmpty(Models)
  AND $run_filters
GROUP BY task_type, models
ORDER BY task_type, cost_per_run_usd
LIMIT 300
