-- title: Spans
-- description: All spans of the run's traces, those of other runs in the same trace included; click one for its attributes, events and links.
-- answers: S1.28 S1.29 S2.11 S3.35 S3.39 S4.9 S4.10 S4.11 S4.12 S4.13 S4.30 S5.12 S5.19 S5.53
-- columns: {traceID: text, spanID: text, parentSpanID: text, serviceName: text, operationName: text, startTime: ms, duration: ms, tags: text, serviceTags: text, statusCode: short, statusMessage: text, kind: text, logs: text, references: text, traceState: text}
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    (SELECT min(StartTime) - INTERVAL 1 HOUR FROM run) AS since,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over
SELECT
    TraceId AS traceID,
    SpanId AS spanID,
    ParentSpanId AS parentSpanID,
    ServiceName AS serviceName,
    SpanName AS operationName,
    toUnixTimestamp64Nano(Timestamp) / 1e6 AS startTime,
    Duration / 1e6 AS duration,
    arrayMap(key -> map('key', key, 'value', SpanAttributes[key]), mapKeys(SpanAttributes)) AS tags,
    arrayMap(key -> map('key', key, 'value', ResourceAttributes[key]), mapKeys(ResourceAttributes)) AS serviceTags,
    if(StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) AS statusCode,
    StatusMessage AS statusMessage,
    SpanKind AS kind,
    arrayMap(
        (name, at, attributes) -> tuple(name, toString(toUnixTimestamp64Milli(at)), arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))::Tuple(name String, timestamp String, fields Array(Map(String, String))),
        `Events.Name`, `Events.Timestamp`, `Events.Attributes`
    ) AS logs,
    arrayMap(
        (trace, span, attributes) -> tuple(trace, span, arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))::Tuple(traceID String, spanID String, tags Array(Map(String, String))),
        `Links.TraceId`, `Links.SpanId`, `Links.Attributes`
    ) AS references,
    TraceState AS traceState
FROM $database.otel_traces
WHERE Timestamp >= since AND Timestamp <= over
  AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
ORDER BY Timestamp, SpanId, Version DESC
LIMIT 1 BY TraceId, SpanId
LIMIT 5000
