-- title: Removed documents
-- description: >-
--   Documents that were found and taken away again, by reason, of the newest 10,000 retrievals: a
--   permission filter, an age limit, a threshold. "Left nothing" are retrievals that had nothing else.
-- answers: S4.10 S4.34 S5.7
-- empty: No retrieval said that documents were removed
-- columns:
--   source: {unit: text, width: 180}
--   reason: {unit: text, width: 180}
--   documents: {unit: short, colored: bar}
--   retrievals: short
--   left_nothing: {unit: short, label: Left nothing}
--   document: {unit: text, label: Most often}
--   run_id: {unit: text, label: Last run, link: run}
WITH if(isValidJSON(Removed) AND notEmpty(JSONExtractArrayRaw(Removed)), JSONExtractArrayRaw(Removed),
    if(RemovedCount > 0, [concat('{"count":', toString(RemovedCount), '}')], [])) AS removed
SELECT
    source, reason,
    toInt64(sum(number)) AS documents,
    uniqExact(TraceId, SpanId) AS retrievals,
    uniqExactIf((TraceId, SpanId), HitCount = 0) AS left_nothing,
    topKIf(1)(id, id != '')[1] AS document,
    argMax(RunId, Timestamp) AS run_id
FROM
(
    SELECT
        Source AS source, TraceId, SpanId, RunId, Timestamp, HitCount,
        arrayJoin(removed) AS one,
        if(JSONExtractString(one, 'reason') = '', 'not told', JSONExtractString(one, 'reason')) AS reason,
        JSONExtractString(one, 'id') AS id,
        greatest(JSONExtractInt(one, 'count'), 1) AS number
    FROM $retrievals
)
GROUP BY source, reason
ORDER BY documents DESC
LIMIT 200
