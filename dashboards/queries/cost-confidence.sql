-- title: How sure the cost is
-- description: >-
--   Runs by how their cost is known (docs/prices.md). Of `unknown` ones a part has no price: their cost is
--   what is known of it.
-- answers: S3.7 S3.21
-- columns:
--   confidence: {unit: text, colored: word}
--   runs: short
SELECT $level.CostConfidence AS confidence, count() AS runs
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY confidence
ORDER BY runs DESC
