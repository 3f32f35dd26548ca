-- title: Error rate by tool
-- description: Share of a tool's calls that failed, for the ten tools with most failures. One tool that rises alone is its own fault, all at once point at something that they share.
-- answers: S5.58 S3.15
-- empty: No tool failed in this period
-- columns:
--   time: time
--   tool: text
--   error_rate: percentunit
SELECT
    $__timeInterval(Timestamp) AS time,
    ToolName AS tool,
    countIf(Status IN ('error', 'timeout')) / count() AS error_rate
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'tool' AND Counted
  AND $step_filters
  AND ToolName IN
  (
      SELECT ToolName FROM $database.agent_steps
      WHERE $__timeFilter(Timestamp)
        AND Kind = 'tool' AND Counted AND Status IN ('error', 'timeout')
        AND $step_filters
      GROUP BY ToolName
      ORDER BY count() DESC
      LIMIT 10
  )
GROUP BY time, tool
ORDER BY time, tool
