-- title: Where chains break
-- description: >-
--   Runs that failed without a failed run below them: the place where the trouble began, with the
--   chain of agents that led there, and whether the task failed as well or somebody recovered.
-- answers: S3.28 S3.30 S3.35 S5.77
-- empty: No run of a task of several agents failed in this period
-- columns:
--   agent: {unit: text, label: Broke in, width: 180, link: "runs:agent"}
--   started_by: {unit: text, label: Asked by}
--   task_of: {unit: text, label: Task of}
--   failure_mode: text
--   error: text
--   runs: {unit: short, colored: bar}
--   task_failed: {unit: short, label: Task failed}
--   recovered: {unit: short, label: Task recovered}
--   wasted_usd: {unit: currencyUSD, label: Cost of failed tasks, decimals: 4}
--   last_at: {unit: time, label: Last, width: 180}
--   run_id: {unit: text, label: Last run, link: run}
WITH
    tasks AS
    (
        SELECT RunId, Status, CostUsdTotal, DurationMs
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND ParentRunId = ''
          AND notEmpty(ChildRunIds)
          AND $run_filters
    ),
    members AS
    (
        SELECT
            RunId, RootRunId, ParentRunId, StartTime, Status, StopReason, FailureMode, ErrorType, AgentRole,
            Trigger, DurationMs, CostUsd, Steps, Retries, Handoffs,
            multiIf(AgentName != '', AgentName, WorkflowName != '', WorkflowName, ServiceName != '', ServiceName, 'unnamed') AS agent,
            Status IN ('failed', 'killed', 'timed_out') AS failed
        FROM $database.runs
        WHERE StartTime >= $__fromTime AND StartTime <= $__toTime + INTERVAL 1 DAY
          AND RootRunId IN (SELECT RunId FROM tasks)
    )
SELECT
    broken.agent AS agent,
    parent.agent AS started_by,
    root.agent AS task_of,
    if(broken.FailureMode = '', 'not told', broken.FailureMode) AS failure_mode,
    broken.ErrorType AS error,
    count() AS runs,
    uniqExactIf(broken.RootRunId, root.failed) AS task_failed,
    uniqExactIf(broken.RootRunId, root.Status = 'completed') AS recovered,
    sumIf(task.CostUsdTotal, root.failed) AS wasted_usd,
    max(broken.StartTime) AS last_at,
    argMax(broken.RunId, broken.StartTime) AS run_id
FROM
(
    SELECT * FROM members
    WHERE failed
      AND RunId NOT IN (SELECT ParentRunId FROM members WHERE failed)
) AS broken
INNER JOIN members AS root ON root.RunId = broken.RootRunId
INNER JOIN tasks AS task ON task.RunId = broken.RootRunId
LEFT JOIN members AS parent ON parent.RunId = broken.ParentRunId
GROUP BY agent, started_by, task_of, failure_mode, error
ORDER BY task_failed DESC, runs DESC, agent
LIMIT 200
