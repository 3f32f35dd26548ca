-- For people and Grafana: the newest row of everything, without having to know about versions.

CREATE OR REPLACE VIEW runs $on_cluster AS
SELECT *, DurationNs / 1e6 AS DurationMs, DurationNs, CostNanoUsd, CostNanoUsdTotal, CostUsd, CostUsdTotal
FROM agent_runs FINAL;

CREATE OR REPLACE VIEW steps $on_cluster AS
SELECT *, DurationNs / 1e6 AS DurationMs, DurationNs, CostNanoUsd / 1e9 AS CostUsd
FROM agent_steps FINAL;

-- Feedback and evaluations are events and an input of the fold; this is how they read as a table.
CREATE OR REPLACE VIEW agent_feedback $on_cluster AS
SELECT
    Timestamp, EventId, e.Name AS EventName, RunId, GroupId, TraceId, SpanId,
    if(mapContains(Attributes, 'agentrun.feedback.name'),
        Attributes['agentrun.feedback.name'], Attributes['gen_ai.evaluation.name']) AS Name,
    toFloat64OrNull(if(mapContains(Attributes, 'agentrun.feedback.score'),
        Attributes['agentrun.feedback.score'],
        Attributes['gen_ai.evaluation.score.value'])) AS Score,
    if(mapContains(Attributes, 'agentrun.feedback.label'),
        Attributes['agentrun.feedback.label'], Attributes['gen_ai.evaluation.score.label']) AS Label,
    if(mapContains(Attributes, 'agentrun.feedback.comment'),
        Attributes['agentrun.feedback.comment'],
        Attributes['gen_ai.evaluation.explanation']) AS Comment,
    Attributes
FROM agent_events AS e FINAL
WHERE e.Name IN ('agentrun.feedback', 'gen_ai.evaluation.result');
