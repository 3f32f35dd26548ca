-- title: Searches that found nothing
-- description: The newest searches without a result, as they were asked, in the words of the store after redaction. Questions that come again are documents to write.
-- answers: S5.7 S5.32 S5.63
-- empty: Every search found something
-- columns:
--   time: {unit: time, width: 180}
--   agent: {unit: text, width: 150}
--   source: {unit: text, width: 160}
--   query: text
--   filters: {unit: text, width: 180}
--   removed: {unit: short, label: Removed by filters}
--   duration_ms: {unit: ms, label: Duration}
--   run_id: {unit: text, label: Run, link: run}
SELECT
    Timestamp AS time,
    AgentName AS agent,
    Source AS source,
    left(Query, 500) AS query,
    Filters AS filters,
    RemovedCount AS removed,
    DurationMs AS duration_ms,
    RunId AS run_id
FROM $retrievals
WHERE HitCount = 0
ORDER BY time DESC, run_id
LIMIT 200
