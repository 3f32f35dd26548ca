-- title: Parent and child runs
-- description: The whole chain of this run, from the root down; click one to open it.
-- answers: S3.33 S3.34 S3.35 S3.37 S5.2 S5.44 S5.45 S5.49
-- columns:
--   started: {unit: time, width: 180}
--   run_id: {unit: text, label: Run, link: run}
--   relation: {unit: text, width: 90}
--   agent: text
--   role: text
--   parent_run: {unit: text, link: run}
--   trigger: text
--   status: {unit: text, colored: word}
--   stop_reason: text
--   duration_ms: {unit: ms, label: Duration, colored: bar}
--   steps: short
--   cost_usd: {unit: currencyUSD, label: Own cost, decimals: 4}
WITH
    (
        SELECT (RootRunId, StartTime, ParentRunId) FROM $database.runs
        WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ) AS this
SELECT
    StartTime AS started,
    RunId AS run_id,
    multiIf(RunId = ${run:sqlstring}, 'this run', RunId = this.3, 'parent', ParentRunId = ${run:sqlstring}, 'child', RunId = this.1, 'root', 'relative') AS relation,
    AgentName AS agent,
    AgentRole AS role,
    ParentRunId AS parent_run,
    Trigger AS trigger,
    Status AS status,
    StopReason AS stop_reason,
    DurationMs AS duration_ms,
    Steps AS steps,
    CostUsd AS cost_usd
FROM $database.runs
WHERE StartTime >= this.2 - INTERVAL 1 DAY AND StartTime <= this.2 + INTERVAL 30 DAY
  AND (RunId = ${run:sqlstring} OR RootRunId = this.1 OR RunId = this.1)
ORDER BY started, run_id
LIMIT 500
