-- title: What retries cost
-- description: >-
--   The repetitions of failed calls, the model calls that asked for them, and the failed calls themselves
--   (spent for nothing). A tool that costs nothing is repeated by a model that does.
-- answers: S2.13 S3.17 S3.29 S3.46 S5.74
-- empty: Nothing was repeated and nothing failed in this period
-- dimensions: steps
-- columns:
--   kind: {unit: text, width: 90}
--   dimension: {unit: text, label: Operation, width: 220}
--   retries: short
--   retried_usd: {unit: currencyUSD, decimals: 4, label: Repetitions}
--   asked_usd: {unit: currencyUSD, decimals: 4, label: Model calls that asked}
--   retries_usd: {unit: currencyUSD, decimals: 4, colored: bar, label: Retries in all}
--   failed: {unit: short, label: Failed calls}
--   failed_usd: {unit: currencyUSD, decimals: 4, label: Cost of failed calls}
--   retry_secs: {unit: s, label: Time of repetitions}
--   worked: {unit: percentunit, decimals: 1, label: Repetitions that worked}
--   reasons: {unit: text, label: Most frequent errors}
WITH
    again AS
    (
        SELECT *
        FROM $database.steps
        WHERE $__timeFilter(Timestamp)
          AND Counted
          AND (Attempt > 0 OR Status IN ('error', 'timeout'))
          AND $step_filters
    ),
    asking AS
    (
        SELECT TraceId, arrayJoin(`ToolRequests.CallId`) AS call, coalesce(CostUsd, 0) / length(`ToolRequests.CallId`) AS usd
        FROM $database.steps
        WHERE $__timeFilter(Timestamp)
          AND Kind = 'model'
          AND Counted
          AND notEmpty(`ToolRequests.CallId`)
          AND TraceId IN (SELECT TraceId FROM $database.agent_steps WHERE $__timeFilter(Timestamp) AND Attempt > 0 AND ToolCallId != '')
    )
SELECT
    Kind AS kind,
    ${by:raw} AS dimension,
    countIf(Attempt > 0) AS retries,
    sumIf(coalesce(CostUsd, 0) + PaymentNanoUsd / 1e9, Attempt > 0) AS retried_usd,
    sumIf(asking.usd, Attempt > 0) AS asked_usd,
    retried_usd + asked_usd AS retries_usd,
    countIf(Status IN ('error', 'timeout')) AS failed,
    sumIf(coalesce(CostUsd, 0) + PaymentNanoUsd / 1e9, Status IN ('error', 'timeout')) AS failed_usd,
    sumIf(DurationMs, Attempt > 0) / 1000 AS retry_secs,
    countIf(Attempt > 0 AND Status NOT IN ('error', 'timeout')) / nullIf(retries, 0) AS worked,
    arrayStringConcat(topKIf(3)(ErrorType, ErrorType != ''), ', ') AS reasons
FROM again
ANY LEFT JOIN asking ON asking.TraceId = again.TraceId AND asking.call = again.ToolCallId
GROUP BY kind, dimension
ORDER BY retries_usd DESC, failed_usd DESC, retries DESC, failed DESC
LIMIT 100
