-- title: Success rate is low
-- description: >-
--   Share of an agent's tasks that ended without an error, for agents with at least ten in the period.
--   Look at the failure modes of that agent on the dashboard Fleet.
-- answers: S1.35 S3.25 S5.76
-- columns:
--   agent: text
--   success_rate: percentunit
SELECT
    AgentName AS agent,
    countIf(Status = 'completed') / count() AS success_rate
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND ParentRunId = ''
  AND Status NOT IN ('initiated', 'running', 'paused')
GROUP BY agent
HAVING count() >= 10
