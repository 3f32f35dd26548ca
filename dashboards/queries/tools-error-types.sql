-- title: Typed errors over time
-- description: Failed tool calls by the type of their error. A new color after a release says what it broke.
-- answers: S5.29 S3.28 S5.73
-- empty: No tool failed in this period
-- columns:
--   time: time
--   error: text
--   errors: short
SELECT
    $__timeInterval(Timestamp) AS time,
    if(ErrorType = '', 'not told', ErrorType) AS error,
    count() AS errors
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'tool' AND Counted
  AND Status IN ('error', 'timeout')
  AND $step_filters
GROUP BY time, error
ORDER BY time, error
