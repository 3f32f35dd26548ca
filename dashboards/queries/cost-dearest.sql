-- title: The dearest runs
-- description: >-
--   The dearest 10 % of runs, a hundred at most. "Times usual" compares a run with the median of its
--   agent and task type; "share" adds up from the top.
-- answers: S1.27 S2.27 S3.22
-- columns:
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   started: {unit: time, width: 180}
--   agent: {unit: text, link: "runs:agent"}
--   task_type: text
--   user: {unit: text, link: "runs:user"}
--   status: {unit: text, colored: word}
--   cost_usd: {unit: currencyUSD, colored: bar, decimals: 4}
--   share_so_far: {unit: percentunit, decimals: 1, label: Share of all cost so far}
--   times_usual: {unit: short, decimals: 1, label: Times usual}
--   model_calls: short
--   tool_calls: short
--   retries: short
--   tokens: short
--   models: text
--   findings: {unit: text, label: Found}
SELECT
    RunId AS run_id, StartTime AS started, AgentName AS agent, TaskType AS task_type, UserId AS user,
    Status AS status, cost AS cost_usd, so_far / nullIf(everything, 0) AS share_so_far,
    cost / nullIf(usual, 0) AS times_usual, model_calls, tool_calls, retries, tokens,
    arrayStringConcat(Models, ', ') AS models, found AS findings
FROM
(
    SELECT
        RunId, StartTime, AgentName, TaskType, UserId, Status, Models,
        $level.CostUsd AS cost,
        $level.ModelCalls AS model_calls, $level.ToolCalls AS tool_calls, $level.Retries AS retries,
        $level.InputTokens + $level.OutputTokens AS tokens,
        arrayStringConcat(arrayDistinct(`Findings.Rule`), ', ') AS found,
        sum($level.CostUsd) OVER dearest_first AS so_far,
        sum($level.CostUsd) OVER () AS everything,
        row_number() OVER dearest_first AS place,
        count() OVER () AS total,
        quantile(0.5)($level.CostUsd) OVER (PARTITION BY AgentName, TaskType) AS usual
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
    WINDOW dearest_first AS (ORDER BY $level.CostUsd DESC, RunId ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
WHERE place <= ceil(total / 10)
ORDER BY place
LIMIT 100
