-- title: Approvals
-- description: >-
--   What people were asked, by tool and rule, what became of it and how long it took. A tool that is always
--   approved needs no question; questions that expire need somebody who looks.
-- answers: S1.16 S2.14 S4.26 S4.28
-- empty: Nobody was asked in this period
-- columns:
--   agent: {unit: text, link: "runs:agent"}
--   tool: text
--   rule: text
--   asked: {unit: short, colored: bar}
--   approved: short
--   refused: short
--   expired: short
--   unanswered: short
--   approved_share: {unit: percentunit, decimals: 1}
--   wait_p50_secs: {unit: s, label: p50 wait}
--   wait_p95_secs: {unit: s, label: p95 wait}
--   answered_by: {unit: text, label: Most frequent people}
WITH
    asked AS
    (
        SELECT
            RunId,
            Attributes['agentrun.approval.id'] AS id,
            min(Timestamp) AS at,
            argMin(Attributes, (Timestamp, EventId)) AS said
        FROM $database.agent_events
        WHERE $__timeFilter(Timestamp)
          AND Name = 'agentrun.approval.requested'
        GROUP BY RunId, id
    ),
    answered AS
    (
        SELECT
            RunId,
            Attributes['agentrun.approval.id'] AS id,
            min(Timestamp) AS at,
            argMin(Attributes, (Timestamp, EventId)) AS said
        FROM $database.agent_events
        WHERE Timestamp >= $__fromTime
          AND Name = 'agentrun.decision'
          AND Attributes['agentrun.decision.outcome'] IN ('approved', 'refused', 'expired')
        GROUP BY RunId, id
    ),
    mine AS
    (
        SELECT RunId, AgentName
        FROM $database.runs
        WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
          AND $each_run_filters
    )
SELECT
    mine.AgentName AS agent,
    asked.said['gen_ai.tool.name'] AS tool,
    asked.said['agentrun.decision.rule'] AS rule,
    count() AS asked,
    countIf(answered.said['agentrun.decision.outcome'] = 'approved') AS approved,
    countIf(answered.said['agentrun.decision.outcome'] = 'refused') AS refused,
    countIf(answered.said['agentrun.decision.outcome'] = 'expired') AS expired,
    countIf(empty(answered.said)) AS unanswered,
    approved / nullIf(asked - unanswered, 0) AS approved_share,
    quantileIf(0.5)(dateDiff('millisecond', asked.at, answered.at) / 1000, notEmpty(answered.said)) AS wait_p50_secs,
    quantileIf(0.95)(dateDiff('millisecond', asked.at, answered.at) / 1000, notEmpty(answered.said)) AS wait_p95_secs,
    arrayStringConcat(topKIf(3)(answered.said['agentrun.actor'], answered.said['agentrun.actor'] != ''), ', ') AS answered_by
FROM asked
ANY INNER JOIN mine ON mine.RunId = asked.RunId
ANY LEFT JOIN answered ON answered.RunId = asked.RunId AND answered.id = asked.id
GROUP BY agent, tool, rule
ORDER BY asked DESC
LIMIT 200
