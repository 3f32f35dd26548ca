-- title: Retrieval latency over time
-- description: How long searches take, reranking included where it is a step of its own.
-- answers: S5.62 S4.10
-- empty: Nothing was retrieved in this period with these filters
-- columns:
--   time: time
--   p50: {unit: ms, label: p50}
--   p95: {unit: ms, label: p95}
--   p99: {unit: ms, label: p99}
SELECT
    $__timeInterval(Timestamp) AS time,
    quantile(0.5)(DurationMs) AS p50,
    quantile(0.95)(DurationMs) AS p95,
    quantile(0.99)(DurationMs) AS p99
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'retrieve' AND Counted
  AND $step_filters
GROUP BY time
ORDER BY time
