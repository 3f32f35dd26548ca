-- title: Handoffs
-- description: >-
--   One agent passes the task to another: how often, how long it waited for an answer, how the run of
--   the one that took over went, and the reasons given (of the newest thousand handoffs). No run of
--   the recipient means that the framework does not show it as one.
-- answers: S5.46 S5.47 S5.64 S3.34
-- empty: No agent handed a task to another one in this period
-- columns:
--   from_agent: {unit: text, label: From, width: 180, link: "runs:agent"}
--   to_agent: {unit: text, label: To, width: 180}
--   handoffs: {unit: short, colored: bar}
--   failed: {unit: short, label: Could not}
--   duration_p95_ms: {unit: ms, label: p95 wait}
--   recipient_runs: {unit: short, label: Runs of the recipient}
--   recipient_success: {unit: percentunit, colored: good, decimals: 1, label: Success of these}
--   recipient_cost_usd: {unit: currencyUSD, decimals: 4, label: Cost of these}
--   reasons: text
--   run_id: {unit: text, label: Last run, link: run}
WITH
    handed AS
    (
        SELECT Timestamp, TraceId, SpanId, RunId, AgentName, HandoffTo, Status, EndTime
        FROM $database.agent_steps
        WHERE $__timeFilter(Timestamp)
          AND (Role = 'handoff' OR HandoffTo != '')
          AND $step_filters
        ORDER BY Version DESC
        LIMIT 1 BY TraceId, SpanId
    ),
    newest AS (SELECT Timestamp, TraceId, SpanId, AgentName, HandoffTo FROM handed ORDER BY Timestamp DESC LIMIT 1000),
    told AS
    (
        SELECT
            step.AgentName AS from_agent,
            step.HandoffTo AS to_agent,
            arrayStringConcat(topKIf(3)(span.SpanAttributes['agentrun.handoff.reason'], span.SpanAttributes['agentrun.handoff.reason'] != ''), '; ') AS reasons
        FROM
        (
            SELECT TraceId, SpanId, SpanAttributes
            FROM $database.otel_traces
            WHERE Timestamp >= (SELECT min(Timestamp) FROM newest) AND Timestamp <= $__toTime
              AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM newest)
        ) AS span
        INNER JOIN newest AS step ON step.TraceId = span.TraceId AND step.SpanId = span.SpanId
        GROUP BY from_agent, to_agent
    ),
    recipients AS
    (
        SELECT ParentRunId, AgentName, count() AS runs, countIf(Status = 'completed') AS completed, sum(CostUsdTotal) AS cost
        FROM $database.runs
        WHERE StartTime >= $__fromTime AND StartTime <= $__toTime + INTERVAL 1 DAY
          AND ParentRunId IN (SELECT RunId FROM handed)
        GROUP BY ParentRunId, AgentName
    )
SELECT
    step.AgentName AS from_agent,
    if(step.HandoffTo = '', 'not told', step.HandoffTo) AS to_agent,
    sum(step.handoffs) AS handoffs,
    sum(step.failed) AS failed,
    quantileArray(0.95)(step.waits) AS duration_p95_ms,
    sum(child.runs) AS recipient_runs,
    sum(child.completed) / nullIf(recipient_runs, 0) AS recipient_success,
    sum(child.cost) AS recipient_cost_usd,
    any(said.reasons) AS reasons,
    argMax(step.RunId, step.last_at) AS run_id
FROM
(
    SELECT
        RunId, AgentName, HandoffTo,
        count() AS handoffs,
        countIf(Status IN ('error', 'timeout')) AS failed,
        groupArray((toUnixTimestamp64Nano(EndTime) - toUnixTimestamp64Nano(Timestamp)) / 1e6) AS waits,
        max(Timestamp) AS last_at
    FROM handed
    GROUP BY RunId, AgentName, HandoffTo
) AS step
LEFT JOIN recipients AS child ON child.ParentRunId = step.RunId AND child.AgentName = step.HandoffTo
LEFT JOIN told AS said ON said.from_agent = step.AgentName AND said.to_agent = step.HandoffTo
GROUP BY from_agent, to_agent
ORDER BY handoffs DESC, from_agent, to_agent
LIMIT 200
