-- title: Workflows
-- description: >-
--   Tasks of several agents by workflow (or by the agent that began them), with the agent that took
--   most of the time, cost most, and failed most in it. Times of agents that work at once add up.
-- answers: S2.30 S3.24 S3.32 S3.37 S3.38
-- empty: No task of several agents in this period
-- columns:
--   workflow: {unit: text, width: 200}
--   tasks: {unit: short, colored: bar}
--   agents: {unit: text, label: Agents}
--   runs_per_task: {unit: short, decimals: 1}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   cost_usd: currencyUSD
--   cost_per_task_usd: {unit: currencyUSD, decimals: 4}
--   slowest: {unit: text, label: Most time in}
--   slowest_share: {unit: percentunit, decimals: 0, label: Share of time}
--   dearest: {unit: text, label: Most money in}
--   dearest_share: {unit: percentunit, decimals: 0, label: Share of cost}
--   weakest: {unit: text, label: Most failures in}
--   weakest_failed: {unit: short, label: Failed there}
WITH
    families AS
    (
        SELECT
            RootRunId,
            anyIf(multiIf(WorkflowName != '', WorkflowName, AgentName != '', AgentName, ServiceName != '', ServiceName, 'unnamed'), is_root) AS task_of,
            anyIf(Status, is_root) AS status,
            anyIf(DurationMs, is_root) AS task_ms,
            anyIf(CostUsdTotal, is_root) AS task_cost,
            count() AS runs,
            sumMap(map(agent, CostUsd)) AS costs,
            sumMap(map(agent, if(is_root, 0, DurationMs))) AS times,
            sumMap(map(agent, toUInt64(failed))) AS failures
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
    ),
    workflows AS
    (
        SELECT
            task_of,
            count() AS tasks,
            sum(runs) AS all_runs,
            countIf(status = 'completed') / nullIf(countIf(status NOT IN ('initiated', 'running', 'paused')), 0) AS success,
            quantiles(0.5, 0.95)(task_ms) AS times_of_tasks,
            sum(task_cost) AS cost,
            sumMap(costs) AS cost_of,
            sumMap(times) AS time_of,
            sumMap(failures) AS failed_of,
            arrayMax(mapValues(cost_of)) AS most_cost,
            arrayMax(mapValues(time_of)) AS most_time,
            arrayMax(mapValues(failed_of)) AS most_failed
        FROM families
        GROUP BY task_of
    )
SELECT
    task_of AS workflow,
    tasks,
    arrayStringConcat(arraySort(mapKeys(cost_of)), ', ') AS agents,
    all_runs / tasks AS runs_per_task,
    success AS success_rate,
    times_of_tasks[1] AS duration_p50_ms,
    times_of_tasks[2] AS duration_p95_ms,
    cost AS cost_usd,
    cost / tasks AS cost_per_task_usd,
    if(most_time > 0, mapKeys(time_of)[indexOf(mapValues(time_of), most_time)], '') AS slowest,
    most_time / nullIf(arraySum(mapValues(time_of)), 0) AS slowest_share,
    if(most_cost > 0, mapKeys(cost_of)[indexOf(mapValues(cost_of), most_cost)], '') AS dearest,
    most_cost / nullIf(arraySum(mapValues(cost_of)), 0) AS dearest_share,
    if(most_failed > 0, mapKeys(failed_of)[indexOf(mapValues(failed_of), most_failed)], '') AS weakest,
    most_failed AS weakest_failed
FROM workflows
ORDER BY tasks DESC, workflow
LIMIT 200
