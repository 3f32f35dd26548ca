-- title: p95 latency by kind of step
-- description: The slowest twentieth of each kind of step over time. It tells a slow model from slow tools and slow retrieval.
-- answers: S5.62 S3.32 S3.45
-- columns:
--   time: time
--   kind: text
--   p95_ms: {unit: ms, label: p95}
SELECT
    $__timeInterval(Timestamp) AS time,
    Kind AS kind,
    quantile(0.95)(DurationMs) AS p95_ms
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Counted AND Kind != 'run'
  AND $step_filters
GROUP BY time, kind
ORDER BY time, kind
