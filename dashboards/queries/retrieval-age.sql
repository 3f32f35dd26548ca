-- title: Age of documents used
-- description: >-
--   How old the documents were when retrievals returned them, of the newest 10,000 retrievals. The age
--   is told by a document's or its metadata's field for its last change, or by a version that is a
--   date; the share that tells an age or a version comes first.
-- answers: S5.81
-- empty: No retrieval said which documents it returned
-- columns:
--   source: {unit: text, width: 180}
--   used: {unit: short, colored: bar, label: Documents used}
--   with_version: {unit: percentunit, decimals: 1, label: With a version}
--   with_age: {unit: percentunit, decimals: 1, label: With an age}
--   age_p50_days: {unit: d, decimals: 1, label: Age p50}
--   age_p95_days: {unit: d, decimals: 1, label: Age p95}
--   oldest_days: {unit: d, decimals: 0, label: Oldest}
--   over_a_year: {unit: percentunit, decimals: 1, colored: bad, label: Older than a year}
--   oldest: {unit: text, label: Oldest document, width: 220}
--   oldest_run: {unit: text, label: Run that used it, link: run}
WITH dateDiff('hour', assumeNotNull(one.changed), Timestamp) / 24 AS days
SELECT
    Source AS source,
    count() AS used,
    countIf(one.version != '') / used AS with_version,
    countIf(one.changed IS NOT NULL) / used AS with_age,
    quantileIfOrNull(0.5)(days, one.changed IS NOT NULL) AS age_p50_days,
    quantileIfOrNull(0.95)(days, one.changed IS NOT NULL) AS age_p95_days,
    maxIfOrNull(days, one.changed IS NOT NULL) AS oldest_days,
    countIf(days > 365 AND one.changed IS NOT NULL) / nullIf(countIf(one.changed IS NOT NULL), 0) AS over_a_year,
    argMaxIf(one.id, days, one.changed IS NOT NULL) AS oldest,
    argMaxIf(RunId, days, one.changed IS NOT NULL) AS oldest_run
FROM $retrievals
ARRAY JOIN Documents AS one
GROUP BY source
ORDER BY used DESC
LIMIT 200
