-- title: Prompts and versions
-- description: Which version of which prompt each model call of this run stated, and the models that answered.
-- answers: S2.12 S2.25 S4.15 S5.22 S5.24 S5.77
-- empty: No step of this run states a version of a prompt
-- columns:
--   prompt: text
--   version: text
--   calls: short
--   models: text
--   first_at: {unit: time, label: First used}
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    (SELECT min(StartTime) FROM run) AS began,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over
SELECT
    replaceOne(label.1, 'prompt_versions.', '') AS prompt,
    label.2 AS version,
    countIf(Kind = 'model') AS calls,
    arrayStringConcat(groupUniqArrayIf(Model, Model != ''), ', ') AS models,
    min(Timestamp) AS first_at
FROM $database.steps
ARRAY JOIN arrayZip(mapKeys(Labels), mapValues(Labels)) AS label
WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
  AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
  AND RunId = ${run:sqlstring}
  AND startsWith(label.1, 'prompt_versions.')
GROUP BY prompt, version
ORDER BY first_at
