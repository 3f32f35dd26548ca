-- title: Open and lost runs
-- description: >-
--   Runs of the last 30 days that have not ended, whatever the period on top: running, paused (with
--   the age of the oldest), and those that stopped telling anything (`lost`, in the period).
-- answers: S1.4 S1.12 S3.41
-- empty: No run is open, none was lost
-- columns:
--   state: {unit: text, colored: word}
--   runs: short
--   oldest_secs: {unit: s, label: Oldest since}
--   run_id: {unit: text, label: Oldest run, link: run}
--   agent: text
SELECT
    if(Status = 'failed', 'lost', Status) AS state,
    count() AS runs,
    toInt64(dateDiff('second', min(StartTime), now())) AS oldest_secs,
    argMin(RunId, StartTime) AS run_id,
    argMin(AgentName, StartTime) AS agent
FROM $database.runs
WHERE StartTime >= now() - INTERVAL 30 DAY
  AND (Status IN ('initiated', 'running', 'paused') OR (StopReason = 'lost' AND $__timeFilter(StartTime)))
  AND $run_filters
GROUP BY state
ORDER BY runs DESC
