-- title: Technical and product success
-- description: >-
--   Status against outcome. Hard failure: stopped with an error. Soft failure: finished, and judged
--   useless. Process failure: the right answer, the wrong way.
-- answers: S3.20 S3.31 S3.42 S5.54 S5.55
-- columns:
--   status: {unit: text, colored: word}
--   outcome: {unit: text, colored: word}
--   runs: {unit: short, colored: bar}
--   rated: {unit: short, label: With feedback}
SELECT
    Status AS status,
    if(Outcome = '', 'open', Outcome) AS outcome,
    count() AS runs,
    countIf(notEmpty(Quality)) AS rated
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY status, outcome
ORDER BY runs DESC
