-- title: How results are combined
-- description: >-
--   By agent and method: how often, how many outputs were kept and thrown away, how often the votes
--   were unanimous, how far ahead the winner was. Outputs that are always thrown away are paid for
--   nothing. Of the newest five thousand planning steps of the period.
-- answers: S5.50 S5.51 S5.52
-- empty: No step says that it made one result of several (`run.aggregate`, docs/sdk.md)
-- columns:
--   agent: {unit: text, link: "runs:agent"}
--   method: text
--   times: {unit: short, colored: bar}
--   kept: {unit: short, decimals: 1, label: Kept each time}
--   discarded: {unit: short, decimals: 1, label: Thrown away each time}
--   discarded_share: {unit: percentunit, decimals: 0}
--   voted: {unit: short, label: With votes}
--   unanimous: {unit: percentunit, decimals: 0, label: Unanimous}
--   winner_share: {unit: percentunit, decimals: 0, label: Votes of the winner}
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
    step.AgentName AS agent,
    span.method AS method,
    count() AS times,
    avg(length(JSONExtractArrayRaw(span.chosen))) AS kept,
    avg(length(JSONExtractArrayRaw(span.discarded))) AS discarded,
    discarded / nullIf(kept + discarded, 0) AS discarded_share,
    countIf(span.votes != '') AS voted,
    countIf(span.votes != '' AND arrayCount(one -> one.2 > 0, JSONExtractKeysAndValues(span.votes, 'Float64')) = 1) / nullIf(voted, 0) AS unanimous,
    avgIf(arrayMax(one -> one.2, JSONExtractKeysAndValues(span.votes, 'Float64')) / arraySum(one -> one.2, JSONExtractKeysAndValues(span.votes, 'Float64')), span.votes != '') AS winner_share
FROM combined AS span
INNER JOIN planned AS step ON step.TraceId = span.TraceId AND step.SpanId = span.SpanId
WHERE span.method != ''
GROUP BY agent, method
ORDER BY times DESC, agent, method
LIMIT 100
