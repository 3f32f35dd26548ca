-- title: Tasks of several agents
-- description: >-
--   How many tasks were shared among agents (child runs, whatever started them), and whether that
--   pays: success, duration and cost of those tasks beside tasks that one agent did alone.
-- answers: S3.36 S3.37 S3.38 S5.49
-- columns:
--   tasks: short
--   shared: {unit: short, label: With several agents}
--   share: {unit: percentunit, decimals: 1, label: Share of tasks}
--   agents_per_task: {unit: short, decimals: 1, label: Agents started per task}
--   deepest: {unit: short, label: Deepest chain}
--   widest: {unit: short, label: Widest fan-out}
--   handoffs: short
--   success_shared: {unit: percentunit, colored: good, decimals: 1, label: "Success, several"}
--   success_alone: {unit: percentunit, colored: good, decimals: 1, label: "Success, alone"}
--   duration_shared_ms: {unit: ms, label: "p95 duration, several"}
--   duration_alone_ms: {unit: ms, label: "p95 duration, alone"}
--   cost_shared_usd: {unit: currencyUSD, decimals: 4, label: "Cost per task, several"}
--   cost_alone_usd: {unit: currencyUSD, decimals: 4, label: "Cost per task, alone"}
WITH
    notEmpty(ChildRunIds) AS several,
    Status NOT IN ('initiated', 'running', 'paused') AS ended
SELECT
    count() AS tasks,
    countIf(several) AS shared,
    shared / nullIf(tasks, 0) AS share,
    sumIf(length(ChildRunIds), several) / nullIf(shared, 0) AS agents_per_task,
    max(MaxDepth) AS deepest,
    max(MaxFanOut) AS widest,
    sum(HandoffsTotal) AS handoffs,
    countIf(several AND Status = 'completed') / nullIf(countIf(several AND ended), 0) AS success_shared,
    countIf(NOT several AND Status = 'completed') / nullIf(countIf(NOT several AND ended), 0) AS success_alone,
    quantileIf(0.95)(DurationMs, several AND ended) AS duration_shared_ms,
    quantileIf(0.95)(DurationMs, NOT several AND ended) AS duration_alone_ms,
    sumIf(CostUsdTotal, several) / nullIf(shared, 0) AS cost_shared_usd,
    sumIf(CostUsdTotal, NOT several) / nullIf(tasks - shared, 0) AS cost_alone_usd
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND ParentRunId = ''
  AND $run_filters
