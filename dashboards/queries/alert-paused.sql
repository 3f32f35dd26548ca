-- title: Run paused too long
-- description: >-
--   Minutes that an agent's longest paused run has waited, for a person or for a budget. Answer with
--   `agentrun runs resume` or `agentrun runs stop`.
-- answers: S1.14 S1.15 S1.16
-- columns:
--   agent: text
--   waiting_minutes: m
SELECT run.AgentName AS agent, max(dateDiff('second', pause.since, $__toTime)) / 60 AS waiting_minutes
FROM
(
    -- The first pause after the last resume: a run that has not ended has no end to count from.
    SELECT
        RunId,
        maxIf(Timestamp, Name = 'agentrun.run.resumed') AS resumed,
        arrayMin(arrayFilter(at -> at > resumed, groupArrayIf(Timestamp, Name = 'agentrun.run.paused'))) AS since
    FROM $database.agent_events
    WHERE Timestamp >= $__toTime - INTERVAL 30 DAY
      AND Name IN ('agentrun.run.paused', 'agentrun.run.resumed')
    GROUP BY RunId
) AS pause
ANY INNER JOIN
(
    SELECT RunId, AgentName
    FROM $database.runs
    WHERE StartTime >= $__toTime - INTERVAL 30 DAY
      AND Status = 'paused'
) AS run ON run.RunId = pause.RunId
GROUP BY agent
