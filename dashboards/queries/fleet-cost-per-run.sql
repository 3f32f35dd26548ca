-- title: Cost per run over time
-- description: >-
--   Total cost divided by all runs, and by the successful ones: what a result costs. The gap is what
--   failures cost.
-- answers: S1.33 S3.23 S3.27 S5.61
-- columns:
--   time: time
--   per_run: {unit: currencyUSD, label: Per run}
--   per_success: {unit: currencyUSD, label: Per successful run}
SELECT
    $__timeInterval(StartTime) AS time,
    sum($level.CostUsd) / count() AS per_run,
    sum($level.CostUsd) / nullIf(countIf(Status = 'completed'), 0) AS per_success
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY time
ORDER BY time
