-- title: Limits that history suggests
-- description: >-
--   What completed runs of an agent and a task type have cost, the limit that `agentrun rules suggest`
--   makes of it (one and a half times the 99th percentile, from ten runs on), and the one in force.
-- answers: S1.21 S1.22
-- empty: No run with a known price was completed in this period
-- columns:
--   agent: {unit: text, link: "runs:agent"}
--   task_type: {unit: text, link: "runs:task_type"}
--   runs: short
--   p50_usd: {unit: currencyUSD, decimals: 4, label: p50}
--   p95_usd: {unit: currencyUSD, decimals: 4, label: p95}
--   p99_usd: {unit: currencyUSD, decimals: 4, label: p99}
--   most_usd: {unit: currencyUSD, decimals: 4, label: Most}
--   suggested_usd: {unit: currencyUSD, decimals: 4, label: Suggested limit}
--   limit_usd: {unit: currencyUSD, decimals: 2, label: Limit in force}
WITH arraySort(groupArray(CostUsdTotal)) AS costs
SELECT
    AgentName AS agent,
    TaskType AS task_type,
    count() AS runs,
    costs[toUInt64(ceil(0.5 * runs))] AS p50_usd,
    costs[toUInt64(ceil(0.95 * runs))] AS p95_usd,
    costs[toUInt64(ceil(0.99 * runs))] AS p99_usd,
    costs[runs] AS most_usd,
    if(runs >= 10 AND p99_usd > 0, ceil(round(p99_usd * 1.5 / 0.0001, 6)) * 0.0001, NULL) AS suggested_usd,
    min(arrayMin(arrayFilter((limit, kind) -> kind = 'cost_usd', `Budgets.Limit`, `Budgets.Kind`))) AS limit_usd
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND Status = 'completed'
  AND ParentRunId = ''
  AND AgentName != ''
  AND CostConfidenceTotal != 'unknown'
  AND $run_filters
GROUP BY agent, task_type
ORDER BY most_usd DESC
LIMIT 200
