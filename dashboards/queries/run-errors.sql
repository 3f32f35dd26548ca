-- title: Errors and where they happened
-- description: Failed steps with their typed error, where in the run they happened, and whether a retry followed.
-- answers: S3.30 S4.32 S4.34 S5.21 S5.28 S5.29 S5.30 S5.73 S5.77 S5.80
-- empty: No step of this run failed
-- columns:
--   started: {unit: time, width: 180}
--   number: {unit: short, label: "Step number"}
--   kind: text
--   step: text
--   status: {unit: text, colored: word}
--   error: {unit: text, label: Error}
--   message: text
--   attempt: {unit: short, label: Retry}
--   retried: text
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
        SELECT
            *,
            row_number() OVER (ORDER BY Timestamp, SpanId) AS number,
            max(Attempt) OVER (PARTITION BY if(RetryOf != '', RetryOf, SpanId)) AS attempts
        FROM $database.steps
        WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
          AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
          AND RunId = ${run:sqlstring}
    )
SELECT
    Timestamp AS started,
    number,
    Kind AS kind,
    if(ToolName != '', ToolName, Name) AS step,
    Status AS status,
    ErrorType AS error,
    ErrorMessage AS message,
    Attempt AS attempt,
    if(attempts > Attempt, 'yes', 'no') AS retried,
    SpanId AS span_id
FROM mine
WHERE Status IN ('error', 'timeout', 'cancelled')
ORDER BY started, span_id
LIMIT 500
