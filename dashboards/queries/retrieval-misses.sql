-- title: Miss rate over time
-- description: Share of retrievals that found nothing. A step up after a release points at the index, a filter or the embedding model.
-- answers: S5.63 S5.82
-- empty: No retrieval said how much it found
-- columns:
--   time: time
--   source: text
--   miss_rate: percentunit
SELECT
    $__timeInterval(Timestamp) AS time,
    replaceRegexpOne(Name, '^(agent\\.retrieve|retrieval|search_memory) ', '') AS source,
    countIf(HitCount = 0) / count() AS miss_rate
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Kind = 'retrieve' AND Counted AND HitCount IS NOT NULL
  AND $step_filters
GROUP BY time, source
ORDER BY time, source
LIMIT 20 BY time
