-- title: Approvals waiting
-- description: >-
--   Questions of the last 30 days that nobody has answered, in runs that have not ended, whatever the period on
--   top. Answer with `agentrun runs approve RUN_ID` or `refuse` (docs/approvals.md).
-- answers: S1.14 S1.15 S1.16 S4.26 S4.28
-- empty: Nobody is waiting for an answer
-- columns:
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: text
--   question: text
--   tool: text
--   rule: text
--   asked_at: {unit: time, width: 180}
--   waiting_secs: {unit: s, label: Waiting for}
--   expires_in_secs: {unit: s, label: Lapses in}
--   asked_by: text
WITH
    asked AS
    (
        SELECT
            RunId,
            Attributes['agentrun.approval.id'] AS id,
            min(Timestamp) AS at,
            argMin(Attributes, (Timestamp, EventId)) AS said
        FROM $database.agent_events
        WHERE Timestamp >= now() - INTERVAL 30 DAY
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
        WHERE Timestamp >= now() - INTERVAL 30 DAY
          AND Name = 'agentrun.decision'
          AND Attributes['agentrun.decision.outcome'] IN ('approved', 'refused', 'expired')
        GROUP BY RunId, id
    ),
    mine AS
    (
        SELECT RunId, AgentName
        FROM $database.runs
        WHERE StartTime >= now() - INTERVAL 30 DAY
          AND Status IN ('initiated', 'running', 'paused')
          AND $each_run_filters
    )
SELECT
    asked.RunId AS run_id,
    mine.AgentName AS agent,
    asked.said['agentrun.approval.question'] AS question,
    asked.said['gen_ai.tool.name'] AS tool,
    asked.said['agentrun.decision.rule'] AS rule,
    asked.at AS asked_at,
    dateDiff('second', asked.at, now64(9)) AS waiting_secs,
    intDiv(nullIf(toInt64OrZero(asked.said['agentrun.approval.expires_unix_ns']), 0), 1000000000) - toInt64(toUnixTimestamp(now())) AS expires_in_secs,
    asked.said['agentrun.actor'] AS asked_by
FROM asked
ANY INNER JOIN mine ON mine.RunId = asked.RunId
LEFT ANTI JOIN answered ON answered.RunId = asked.RunId AND answered.id = asked.id
ORDER BY asked_at
LIMIT 200
