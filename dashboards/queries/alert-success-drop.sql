-- title: Success rate dropped
-- description: >-
--   Share of its success rate that an agent lost in the last hour against the week before, for agents
--   with at least ten tasks that ended in that hour, where p is below 0.001. What it does at its best
--   does not matter. Look at the failure modes of that agent on the dashboard Fleet.
-- answers: S1.35 S3.25 S3.26 S5.76
-- columns:
--   agent: text
--   lost: percentunit
WITH
    StartTime >= $__toTime - INTERVAL 1 HOUR AS now_,
    countIf(now_) AS n,
    countIf(NOT now_) AS n_before,
    countIf(now_ AND Status = 'completed') AS good,
    countIf(NOT now_ AND Status = 'completed') AS good_before,
    countIf(Status = 'completed') / count() AS pooled
SELECT AgentName AS agent, 1 - good / n / (good_before / n_before) AS lost
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND ParentRunId = ''
  AND Status NOT IN ('initiated', 'running', 'paused')
GROUP BY agent
HAVING n >= 10 AND n_before >= 20 AND good_before > 0
  -- The square of z where p is 0.001.
  AND pow(good / n - good_before / n_before, 2) / (pooled * (1 - pooled) * (1 / n + 1 / n_before)) > 10.83
