-- title: Retries by operation
-- description: How often a model or tool call is a repetition of a failed one, and how often calls fail. Rates are shares of all calls.
-- answers: S3.17 S3.29 S5.30 S5.41 S5.74 S2.13
-- dimensions: steps
-- columns:
--   kind: text
--   dimension: {unit: text, label: Operation, width: 240}
--   calls: {unit: short, colored: bar}
--   retries: short
--   retry_rate: {unit: percentunit, colored: bad, decimals: 1}
--   errors: short
--   error_rate: {unit: percentunit, colored: bad, decimals: 1}
SELECT
    Kind AS kind,
    ${by:raw} AS dimension,
    count() AS calls,
    countIf(Attempt > 0) AS retries,
    retries / calls AS retry_rate,
    countIf(Status IN ('error', 'timeout')) AS errors,
    errors / calls AS error_rate
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Counted
  AND $step_filters
GROUP BY kind, dimension
ORDER BY retries DESC, errors DESC, calls DESC
LIMIT 100
