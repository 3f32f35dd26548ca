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
    families AS
    (
        SELECT
            RootRunId,
            anyIf(agent, is_root) AS root_agent,
            anyIf(failed, is_root) AS root_failed,
            anyIf(Status, is_root) AS root_status,
            anyIf(CostUsdTotal, is_root) AS task_cost,
            mapFromArrays(groupArray(RunId), groupArray(agent)) AS known,
            groupArrayIf(ParentRunId, failed) AS above_failed,
            groupArrayIf((RunId, ParentRunId, agent, FailureMode, ErrorType, StartTime), failed) AS failures
        FROM
        (
            SELECT
                *,
                multiIf(AgentName != '', AgentName, WorkflowName != '', WorkflowName, ServiceName != '', ServiceName, 'unnamed') AS agent,
                Status IN ('failed', 'killed', 'timed_out') AS failed,
                ParentRunId = '' AS is_root
            FROM $database.runs
            WHERE StartTime >= $__fromTime AND StartTime <= $__toTime + INTERVAL 1 DAY
              AND RootRunId IN
              (
                  SELECT RunId
                  FROM $database.runs
                  WHERE $__timeFilter(StartTime)
                    AND ParentRunId = ''
                    AND notEmpty(ChildRunIds)
                    AND $run_filters
              )
        )
        GROUP BY RootRunId
    )
SELECT
    broken.3 AS agent,
    known[broken.2] AS started_by,
    root_agent AS task_of,
    if(broken.4 = '', 'not told', toString(broken.4)) AS failure_mode,
    toString(broken.5) AS error,
    count() AS runs,
    uniqExactIf(RootRunId, root_failed) AS task_failed,
    uniqExactIf(RootRunId, root_status = 'completed') AS recovered,
    sumIf(task_cost, root_failed) AS wasted_usd,
    max(broken.6) AS last_at,
    argMax(broken.1, broken.6) AS run_id
FROM families
ARRAY JOIN failures AS broken
WHERE NOT has(above_failed, broken.1)
GROUP BY agent, started_by, task_of, failure_mode, error
ORDER BY task_failed DESC, runs DESC, agent
LIMIT 200
