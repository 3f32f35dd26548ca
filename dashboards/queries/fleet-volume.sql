-- title: Runs over time
-- description: Runs by the time they started and by status. A gap is a time in which nothing ran, or in which nothing arrived.
-- answers: S3.24 S3.18
-- columns: {time: time, status: text, runs: short}
SELECT $__timeInterval(StartTime) AS time, Status AS status, count() AS runs
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY time, status
ORDER BY time, status
