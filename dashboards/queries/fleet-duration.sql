-- title: Duration over time
-- description: How long runs took from start to end, pauses included. A sudden rise shows here first.
-- answers: S1.36 S3.26 S3.32 S3.45
-- columns:
--   time: time
--   p50: {unit: ms, label: p50}
--   p95: {unit: ms, label: p95}
--   mean: {unit: ms, label: mean}
SELECT
    $__timeInterval(StartTime) AS time,
    quantile(0.5)(DurationMs) AS p50,
    quantile(0.95)(DurationMs) AS p95,
    avg(DurationMs) AS mean
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND Status NOT IN ('initiated', 'running', 'paused')
  AND $run_filters
GROUP BY time
ORDER BY time
