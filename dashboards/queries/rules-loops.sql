-- title: Where agents go in circles
-- description: >-
--   Loops by agent, rule and the tool that is repeated: how often, what the repetitions cost, and how
--   their runs ended. The tool is where the agent does not get on.
-- answers: S1.24 S1.25 S1.31 S3.32 S4.31 S5.43
-- empty: No loop was found in this period
-- columns:
--   agent: {unit: text, link: "runs:agent"}
--   rule: text
--   tool: {unit: text, label: Repeated, width: 200}
--   loops: {unit: short, colored: bar}
--   runs: short
--   repetitions: {unit: short, decimals: 1, label: Repetitions on average}
--   most: {unit: short, label: Most repetitions}
--   cost_usd: {unit: currencyUSD, decimals: 4, label: Cost of repetitions}
--   stopped: {unit: short, label: Stopped for it}
--   completed: {unit: short, label: Completed all the same}
--   ended_by: {unit: text, label: Most frequent end}
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
    )
SELECT
    mine.AgentName AS agent,
    found.said['agentrun.finding.rule'] AS rule,
    extract(found.said['agentrun.finding.explanation'], '`([^`]+)`') AS tool,
    count() AS loops,
    uniqExact(found.RunId) AS runs,
    avg(toFloat64OrZero(found.said['agentrun.finding.amount'])) AS repetitions,
    max(toFloat64OrZero(found.said['agentrun.finding.amount'])) AS most,
    sum(toFloat64OrZero(found.said['agentrun.finding.cost_usd'])) AS cost_usd,
    countIf(mine.StopReason = 'loop_detected') AS stopped,
    countIf(mine.Status = 'completed') AS completed,
    topK(1)(mine.StopReason)[1] AS ended_by
FROM found
ANY INNER JOIN mine ON mine.RunId = found.RunId
WHERE found.said['agentrun.finding.kind'] = 'loop'
GROUP BY agent, rule, tool
ORDER BY cost_usd DESC, loops DESC
LIMIT 200
