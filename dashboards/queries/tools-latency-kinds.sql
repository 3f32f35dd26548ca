-- title: Latency by kind of step
-- description: How long each kind of step takes, and what share of all time it is. Runs that wait for people or for each other are not steps.
-- answers: S5.62 S3.14 S3.15 S4.11 S4.12
-- columns:
--   kind: {unit: text, width: 120}
--   steps: {unit: short, colored: bar}
--   p50_ms: {unit: ms, label: p50}
--   p95_ms: {unit: ms, label: p95}
--   p99_ms: {unit: ms, label: p99}
--   longest_ms: {unit: ms, label: Longest}
--   share_of_time: {unit: percentunit, decimals: 1}
--   error_rate: {unit: percentunit, colored: bad, decimals: 1}
--   run_id: {unit: text, label: Run with the longest, link: run}
SELECT
    Kind AS kind,
    count() AS steps,
    quantile(0.5)(DurationMs) AS p50_ms,
    quantile(0.95)(DurationMs) AS p95_ms,
    quantile(0.99)(DurationMs) AS p99_ms,
    max(DurationMs) AS longest_ms,
    sum(DurationMs) / sum(sum(DurationMs)) OVER () AS share_of_time,
    countIf(Status IN ('error', 'timeout')) / steps AS error_rate,
    argMax(RunId, DurationMs) AS run_id
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Counted AND Kind != 'run'
  AND $step_filters
GROUP BY kind
ORDER BY share_of_time DESC
