-- title: Decisions, approvals, directives
-- description: Who decided what about this run and why; approvals asked for and given, pauses, kills, handoffs, fallbacks, feedback, state changes and payments.
-- answers: S1.12 S1.13 S1.16 S1.17 S1.18 S2.14 S2.16 S2.17 S2.27 S3.16 S3.20 S4.26 S4.27 S4.28 S4.29 S5.8 S5.9 S5.34 S5.46 S5.47 S5.48 S5.49 S5.50 S5.51 S5.52 S5.54 S5.80
-- empty: Nothing was decided or reported about this run beside its steps
-- columns:
--   at: {unit: time, width: 180}
--   event: {unit: text, width: 200}
--   what: {unit: text, width: 220}
--   outcome: {unit: text, width: 110}
--   actor: {unit: text, width: 130}
--   reason: text
--   details: text
WITH (SELECT min(StartTime) FROM $database.runs WHERE RunId = ${run:sqlstring}) AS began
SELECT
    Timestamp AS at,
    Name AS event,
    arrayStringConcat(arrayFilter(one -> one != '', [
        Attributes['agentrun.decision.kind'], Attributes['agentrun.decision.chosen'],
        Attributes['agentrun.approval.question'], Attributes['agentrun.directive.action'],
        Attributes['agentrun.feedback.name'], Attributes['agentrun.state.operation'],
        Attributes['agentrun.state.key'], Attributes['agentrun.payment.kind'],
        Attributes['gen_ai.evaluation.name']
    ]), ': ') AS what,
    arrayStringConcat(arrayFilter(one -> one != '', [
        Attributes['agentrun.decision.outcome'], Attributes['agentrun.directive.status'],
        Attributes['agentrun.feedback.label'], Attributes['agentrun.feedback.score'],
        Attributes['agentrun.payment.usd'], Attributes['gen_ai.evaluation.score.label'],
        Attributes['gen_ai.evaluation.score.value']
    ]), ' ') AS outcome,
    Attributes['agentrun.actor'] AS actor,
    arrayStringConcat(arrayFilter(one -> one != '', [
        Attributes['agentrun.decision.reason'], Attributes['agentrun.feedback.comment'],
        Attributes['agentrun.stop.reason']
    ]), ' ') AS reason,
    arrayStringConcat(arrayMap((key, value) -> key || '=' || left(value, 300), mapKeys(Attributes), mapValues(Attributes)), '; ') AS details
FROM $database.agent_events
WHERE Timestamp >= began - INTERVAL 1 DAY
  AND RunId = ${run:sqlstring}
  AND (Name LIKE 'agentrun.%' OR Name = 'gen_ai.evaluation.result')
  AND Name NOT IN ('agentrun.run.step', 'agentrun.run.heartbeat', 'agentrun.finding')
ORDER BY at, EventId
LIMIT 1 BY EventId
LIMIT 1000
