-- title: Tool calls at a glance
-- description: >-
--   Calls of tools: how many failed, timed out, were refused for their arguments or repeated a failed
--   one, and how long they took. Rates are shares of all calls.
-- answers: S3.15 S5.6 S5.36 S5.58
-- dimensions: steps
-- empty: No tool was called in this period with these filters
-- columns:
--   dimension: {unit: text, label: Group, width: 220}
--   calls: {unit: short, colored: bar}
--   error_rate: {unit: percentunit, colored: bad, decimals: 1}
--   timeout_rate: {unit: percentunit, colored: bad, decimals: 1}
--   refused_rate: {unit: percentunit, colored: bad, decimals: 1, label: Refused arguments}
--   retry_rate: {unit: percentunit, colored: bad, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   cost_usd: {unit: currencyUSD, decimals: 4}
SELECT
    ${by:raw} AS dimension,
    count() AS calls,
    countIf(Status IN ('error', 'timeout')) / calls AS error_rate,
    countIf(Status = 'timeout' OR ErrorType = 'timeout') / calls AS timeout_rate,
    countIf(ErrorType IN ('validation_error', 'malformed_call', 'unknown_tool')) / calls AS refused_rate,
    countIf(RetryOf != '' OR EmittedAttempt > 1) / calls AS retry_rate,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    quantile(0.95)(DurationMs) AS duration_p95_ms,
    sum(CostUsd) AS cost_usd
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'tool' AND Counted
  AND $step_filters
GROUP BY dimension
ORDER BY calls DESC
LIMIT 500
