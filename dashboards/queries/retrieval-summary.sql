-- title: Retrieval at a glance
-- description: >-
--   Searches of documents or memory: how often nothing came back (a miss; of those that say how much
--   came back), how much did, how long it took and how often it failed.
-- answers: S4.10 S5.37 S5.63
-- dimensions:
--   all: "''"
--   source: "replaceRegexpOne(Name, '^(agent\\\\.retrieve|retrieval|search_memory) ', '')"
--   agent: AgentName
--   index-version: "if(Labels['index_version'] = '', 'not told', Labels['index_version'])"
-- empty: Nothing was retrieved in this period with these filters
-- columns:
--   dimension: {unit: text, label: Group, width: 220}
--   retrievals: {unit: short, colored: bar}
--   miss_rate: {unit: percentunit, colored: bad, decimals: 1}
--   documents: {unit: short, decimals: 1, label: Documents per retrieval}
--   error_rate: {unit: percentunit, colored: bad, decimals: 1}
--   retry_rate: {unit: percentunit, colored: bad, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   runs: {unit: short, label: Runs that retrieve}
--   untold: {unit: percentunit, decimals: 1, label: Without a count of documents}
SELECT
    ${by:raw} AS dimension,
    count() AS retrievals,
    countIf(HitCount = 0) / nullIf(countIf(HitCount IS NOT NULL), 0) AS miss_rate,
    avg(HitCount) AS documents,
    countIf(Status IN ('error', 'timeout')) / retrievals AS error_rate,
    countIf(RetryOf != '' OR EmittedAttempt > 1) / retrievals AS retry_rate,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    quantile(0.95)(DurationMs) AS duration_p95_ms,
    uniqExact(RunId) AS runs,
    countIf(HitCount IS NULL) / retrievals AS untold
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'retrieve' AND Counted
  AND $step_filters
GROUP BY dimension
ORDER BY retrievals DESC
LIMIT 500
