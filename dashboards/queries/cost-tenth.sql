-- title: The tenth that eats the money
-- description: >-
--   The dearest 10 % of runs against all others: what they take, and in what they differ. More calls
--   or retries per run point at loops; more tokens per call at contexts that grow.
-- answers: S1.27 S1.32 S3.22
-- columns:
--   runs_of: {unit: text, label: Runs, width: 130}
--   runs: {unit: short, label: Number}
--   cost_usd: currencyUSD
--   share: {unit: percentunit, decimals: 1, label: Share of cost}
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   from_usd: {unit: currencyUSD, decimals: 4, label: Cheapest of them}
--   model_calls: {unit: short, decimals: 1, label: Model calls per run}
--   tool_calls: {unit: short, decimals: 1, label: Tool calls per run}
--   tokens_per_call: {unit: short, decimals: 0, label: Tokens per model call}
--   retries: {unit: short, decimals: 2, label: Retries per run}
--   with_findings: {unit: percentunit, decimals: 1, label: With a finding}
--   failed: {unit: percentunit, colored: bad, decimals: 1, label: Not completed}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   agents: {unit: text, label: Most frequent agents}
--   task_types: {unit: text, label: Most frequent task types}
SELECT
    if(is_dear, 'dearest tenth', 'all others') AS runs_of,
    count() AS runs,
    sum(cost) AS cost_usd,
    cost_usd / nullIf(sum(cost_usd) OVER (), 0) AS share,
    cost_usd / runs AS cost_per_run_usd,
    min(cost) AS from_usd,
    avg(calls) AS model_calls,
    avg(used_tools) AS tool_calls,
    sum(tokens) / nullIf(sum(calls), 0) AS tokens_per_call,
    avg(repeated) AS retries,
    countIf(found) / runs AS with_findings,
    countIf(status != 'completed') / runs AS failed,
    quantile(0.5)(took) AS duration_p50_ms,
    arrayStringConcat(topKIf(3)(agent, agent != ''), ', ') AS agents,
    arrayStringConcat(topKIf(3)(task, task != ''), ', ') AS task_types
FROM
(
    SELECT
        $level.CostUsd AS cost, $level.ModelCalls AS calls, $level.ToolCalls AS used_tools,
        $level.InputTokens + $level.OutputTokens AS tokens, $level.Retries AS repeated,
        notEmpty(`Findings.Rule`) AS found, Status AS status, DurationMs AS took,
        AgentName AS agent, TaskType AS task,
        row_number() OVER (ORDER BY $level.CostUsd DESC, RunId) <= ceil(count() OVER () / 10) AS is_dear
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
)
GROUP BY is_dear
ORDER BY is_dear DESC
