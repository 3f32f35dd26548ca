-- title: Retries and their reasons
-- description: >-
--   Calls that repeat a failed one: why, how many attempts it took, how often it helped, and what the
--   attempts took and cost. Without a stated reason it is the error of the call before.
-- answers: S3.17 S3.29 S3.46 S4.34 S5.30 S5.41 S5.74
-- empty: Nothing was retried in this period
-- columns:
--   kind: {unit: text, width: 90}
--   step: {unit: text, label: Tool or model, width: 200}
--   reason: {unit: text, width: 180}
--   retries: {unit: short, colored: bar}
--   worked: {unit: percentunit, colored: good, decimals: 1, label: Worked in the end}
--   attempts_most: {unit: short, label: Most attempts}
--   runs: short
--   duration_ms: {unit: ms, label: Time spent}
--   cost_usd: {unit: currencyUSD, decimals: 4, label: Cost of retries}
--   run_id: {unit: text, label: Last run, link: run}
SELECT
    again.Kind AS kind,
    if(again.ToolName != '', again.ToolName, if(again.Model != '', again.Model, again.Name)) AS step,
    multiIf(again.RetryReason != '', again.RetryReason, before.ErrorType != '', before.ErrorType, 'not told') AS reason,
    count() AS retries,
    countIf(again.Status = 'success') / retries AS worked,
    max(if(again.EmittedAttempt > 0, again.EmittedAttempt, again.Attempt + 1)) AS attempts_most,
    uniqExact(again.RunId) AS runs,
    sum(again.DurationMs) AS duration_ms,
    sum(again.CostUsd) AS cost_usd,
    argMax(again.RunId, again.Timestamp) AS run_id
FROM
(
    SELECT * FROM $database.steps
    WHERE $__timeFilter(Timestamp)
      AND Counted AND (RetryOf != '' OR EmittedAttempt > 1)
      AND $step_filters
) AS again
LEFT JOIN
(
    SELECT TraceId, SpanId, ErrorType FROM $database.steps
    WHERE Timestamp >= $__fromTime - INTERVAL 1 HOUR AND Timestamp <= $__toTime
      AND Status IN ('error', 'timeout') AND ErrorType != ''
      AND SpanId IN
      (
          SELECT RetryOf FROM $database.agent_steps
          WHERE $__timeFilter(Timestamp) AND RetryOf != ''
      )
) AS before ON before.SpanId = again.RetryOf AND before.TraceId = again.TraceId
GROUP BY kind, step, reason
ORDER BY retries DESC
LIMIT 200
