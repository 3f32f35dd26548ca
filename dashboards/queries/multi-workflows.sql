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
    tasks AS
    (
        SELECT
            RunId, Status, CostUsdTotal, DurationMs,
            multiIf(WorkflowName != '', WorkflowName, AgentName != '', AgentName, ServiceName != '', ServiceName, 'unnamed') AS workflow
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
    ),
    of_agent AS
    (
        SELECT
            task.workflow AS workflow,
            member.agent AS agent,
            count() AS runs,
            countIf(member.failed) AS failed,
            sum(member.CostUsd) AS cost,
            sumIf(member.DurationMs, member.ParentRunId != '') AS busy
        FROM members AS member
        INNER JOIN tasks AS task ON task.RunId = member.RootRunId
        GROUP BY workflow, agent
    ),
    of_agents AS
    (
        SELECT
            workflow,
            arrayStringConcat(arraySort(groupUniqArray(20)(agent)), ', ') AS agents,
            sum(runs) AS all_runs,
            sum(cost) AS all_cost,
            argMax(agent, (busy, agent)) AS slowest,
            max(busy) / nullIf(sum(busy), 0) AS slowest_share,
            if(all_cost > 0, argMax(agent, (cost, agent)), '') AS dearest,
            max(cost) / nullIf(all_cost, 0) AS dearest_share,
            max(failed) AS weakest_failed,
            if(weakest_failed > 0, argMax(agent, (failed, agent)), '') AS weakest
        FROM of_agent
        GROUP BY workflow
    )
SELECT
    task.workflow AS workflow,
    count() AS tasks,
    any(inside.agents) AS agents,
    any(inside.all_runs) / tasks AS runs_per_task,
    countIf(task.Status = 'completed') / nullIf(countIf(task.Status NOT IN ('initiated', 'running', 'paused')), 0) AS success_rate,
    quantile(0.5)(task.DurationMs) AS duration_p50_ms,
    quantile(0.95)(task.DurationMs) AS duration_p95_ms,
    sum(task.CostUsdTotal) AS cost_usd,
    cost_usd / tasks AS cost_per_task_usd,
    any(inside.slowest) AS slowest,
    any(inside.slowest_share) AS slowest_share,
    any(inside.dearest) AS dearest,
    any(inside.dearest_share) AS dearest_share,
    any(inside.weakest) AS weakest,
    any(inside.weakest_failed) AS weakest_failed
FROM tasks AS task
INNER JOIN of_agents AS inside ON inside.workflow = task.workflow
GROUP BY workflow
ORDER BY tasks DESC, workflow
LIMIT 200
