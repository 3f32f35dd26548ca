-- title: Run paused too long
-- description: >-
--   Minutes that an agent's longest paused run has waited, for a person or for a budget. Answer with
--   `agentrun runs resume` or `agentrun runs stop`.
-- answers: S1.14 S1.15 S1.16
-- columns:
--   agent: text
--   waiting_minutes: m
SELECT
    AgentName AS agent,
    max(dateDiff('second', EndTime, toDateTime64($__toTime, 9))) / 60 AS waiting_minutes
FROM $database.runs
WHERE StartTime >= $__toTime - INTERVAL 30 DAY
  AND Status = 'paused'
GROUP BY agent
