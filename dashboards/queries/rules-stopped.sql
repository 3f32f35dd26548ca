-- title: Stopped runs
-- description: >-
--   Each run that was ended before it was done: for which rule or by whom, and why, in the words of the
--   decision or the directive that stopped it.
-- answers: S1.17 S1.18 S1.20 S1.26 S2.17 S4.26 S5.9 S5.34
-- empty: No run was stopped in this period
-- columns:
--   at: {unit: time, width: 180, label: Ended}
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: {unit: text, link: "runs:agent"}
--   status: {unit: text, colored: word, width: 100}
--   stop_reason: {unit: text, width: 140}
--   rule: text
--   actor: {unit: text, label: By}
--   reason: text
--   cost_usd: {unit: currencyUSD, decimals: 4, label: Cost until then}
--   steps: short
WITH
    stopped AS
    (
        SELECT
            RunId, EndTime, AgentName AS agent, Status, StopReason, ErrorMessage,
            CostUsdTotal AS usd, StepsTotal AS taken
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND (startsWith(StopReason, 'budget_')
            OR StopReason IN ('loop_detected', 'policy', 'killed_by_operator', 'rejected', 'approval_expired', 'cancelled'))
          AND $each_run_filters
    ),
    said AS
    (
        SELECT
            RunId,
            argMaxIf(Attributes['agentrun.decision.rule'], Timestamp, Attributes['agentrun.decision.rule'] != '') AS rule,
            argMaxIf(Attributes['agentrun.actor'], Timestamp, Attributes['agentrun.actor'] != '') AS actor,
            argMaxIf(Attributes['agentrun.decision.reason'], Timestamp, Attributes['agentrun.decision.reason'] != '') AS reason
        FROM $database.agent_events
        WHERE Timestamp >= $__fromTime - INTERVAL 1 DAY
          AND RunId IN (SELECT RunId FROM stopped)
          AND ((Name = 'agentrun.decision' AND (Attributes['agentrun.decision.kind'] IN ('stop', 'approval') OR Attributes['agentrun.decision.outcome'] = 'block'))
            OR (Name = 'agentrun.directive' AND Attributes['agentrun.directive.action'] IN ('kill', 'refuse')))
        GROUP BY RunId
    )
SELECT
    stopped.EndTime AS at, stopped.RunId AS run_id, stopped.agent AS agent, stopped.Status AS status,
    stopped.StopReason AS stop_reason, said.rule AS rule, said.actor AS actor,
    if(said.reason != '', said.reason, stopped.ErrorMessage) AS reason,
    stopped.usd AS cost_usd, stopped.taken AS steps
FROM stopped
ANY LEFT JOIN said ON said.RunId = stopped.RunId
ORDER BY at DESC, run_id
LIMIT 500
