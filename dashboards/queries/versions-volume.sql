-- title: Runs by version over time
-- description: >-
--   Runs of the ten versions that have most: since when a version is in use, how far it is rolled
--   out, whether the old one is gone.
-- answers: S4.19 S5.22
-- empty: No run in this period states a version of this kind
-- dimensions: versions
-- columns: {time: time, dimension: {unit: text, label: Version}, runs: short}
WITH found AS
(
    SELECT $__timeInterval(StartTime) AS time, ${by:raw} AS version, count() AS n
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
    GROUP BY time, version
)
SELECT time, concat(version.1, ' ', version.2) AS dimension, n AS runs
FROM found
WHERE version IN (SELECT version FROM found GROUP BY version ORDER BY sum(n) DESC LIMIT 10)
ORDER BY time, dimension
