-- title: Failure modes
-- description: >-
--   Why runs did not end well, as a share of those that did not: tool errors, model errors, input
--   validation, timeouts, budgets, loops, policies.
-- answers: S3.28 S3.44 S5.31 S4.34
-- empty: No run failed in this period
-- columns:
--   failure_mode: {unit: text, width: 200}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1}
--   error_type: {unit: text, label: Most frequent error}
--   cost_usd: currencyUSD
SELECT
    if(FailureMode = '', 'not told', FailureMode) AS failure_mode,
    count() AS runs,
    runs / sum(runs) OVER () AS share,
    topKIf(1)(ErrorType, ErrorType != '')[1] AS error_type,
    sum($level.CostUsd) AS cost_usd
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND Status IN ('failed', 'killed', 'timed_out')
  AND $run_filters
GROUP BY failure_mode
ORDER BY runs DESC
