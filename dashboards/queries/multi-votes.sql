-- title: Votes and discarded outputs
-- description: >-
--   Each time one result was made of several, newest first: the method, the votes, what went into the
--   result and what was thrown away. Of the newest five thousand planning steps of the period.
-- answers: S5.50 S5.51 S5.52 S5.49
-- empty: No step says that it made one result of several (`run.aggregate`, docs/sdk.md)
-- columns:
--   at: {unit: time, width: 180}
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: {unit: text, link: "runs:agent"}
--   method: text
--   started: {unit: text, label: Started at once}
--   votes: text
--   chosen: text
--   discarded: text
--   discarded_count: {unit: short, label: Thrown away}
WITH
    planned AS
    (
        SELECT Timestamp, TraceId, SpanId, RunId, AgentName
        FROM $database.agent_steps
        WHERE $__timeFilter(Timestamp)
          AND Kind = 'plan'
          AND $step_filters
        ORDER BY Timestamp DESC, Version DESC
        LIMIT 1 BY TraceId, SpanId
        LIMIT 5000
    ),
    combined AS
    (
        SELECT
            TraceId,
            SpanId,
            SpanAttributes['agentrun.aggregation.method'] AS method,
            SpanAttributes['agentrun.aggregation.votes'] AS votes,
            SpanAttributes['agentrun.aggregation.chosen'] AS chosen,
            SpanAttributes['agentrun.aggregation.discarded'] AS discarded,
            SpanAttributes['agentrun.fan_out.count'] AS fan_out
        FROM $database.otel_traces
        WHERE Timestamp >= (SELECT min(Timestamp) FROM planned) AND Timestamp <= $__toTime
          AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM planned)
          AND (mapContains(SpanAttributes, 'agentrun.aggregation.method') OR mapContains(SpanAttributes, 'agentrun.fan_out.count'))
        LIMIT 1 BY TraceId, SpanId
    )
SELECT
    step.Timestamp AS at,
    step.RunId AS run_id,
    step.AgentName AS agent,
    span.method AS method,
    span.fan_out AS started,
    left(span.votes, 500) AS votes,
    left(span.chosen, 500) AS chosen,
    left(span.discarded, 500) AS discarded,
    length(JSONExtractArrayRaw(span.discarded)) AS discarded_count
FROM combined AS span
INNER JOIN planned AS step ON step.TraceId = span.TraceId AND step.SpanId = span.SpanId
ORDER BY at DESC, run_id
LIMIT 200
