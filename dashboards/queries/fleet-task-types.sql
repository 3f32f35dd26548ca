-- title: Task types
-- description: >-
--   Which kinds of work are asked for most, fail most and cost most, and how many requests were
--   outside of the agent's purpose.
-- answers: S3.12 S3.43
-- columns:
--   task_type: {unit: text, label: Task type, width: 200, link: "runs:task_type"}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1}
--   error_rate: {unit: percentunit, colored: bad, decimals: 1}
--   cost_usd: currencyUSD
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   out_of_scope: short
--   out_of_scope_rate: {unit: percentunit, colored: bad, decimals: 1}
SELECT
    TaskType AS task_type,
    count() AS runs,
    runs / sum(runs) OVER () AS share,
    countIf(Status IN ('failed', 'killed', 'timed_out')) / runs AS error_rate,
    sum($level.CostUsd) AS cost_usd,
    cost_usd / runs AS cost_per_run_usd,
    countIf(OutOfScope) AS out_of_scope,
    out_of_scope / runs AS out_of_scope_rate
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY task_type
ORDER BY runs DESC
LIMIT 200
