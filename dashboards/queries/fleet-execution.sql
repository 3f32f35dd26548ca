-- title: Synchronous and background runs
-- description: >-
--   A person waits for a synchronous run, so its duration counts (late: over 30 s). A background run
--   has to be completed (late: over an hour), and its result has to be somewhere.
-- answers: S3.9 S3.11 S3.41
-- columns:
--   execution: text
--   trigger: {unit: text, label: Started by}
--   runs: {unit: short, colored: bar}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   open: {unit: short, label: Not ended}
--   late: short
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   without_session: short
--   with_result: {unit: short, label: Result known}
SELECT
    if(Execution = '', 'not told', Execution) AS execution,
    if(Trigger = '', 'not told', Trigger) AS trigger,
    count() AS runs,
    countIf(Status = 'completed') / nullIf(countIf(Status NOT IN ('initiated', 'running', 'paused')), 0) AS success_rate,
    countIf(Status IN ('initiated', 'running', 'paused')) AS open,
    countIf(DurationMs > if(Execution = 'async', 3600000, 30000)) AS late,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    quantile(0.95)(DurationMs) AS duration_p95_ms,
    countIf(SessionId = '') AS without_session,
    countIf(ResultRef != '' OR OutputSpanId != '') AS with_result
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY execution, trigger
ORDER BY runs DESC
