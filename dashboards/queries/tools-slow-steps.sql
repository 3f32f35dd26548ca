-- title: Slow steps
-- description: Steps by the time that they take together. A high share with a low p95 is called too often, a high p95 is slow itself.
-- answers: S4.30 S1.32
-- columns:
--   kind: {unit: text, width: 90}
--   step: {unit: text, label: Tool or step, width: 200}
--   agent: {unit: text, label: Agent with most of it, width: 160}
--   calls: short
--   p50_ms: {unit: ms, label: p50}
--   p95_ms: {unit: ms, label: p95}
--   longest_ms: {unit: ms, label: Longest}
--   total_ms: {unit: ms, label: All together, colored: bar}
--   share_of_time: {unit: percentunit, decimals: 1}
--   run_id: {unit: text, label: Run with the longest, link: run}
SELECT
    Kind AS kind,
    if(ToolName != '', ToolName, if(Model != '', Model, Name)) AS step,
    topK(1)(AgentName)[1] AS agent,
    count() AS calls,
    quantile(0.5)(DurationMs) AS p50_ms,
    quantile(0.95)(DurationMs) AS p95_ms,
    max(DurationMs) AS longest_ms,
    sum(DurationMs) AS total_ms,
    total_ms / sum(total_ms) OVER () AS share_of_time,
    argMax(RunId, DurationMs) AS run_id
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Counted AND Kind != 'run'
  AND $step_filters
GROUP BY kind, step
ORDER BY total_ms DESC
LIMIT 100
