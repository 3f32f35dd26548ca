-- title: Runs take much longer
-- description: >-
--   The median duration of an agent's tasks in the period, as a multiple of its median of the seven
--   days before; at least ten tasks in both. The dashboard Tools and failures tells slow steps from
--   long chains, failing calls and waiting.
-- answers: S3.26 S3.32 S3.45
-- columns:
--   agent: text
--   times_usual: short
WITH StartTime >= $__fromTime AS now_
SELECT
    AgentName AS agent,
    quantileIf(0.5)(DurationMs, now_) / nullIf(quantileIf(0.5)(DurationMs, NOT now_), 0) AS times_usual
FROM $database.runs
WHERE StartTime >= $__fromTime - INTERVAL 7 DAY AND StartTime <= $__toTime
  AND ParentRunId = ''
  AND Status NOT IN ('initiated', 'running', 'paused')
GROUP BY agent
HAVING countIf(now_) >= 10 AND countIf(NOT now_) >= 10 AND times_usual IS NOT NULL
