-- title: Calls per run
-- description: Steps and calls of a run that ended. The p95 far above the median points at runs that go in circles.
-- answers: S1.30 S1.34 S5.35 S5.36 S5.37 S5.38 S5.59
-- dimensions: runs
-- columns:
--   dimension: {unit: text, label: Group}
--   measure: {unit: text, width: 160}
--   mean: {unit: short, decimals: 1}
--   p50: short
--   p95: short
--   most: short
SELECT
    ${by:raw} AS dimension,
    figure.1 AS measure,
    avg(figure.2) AS mean,
    quantile(0.5)(figure.2) AS p50,
    quantile(0.95)(figure.2) AS p95,
    max(figure.2) AS most
FROM $database.runs
ARRAY JOIN
[
    ('steps', $level.Steps), ('model calls', $level.ModelCalls), ('tool calls', $level.ToolCalls),
    ('retrievals', $level.Retrievals), ('retries', $level.Retries),
    ('input tokens', $level.InputTokens), ('output tokens', $level.OutputTokens)
] AS figure
WHERE $__timeFilter(StartTime)
  AND Status NOT IN ('initiated', 'running', 'paused')
  AND $run_filters
GROUP BY dimension, measure
ORDER BY dimension, indexOf(['steps', 'model calls', 'tool calls', 'retrievals', 'retries', 'input tokens', 'output tokens'], measure)
LIMIT 700
