-- title: Newest findings
-- description: >-
--   What was found, in words, newest first, five hundred at most, with the verdict of feedback under the
--   rule's name. Click a run for the spans that show it.
-- answers: S1.24 S1.25 S1.26 S3.44 S4.31 S4.32 S5.43 S5.55 S5.80
-- empty: No rule found anything in this period
-- columns:
--   at: {unit: time, width: 180}
--   rule: {unit: text, width: 150}
--   action: {unit: text, width: 80}
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: {unit: text, link: "runs:agent"}
--   status: {unit: text, colored: word, width: 100}
--   explanation: text
--   cost_usd: {unit: currencyUSD, decimals: 4, label: Cost of repetitions}
--   verdict: {unit: text, label: Feedback}
WITH
    found AS
    (
        SELECT
            RunId,
            if(mapContains(Attributes, 'agentrun.finding.id'), Attributes['agentrun.finding.id'], EventId) AS id,
            argMax(Timestamp, (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS at,
            argMax(Attributes, (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS said
        FROM $database.agent_events
        WHERE $__timeFilter(Timestamp)
          AND Name = 'agentrun.finding'
        GROUP BY RunId, id
        HAVING NOT mapContains(said, 'agentrun.finding.withdrawn')
    ),
    mine AS
    (
        SELECT
            RunId, RootRunId, AgentName, WorkflowName, TaskType, Status, Outcome, StopReason,
            CostUsd AS run_usd
        FROM $database.runs
        WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
          AND $each_run_filters
    ),
    -- Feedback under the name of a rule judges what that rule found in the run; the newest one counts.
    judged AS
    (
        SELECT RunId, Name AS rule, argMax(Label, (Timestamp, EventId)) AS verdict
        FROM $database.agent_feedback
        WHERE Timestamp >= $__fromTime - INTERVAL 1 DAY
          AND Label IN ('false_positive', 'true_positive')
        GROUP BY RunId, rule
    )
SELECT
    found.at AS at,
    found.said['agentrun.finding.rule'] AS rule,
    found.said['agentrun.finding.action'] || if(mapContains(found.said, 'agentrun.finding.dry_run'), ' (trial)', '') AS action,
    found.RunId AS run_id,
    mine.AgentName AS agent,
    mine.Status AS status,
    found.said['agentrun.finding.explanation'] AS explanation,
    toFloat64OrNull(found.said['agentrun.finding.cost_usd']) AS cost_usd,
    judged.verdict AS verdict
FROM found
ANY INNER JOIN mine ON mine.RunId = found.RunId
ANY LEFT JOIN judged ON judged.RunId = found.RunId AND judged.rule = found.said['agentrun.finding.rule']
ORDER BY at DESC, run_id, rule
LIMIT 500
