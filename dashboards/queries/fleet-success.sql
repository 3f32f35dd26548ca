-- title: Success over time
-- description: >-
--   Technical success (ended without an error) beside product success (the answer was of use). Where
--   the lines part, runs finish and do not help.
-- answers: S1.35 S3.25 S3.31 S3.42
-- columns:
--   time: time
--   technical: {unit: percentunit, label: Ended without error}
--   product: {unit: percentunit, label: Worked out}
SELECT
    $__timeInterval(StartTime) AS time,
    countIf(Status = 'completed') / count() AS technical,
    countIf(Outcome = 'success') / nullIf(countIf(Outcome != ''), 0) AS product
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND Status NOT IN ('initiated', 'running', 'paused')
  AND $run_filters
GROUP BY time
ORDER BY time
