-- title: Tool fails too often
-- description: >-
--   Share of a tool's calls that failed, for tools with at least twenty calls in the period. The
--   dashboard Tools and failures says which error it is, and whether a version is to blame.
-- answers: S5.58 S5.76
-- columns:
--   tool: text
--   error_rate: percentunit
SELECT
    ToolName AS tool,
    countIf(Status IN ('error', 'timeout')) / count() AS error_rate
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'tool' AND Counted
GROUP BY tool
HAVING count() >= 20
