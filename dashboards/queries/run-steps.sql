-- title: Steps
-- description: Every step in order, child runs linked. Counted steps are plan, model, tool, retrieve and validate; the rest is what happened around them.
-- answers: S4.1 S1.8 S1.28 S1.29 S1.32 S2.7 S2.9 S2.10 S2.13 S3.3 S3.14 S3.15 S3.17 S3.39 S4.6 S4.7 S4.13 S4.30 S4.31 S5.5 S5.6 S5.12 S5.13 S5.14 S5.21 S5.29 S5.30 S5.41 S5.73 S5.74 S5.77 S5.78
-- empty: No step of this run is stored
-- columns:
--   started: {unit: time, width: 190}
--   offset_ms: {unit: ms, label: After start, width: 90}
--   kind: {unit: text, width: 80}
--   step: {unit: text, width: 220}
--   agent: text
--   status: {unit: text, colored: word, width: 80}
--   duration_ms: {unit: ms, label: Duration, colored: bar}
--   attempt: {unit: short, label: Retry}
--   retry_reason: text
--   error: {unit: text, label: Error}
--   message: text
--   model: text
--   input_tokens: short
--   output_tokens: short
--   cached_tokens: short
--   cost_usd: {unit: currencyUSD, decimals: 5}
--   documents: short
--   requested: {unit: text, label: Calls requested}
--   finish: {unit: text, label: Finish reason}
--   same_calls: {unit: short, label: Same call so far}
--   child_run: {unit: text, link: run}
--   counted: {unit: bool}
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
    (toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano(began)) / 1e6 AS offset_ms,
    Kind AS kind,
    if(ToolName != '', ToolName, Name) AS step,
    AgentName AS agent,
    Status AS status,
    DurationMs AS duration_ms,
    Attempt AS attempt,
    RetryReason AS retry_reason,
    ErrorType AS error,
    left(ErrorMessage, 500) AS message,
    Model AS model,
    InputTokens AS input_tokens,
    OutputTokens AS output_tokens,
    CacheReadTokens AS cached_tokens,
    CostUsd AS cost_usd,
    HitCount AS documents,
    arrayStringConcat(`ToolRequests.Name`, ', ') AS requested,
    arrayStringConcat(FinishReasons, ', ') AS finish,
    if(ToolName = '' OR ArgumentsDigest = '', 0, row_number() OVER (PARTITION BY ToolName, ArgumentsDigest ORDER BY Timestamp, SpanId)) AS same_calls,
    ChildRunId AS child_run,
    Counted AS counted,
    SpanId AS span_id
FROM $database.steps
WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
  AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
  AND (RunId = ${run:sqlstring} OR ChildRunId = ${run:sqlstring})
ORDER BY started, span_id
LIMIT 5000
