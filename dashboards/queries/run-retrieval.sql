-- title: Retrievals
-- description: Each search of the run, how many documents it returned, and what is recorded of query, source and documents.
-- answers: S4.10 S4.22 S5.7 S5.15 S5.32 S5.33 S5.37 S5.77 S5.81
-- empty: This run retrieved nothing
-- columns:
--   started: {unit: time, width: 180}
--   step: text
--   status: {unit: text, colored: word}
--   duration_ms: {unit: ms, label: Duration}
--   documents: short
--   recorded: text
--   span_id: text
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    (SELECT min(StartTime) FROM run) AS began,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over
SELECT
    Timestamp AS started,
    Name AS step,
    Status AS status,
    DurationMs AS duration_ms,
    HitCount AS documents,
    left(recorded, 6000) AS recorded,
    SpanId AS span_id
FROM $database.steps AS step_
LEFT JOIN
(
    SELECT
        TraceId, SpanId,
        arrayStringConcat(arrayMap((key, value) -> key || ' = ' || value, mapKeys(told), mapValues(told)), '\n') AS recorded,
        mapFilter((key, value) -> match(lower(key), 'retriev|document|query|data_source|rerank|embedding|top_k'), SpanAttributes) AS told
    FROM $database.otel_traces
    WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
      AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
    LIMIT 1 BY TraceId, SpanId
) AS spans USING (TraceId, SpanId)
WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
  AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
  AND RunId = ${run:sqlstring}
  AND Kind = 'retrieve'
ORDER BY started, span_id
LIMIT 500
