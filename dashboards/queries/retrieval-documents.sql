-- title: Top documents
-- description: >-
--   Which documents retrievals return most, how high, and how the runs ended that got them; of the
--   newest 10,000 retrievals. A document that comes often and helps seldom is worth a look. Several
--   versions of one document mean that old copies are still in the index.
-- answers: S4.10 S4.22 S5.7 S5.15 S5.32 S5.33 S5.54 S5.81
-- empty: No retrieval said which documents it returned
-- columns:
--   document: {unit: text, width: 240}
--   source: {unit: text, width: 160}
--   returned: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of retrievals}
--   first: {unit: percentunit, decimals: 1, label: Was the first}
--   mean_rank: {unit: short, decimals: 1}
--   mean_score: {unit: short, decimals: 3}
--   runs: short
--   success_rate: {unit: percentunit, colored: good, decimals: 1, label: Runs that worked out}
--   versions: short
--   version: {unit: text, label: Newest version}
--   age_days: {unit: d, decimals: 0, label: Age}
--   last_used: {unit: time, width: 180}
--   run_id: {unit: text, label: Last run, link: run}
WITH found AS (SELECT *, count() OVER () AS retrievals FROM $retrievals)
SELECT
    one.id AS document,
    topK(1)(Source)[1] AS source,
    count() AS returned,
    returned / any(retrievals) AS share,
    countIf(one.rank = 1) / returned AS first,
    avg(one.rank) AS mean_rank,
    avg(one.score) AS mean_score,
    uniqExact(found.RunId) AS runs,
    uniqExactIf(found.RunId, run.Outcome = 'success') / nullIf(uniqExactIf(found.RunId, run.Outcome != ''), 0) AS success_rate,
    uniqExactIf(one.version, one.version != '') AS versions,
    max(one.version) AS version,
    dateDiff('day', max(one.changed), max(found.Timestamp)) AS age_days,
    max(found.Timestamp) AS last_used,
    argMax(found.RunId, found.Timestamp) AS run_id
FROM found
ARRAY JOIN Documents AS one
LEFT JOIN
(
    SELECT RunId, Outcome FROM $database.runs
    WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
) AS run ON run.RunId = found.RunId
WHERE one.id != ''
GROUP BY document
ORDER BY returned DESC, document
LIMIT 200
