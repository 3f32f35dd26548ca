-- title: Runs are lost
-- description: >-
--   Runs of an agent that began, and from which nothing came any more: the process died, or its
--   exporter cannot reach the collector. Runs that a worker was to finish show here first.
-- answers: S3.41 S1.4
-- columns:
--   agent: text
--   lost: short
SELECT
    AgentName AS agent,
    count() AS lost
FROM $database.runs
WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
  AND StopReason = 'lost'
  AND $__timeFilter(EndTime)
GROUP BY agent
