-- title: Does retrieval help?
-- description: Runs by what their retrievals found, and how they ended. Where runs whose search found nothing do as well, the documents do not matter; where they do worse, misses cost answers.
-- answers: S5.54 S5.63
-- columns:
--   found: {unit: text, label: The run's retrievals, width: 220}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1}
--   success_rate: {unit: percentunit, colored: good, decimals: 1, label: Ended without error}
--   worked_out_rate: {unit: percentunit, colored: good, decimals: 1, label: Worked out}
--   retrievals_per_run: {unit: short, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   run_id: {unit: text, label: Last run, link: run}
SELECT
    multiIf(searched.retrievals = 0, 'none', searched.told = 0, 'not told', searched.misses = 0, 'each found something',
        searched.misses = searched.told, 'all found nothing', 'some found nothing') AS found,
    count() AS runs,
    runs / sum(runs) OVER () AS share,
    countIf(Status = 'completed') / runs AS success_rate,
    countIf(Outcome = 'success') / nullIf(countIf(Outcome != ''), 0) AS worked_out_rate,
    avg(searched.retrievals) AS retrievals_per_run,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    avg($level.CostUsd) AS cost_per_run_usd,
    argMax(run.RunId, StartTime) AS run_id
FROM $database.runs AS run
LEFT JOIN
(
    SELECT RunId, count() AS retrievals, countIf(HitCount IS NOT NULL) AS told, countIf(HitCount = 0) AS misses
    FROM $database.steps
    WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime + INTERVAL 1 DAY
      AND Kind = 'retrieve' AND Counted
    GROUP BY RunId
) AS searched ON searched.RunId = run.RunId
WHERE $__timeFilter(StartTime)
  AND Status NOT IN ('initiated', 'running', 'paused')
  AND $run_filters
GROUP BY found
ORDER BY runs DESC
