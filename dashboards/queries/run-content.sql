-- title: What models and tools were given and returned
-- description: >-
--   Messages, prompts and their variables, tool arguments and results, retrieved documents, request
--   parameters: the attributes of each step that hold content, in the emitter's own words, redacted
--   before they were stored. Values over 4,000 characters are cut here.
-- answers: S3.39 S4.20 S4.21 S4.22 S4.23 S5.4 S5.5 S5.6 S5.7 S5.14 S5.16 S5.24 S5.26 S5.27 S5.28 S5.32 S5.33 S5.79 S5.77
-- empty: No content was recorded for this run, or its retention has passed
-- columns:
--   started: {unit: time, width: 180}
--   kind: {unit: text, width: 80}
--   step: {unit: text, width: 180}
--   attribute: {unit: text, width: 240}
--   value: text
--   span_id: text
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    (SELECT min(StartTime) FROM run) AS began,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over,
    mine AS
    (
        SELECT TraceId, SpanId, Timestamp, Kind, if(ToolName != '', ToolName, Name) AS Step
        FROM $database.steps
        WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
          AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
          AND RunId = ${run:sqlstring}
    ),
    '(input|output|prompt|completion|message|argument|result|document|query|instruction|temperature|max_tokens|top_[kp]|response_format|tool_choice|tool\\.definitions|filters|score|text)' AS content_like,
    '(usage|token_count|tokens$|digest|hash|count$|mime_type)' AS not_like
SELECT Timestamp AS started, Kind AS kind, Step AS step, attribute, left(value, 4000) AS value, SpanId AS span_id
FROM mine
INNER JOIN
(
    SELECT TraceId, SpanId, entry.1 AS attribute, entry.2 AS value
    FROM $database.otel_traces
    ARRAY JOIN arrayZip(mapKeys(SpanAttributes), mapValues(SpanAttributes)) AS entry
    WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
      AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
    UNION ALL
    SELECT TraceId, SpanId, Key AS attribute, Value AS value
    FROM $database.agent_content
    WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
      AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
) AS content USING (TraceId, SpanId)
WHERE value != '' AND match(lower(attribute), content_like)
  AND (NOT match(lower(attribute), not_like) OR attribute = 'gen_ai.request.max_tokens')
ORDER BY started, span_id, attribute
LIMIT 1 BY span_id, attribute
LIMIT 2000
