-- title: Dialects
-- description: In whose words runs arrive, and what is missing in them; `agentrun explain` shows how one run was read.
-- answers: S1.41 S4.14 S5.75
-- columns:
--   dialect: {unit: text, width: 180}
--   runs: {unit: short, colored: bar}
--   with_gaps: {unit: short, label: With gaps}
--   share_with_gaps: {unit: percentunit, colored: bad, decimals: 1}
--   unpriced: {unit: short, label: Without a price}
--   gaps: {unit: text, label: Most frequent gaps}
SELECT
    arrayJoin(emptyArrayToSingle(Dialects)) AS dialect,
    count() AS runs,
    countIf(notEmpty(DataQuality)) AS with_gaps,
    with_gaps / runs AS share_with_gaps,
    countIf(CostConfidence = 'unknown') AS unpriced,
    arrayStringConcat(topKArray(3)(DataQuality), ', ') AS gaps
FROM $database.runs
WHERE $__timeFilter(StartTime)
GROUP BY dialect
ORDER BY runs DESC
LIMIT 100
