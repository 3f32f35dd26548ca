-- title: What was asked, what the user received
-- description: >-
--   Input and output of the run, as its own span or its first and last model call recorded them; a
--   redacted value shows as `[redacted:…]`. Empty where the emitter records no content, or where its
--   retention has passed.
-- answers: S3.2 S3.4 S3.13 S4.20 S5.3 S5.10 S5.77
-- empty: No content was recorded for this run, or its retention has passed
-- columns:
--   what: {unit: text, width: 110}
--   attribute: {unit: text, width: 220}
--   text: text
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    wanted AS
    (
        SELECT arrayJoin(arrayDistinct([InputSpanId, OutputSpanId, RootSpanId])) AS SpanId FROM run
    ),
    (SELECT min(StartTime) - INTERVAL 1 MINUTE FROM run) AS since,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over,
    '(^|[._])(input|prompt|question|instructions|query)' AS input_like,
    '(^|[._])(output|completion|answer|response\\.text)' AS output_like,
    '(token|usage|mime|schema|structure|type$|price|cost)' AS not_like
SELECT what, attribute, text
FROM
(
    SELECT Timestamp, entry.1 AS attribute, left(entry.2, 8000) AS text
    FROM $database.otel_traces
    ARRAY JOIN arrayZip(mapKeys(SpanAttributes), mapValues(SpanAttributes)) AS entry
    WHERE Timestamp >= since AND Timestamp <= over
      AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
      AND SpanId IN (SELECT SpanId FROM wanted)
    UNION ALL
    SELECT Timestamp, Key AS attribute, left(Value, 8000) AS text
    FROM $database.agent_content
    WHERE Timestamp >= since AND Timestamp <= over
      AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
      AND SpanId IN (SELECT SpanId FROM wanted)
)
WHERE text != '' AND NOT match(lower(attribute), not_like)
  AND (match(lower(attribute), input_like) OR match(lower(attribute), output_like))
GROUP BY if(match(lower(attribute), output_like), 'received', 'asked') AS what, attribute, text
ORDER BY what, min(Timestamp), attribute
LIMIT 60
