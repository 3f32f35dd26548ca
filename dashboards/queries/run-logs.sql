-- title: Log records
-- description: What the application logged while in this run's traces; the ids are the same as in the spans.
-- answers: S4.8 S1.37
-- empty: No log record carries this run's trace ids
-- columns: {timestamp: time, body: text, level: text, labels: text, traceID: text}
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    (SELECT min(StartTime) FROM run) AS began,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over
SELECT
    Timestamp AS timestamp,
    if(Body != '', Body, EventName) AS body,
    lower(SeverityText) AS level,
    mapConcat(LogAttributes, map('span', SpanId, 'event', EventName)) AS labels,
    TraceId AS traceID
FROM $database.otel_logs
WHERE Timestamp >= began - INTERVAL 1 MINUTE AND Timestamp <= over
  AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
  AND NOT startsWith(EventName, 'agentrun.')
ORDER BY timestamp, RecordId
LIMIT 1 BY timestamp, RecordId
LIMIT 2000
