-- title: Stop reasons
-- description: Why runs ended; limits that were hit, kills and refusals included.
-- answers: S5.34 S5.42 S5.60
-- columns:
--   stop_reason: {unit: text, link: "runs:stop_reason"}
--   runs: short
SELECT if(StopReason = '', 'still open', StopReason) AS stop_reason, count() AS runs
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY stop_reason
ORDER BY runs DESC
