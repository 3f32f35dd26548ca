-- title: Cost over time
-- description: Money by the time a run started, for the ten groups that cost most; the rest is one line.
-- answers: S1.27 S2.30 S3.21
-- dimensions: owners
-- columns: {time: time, dimension: {unit: text, label: Group}, cost_usd: currencyUSD}
WITH dearest AS
(
    SELECT ${by:raw} AS dimension, sum($level.CostUsd) AS total
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
    GROUP BY dimension ORDER BY total DESC LIMIT 10
)
SELECT
    $__timeInterval(StartTime) AS time,
    if(group IN (SELECT dimension FROM dearest), if(group = '', 'none', group), 'others') AS dimension,
    sum(cost) AS cost_usd
FROM
(
    SELECT StartTime, toString(${by:raw}) AS group, $level.CostUsd AS cost
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
)
GROUP BY time, dimension
ORDER BY time, dimension
