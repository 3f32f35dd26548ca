-- title: Chains
-- description: >-
--   The agents of a task in the order in which they began, each named once in a row. Slow and dear
--   chains stand out; the last task of each is one click away.
-- answers: S3.32 S3.35 S3.37
-- empty: No task of several agents in this period
-- columns:
--   chain: {unit: text, width: 420}
--   tasks: {unit: short, colored: bar}
--   runs_per_task: {unit: short, decimals: 1}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   cost_per_task_usd: {unit: currencyUSD, decimals: 4}
--   run_id: {unit: text, label: Last task, link: run}
WITH
    families AS
    (
        SELECT
            RootRunId,
            anyIf(Status, is_root) AS status,
            anyIf(DurationMs, is_root) AS task_ms,
            anyIf(CostUsdTotal, is_root) AS task_cost,
            count() AS runs,
            min(StartTime) AS began,
            arrayMap(one -> one.3, arraySort(groupArray(100)((NOT is_root, StartTime, agent)))) AS agents
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
    arrayStringConcat(arrayCompact(agents), ' → ') AS chain,
    count() AS tasks,
    avg(runs) AS runs_per_task,
    countIf(status = 'completed') / nullIf(countIf(status NOT IN ('initiated', 'running', 'paused')), 0) AS success_rate,
    quantile(0.5)(task_ms) AS duration_p50_ms,
    quantile(0.95)(task_ms) AS duration_p95_ms,
    avg(task_cost) AS cost_per_task_usd,
    argMax(RootRunId, began) AS run_id
FROM families
GROUP BY chain
ORDER BY tasks DESC, chain
LIMIT 100
