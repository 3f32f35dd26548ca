-- title: Versions side by side
-- description: >-
--   What the runs of each version did, newest version first. Success is given with its 95 % interval
--   (Wilson): where the intervals of two versions overlap widely, the difference may be chance.
-- answers: S4.19 S4.33 S5.22 S5.57 S5.65 S5.82 S4.15 S4.16 S4.17 S4.18
-- empty: No run in this period states a version of this kind
-- dimensions: versions
-- columns:
--   subject: {unit: text, label: Of}
--   version: text
--   agents: text
--   first_run: {unit: time, width: 180}
--   last_run: {unit: time, width: 180}
--   runs: {unit: short, colored: bar}
--   success_rate: {unit: percentunit, colored: good, decimals: 1}
--   success_low: {unit: percentunit, decimals: 1, label: at least}
--   success_high: {unit: percentunit, decimals: 1, label: at most}
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   cost_per_success_usd: {unit: currencyUSD, decimals: 4, label: Cost per successful run}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   steps_per_run: {unit: short, decimals: 1}
--   model_calls_per_run: {unit: short, decimals: 1}
--   tool_calls_per_run: {unit: short, decimals: 1}
--   retries_per_run: {unit: short, decimals: 2}
--   complaint_rate: {unit: percentunit, colored: bad, decimals: 1}
--   failure_mode: {unit: text, label: Most frequent failure}
WITH
    nullIf(countIf(Status NOT IN ('initiated', 'running', 'paused')), 0) AS ended,
    1.96 * sqrt(success_rate * (1 - success_rate) / ended + 0.9604 / pow(ended, 2)) AS spread
SELECT
    found.1 AS subject,
    found.2 AS version,
    arrayStringConcat(arraySort(groupUniqArray(10)(AgentName)), ', ') AS agents,
    min(StartTime) AS first_run,
    max(StartTime) AS last_run,
    count() AS runs,
    countIf(Status = 'completed') / ended AS success_rate,
    (success_rate + 1.9208 / ended - spread) / (1 + 3.8416 / ended) AS success_low,
    (success_rate + 1.9208 / ended + spread) / (1 + 3.8416 / ended) AS success_high,
    sum($level.CostUsd) / runs AS cost_per_run_usd,
    sum($level.CostUsd) / nullIf(countIf(Status = 'completed'), 0) AS cost_per_success_usd,
    quantileIf(0.95)(DurationMs, Status NOT IN ('initiated', 'running', 'paused')) AS duration_p95_ms,
    avg($level.Steps) AS steps_per_run,
    avg($level.ModelCalls) AS model_calls_per_run,
    avg($level.ToolCalls) AS tool_calls_per_run,
    avg($level.Retries) AS retries_per_run,
    countIf($complaint) / runs AS complaint_rate,
    topKIf(1)(FailureMode, FailureMode != '')[1] AS failure_mode
FROM (SELECT ${by:raw} AS found, * FROM $database.runs WHERE $__timeFilter(StartTime) AND $run_filters)
GROUP BY found
ORDER BY first_run DESC, subject, version
LIMIT 300
