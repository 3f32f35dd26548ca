-- title: Decisions
-- description: >-
--   What agents, rules and people decided, by kind and verdict: allowed, blocked, throttled, escalated, asked,
--   routed; and about what. The page of a run has each with its reason.
-- answers: S2.14 S2.17 S2.27 S4.26 S4.27 S5.9 S5.54
-- empty: No decision was reported in this period
-- columns:
--   kind: {unit: text, width: 110}
--   outcome: {unit: text, width: 110}
--   rule: text
--   about: {unit: text, width: 180}
--   actor: {unit: text, label: By}
--   decisions: {unit: short, colored: bar}
--   runs: short
--   last_at: {unit: time, label: Last}
--   reason: {unit: text, label: Last reason}
SELECT
    Attributes['agentrun.decision.kind'] AS kind,
    Attributes['agentrun.decision.outcome'] AS outcome,
    Attributes['agentrun.decision.rule'] AS rule,
    multiIf(
        Attributes['gen_ai.tool.name'] != '', Attributes['gen_ai.tool.name'],
        Attributes['agentrun.decision.chosen'] != '', Attributes['agentrun.decision.chosen'],
        Attributes['gen_ai.request.model']
    ) AS about,
    Attributes['agentrun.actor'] AS actor,
    uniqExact(EventId) AS decisions,
    uniqExact(RunId) AS runs,
    max(Timestamp) AS last_at,
    argMax(Attributes['agentrun.decision.reason'], Timestamp) AS reason
FROM $database.agent_events
WHERE $__timeFilter(Timestamp)
  AND Name = 'agentrun.decision'
  AND RunId IN
  (
      SELECT RunId FROM $database.runs
      WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
        AND $each_run_filters
  )
GROUP BY kind, outcome, rule, about, actor
ORDER BY decisions DESC, kind, outcome
LIMIT 300
