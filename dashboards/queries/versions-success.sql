-- title: Success by version over time
-- description: >-
--   Share of runs that ended without an error, for the ten versions with most runs. A line that ends
--   where another begins is a replacement; two lines side by side share the traffic.
-- answers: S4.19 S5.57 S5.65
-- empty: No run in this period states a version of this kind
-- dimensions: versions
-- columns: {time: time, dimension: {unit: text, label: Version}, success_rate: percentunit}
WITH found AS
(
    SELECT $__timeInterval(StartTime) AS time, ${by:raw} AS version, count() AS n, countIf(Status = 'completed') AS good
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND Status NOT IN ('initiated', 'running', 'paused')
      AND $run_filters
    GROUP BY time, version
)
SELECT time, concat(version.1, ' ', version.2) AS dimension, good / n AS success_rate
FROM found
WHERE version IN (SELECT version FROM found GROUP BY version ORDER BY sum(n) DESC LIMIT 10)
ORDER BY time, dimension
