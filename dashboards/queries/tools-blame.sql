-- title: What failed runs failed of
-- description: >-
--   The step at fault in each run that did not end well, as a share of those runs. "40 % of failed runs
--   come from validation_error on one tool" is one row.
-- answers: S5.31 S3.28 S3.30 S4.34
-- empty: No run failed in this period
-- columns:
--   kind: {unit: text, width: 90}
--   step: {unit: text, label: Tool or step, width: 200}
--   error: {unit: text, width: 160}
--   runs: {unit: short, colored: bar, label: Failed runs}
--   share: {unit: percentunit, decimals: 1, colored: bad, label: Share of failed runs}
--   agent: {unit: text, label: Agent most affected}
--   cost_usd: currencyUSD
--   run_id: {unit: text, label: Last run, link: run}
WITH failed AS
(
    SELECT RunId, GroupId, ErrorSpanId, ErrorType, StopReason, AgentName, StartTime, $level.CostUsd AS cost
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND Status IN ('failed', 'killed', 'timed_out')
      AND $run_filters
)
SELECT
    if(fault.Kind = '', 'none told', fault.Kind) AS kind,
    fault.Step AS step,
    if(failed.ErrorType = '', failed.StopReason, failed.ErrorType) AS error,
    count() AS runs,
    runs / sum(runs) OVER () AS share,
    topK(1)(failed.AgentName)[1] AS agent,
    sum(failed.cost) AS cost_usd,
    argMax(failed.RunId, failed.StartTime) AS run_id
FROM failed
LEFT JOIN
(
    SELECT RunId, SpanId, Kind, if(ToolName != '', ToolName, if(Model != '', Model, Name)) AS Step
    FROM $database.agent_steps
    WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime + INTERVAL 1 DAY
      AND SpanId IN (SELECT ErrorSpanId FROM failed)
    ORDER BY Version DESC
    LIMIT 1 BY RunId, SpanId
) AS fault ON fault.RunId = failed.RunId AND fault.SpanId = failed.ErrorSpanId
GROUP BY kind, step, error
ORDER BY runs DESC
LIMIT 100
