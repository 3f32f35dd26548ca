-- title: Listed runs over time
-- description: The runs of the list below by the time they started; without its limit of a thousand.
-- answers: S3.40
-- columns: {time: time, status: text, runs: short}
SELECT $__timeInterval(StartTime) AS time, Status AS status, count() AS runs
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
  AND $list_filters
GROUP BY time, status
ORDER BY time, status
