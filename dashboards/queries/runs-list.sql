-- title: Runs
-- description: Newest first, a thousand at most. Click a run to open it; click a column's filter to narrow the list.
-- answers: S1.8 S2.18 S2.26 S2.28 S3.10 S3.40 S4.4 S5.67
-- empty: No run matches; widen the period or clear a filter
-- columns:
--   started: {unit: time, width: 180}
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: {unit: text, link: "runs:agent"}
--   workflow: text
--   task_type: text
--   status: {unit: text, colored: word, width: 100}
--   stop_reason: text
--   outcome: {unit: text, colored: word}
--   failure_mode: text
--   duration_ms: {unit: ms, label: Duration}
--   steps: short
--   model_calls: short
--   tool_calls: short
--   retries: short
--   tokens: short
--   cost_usd: {unit: currencyUSD, decimals: 4}
--   findings: {unit: text, label: Found}
--   user: {unit: text, link: "runs:user"}
--   session: {unit: text, link: "runs:session"}
--   workspace: text
--   environment: text
--   version: text
--   tags: text
--   error: text
SELECT
    StartTime AS started,
    RunId AS run_id,
    AgentName AS agent,
    WorkflowName AS workflow,
    TaskType AS task_type,
    Status AS status,
    StopReason AS stop_reason,
    Outcome AS outcome,
    FailureMode AS failure_mode,
    DurationMs AS duration_ms,
    $level.Steps AS steps,
    $level.ModelCalls AS model_calls,
    $level.ToolCalls AS tool_calls,
    $level.Retries AS retries,
    $level.InputTokens + $level.OutputTokens AS tokens,
    $level.CostUsd AS cost_usd,
    arrayStringConcat(arrayDistinct(`Findings.Rule`), ', ') AS findings,
    UserId AS user,
    SessionId AS session,
    Workspace AS workspace,
    Environment AS environment,
    if(AgentVersion != '', AgentVersion, AppVersion) AS version,
    arrayStringConcat(arrayMap((key, value) -> key || '=' || value, mapKeys(Tags), mapValues(Tags)), ', ') AS tags,
    left(ErrorMessage, 200) AS error
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
  AND $list_filters
ORDER BY StartTime DESC, RunId
LIMIT 1000
