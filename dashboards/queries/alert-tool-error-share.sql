-- title: Failed runs have one cause
-- description: >-
--   Share of the failed runs that failed of one error of one tool, with at least ten failed runs in
--   the period. Mend that one first: the dashboard Tools and failures leads to the runs.
-- answers: S5.31
-- columns:
--   tool: text
--   error: text
--   share: percentunit
WITH failed AS
(
    SELECT RunId, ErrorSpanId, ErrorType
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND ParentRunId = ''
      AND Status IN ('failed', 'killed', 'timed_out')
)
SELECT
    fault.ToolName AS tool,
    if(failed.ErrorType = '', 'not told', failed.ErrorType) AS error,
    count() / any(of_all) AS share
FROM failed
CROSS JOIN (SELECT count() AS of_all FROM failed) AS every
INNER JOIN
(
    SELECT RunId, SpanId, ToolName
    FROM $database.agent_steps
    WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime
      AND ToolName != ''
      AND SpanId IN (SELECT ErrorSpanId FROM failed)
    ORDER BY Version DESC
    LIMIT 1 BY RunId, SpanId
) AS fault ON fault.RunId = failed.RunId AND fault.SpanId = failed.ErrorSpanId
GROUP BY tool, error
HAVING any(of_all) >= 10
