-- title: Tools and their versions
-- description: >-
--   How each version of a tool does. The version is the tool's own; where calls do not state one, that
--   of the tool contracts which their run was given.
-- answers: S4.17 S5.25 S5.58 S5.82
-- empty: No tool was called in this period with these filters
-- columns:
--   tool: {unit: text, width: 200, link: "runs:tool"}
--   version: {unit: text, width: 140}
--   calls: {unit: short, colored: bar}
--   error_rate: {unit: percentunit, colored: bad, decimals: 1}
--   error: {unit: text, label: Most frequent error}
--   retry_rate: {unit: percentunit, colored: bad, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   first_call: {unit: time, width: 180}
--   last_call: {unit: time, width: 180}
SELECT
    ToolName AS tool,
    multiIf(
        Labels['tool_version'] != '', Labels['tool_version'],
        Labels['tool_contract_version'] != '', concat('contracts ', Labels['tool_contract_version']),
        run.ToolContractVersion != '', concat('contracts ', run.ToolContractVersion), 'not told') AS version,
    count() AS calls,
    countIf(Status IN ('error', 'timeout')) / calls AS error_rate,
    topKIf(1)(ErrorType, ErrorType != '')[1] AS error,
    countIf(RetryOf != '' OR EmittedAttempt > 1) / calls AS retry_rate,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    quantile(0.95)(DurationMs) AS duration_p95_ms,
    min(Timestamp) AS first_call,
    max(Timestamp) AS last_call
FROM $database.steps AS step_
LEFT JOIN
(
    SELECT RunId, GroupId, ToolContractVersion
    FROM $database.runs
    WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
      AND ToolContractVersion != ''
) AS run USING (RunId, GroupId)
WHERE $__timeFilter(Timestamp)
  AND Kind = 'tool' AND Counted
  AND $step_filters
GROUP BY tool, version
ORDER BY calls DESC
LIMIT 500
