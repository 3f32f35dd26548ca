-- title: The decision ledger
-- description: >-
--   Entries of the chain that shows when a decision was changed or removed, for all workspaces and without
--   the filters on top. `agentrun ledger verify` checks it, `agentrun ledger export` writes it (docs/ledger.md).
-- answers: S2.17 S4.26 S4.28 S4.29 S5.71
-- empty: Nothing was decided in this period
-- tenants: false
-- columns:
--   kind: {unit: text, width: 140}
--   outcome: {unit: text, width: 140}
--   actor: {unit: text, label: By}
--   rule: text
--   entries: {unit: short, colored: bar}
--   runs: short
--   chains: short
--   first_at: {unit: time, label: First}
--   last_at: {unit: time, label: Last}
SELECT
    Kind AS kind, Outcome AS outcome, Actor AS actor, Rule AS rule, uniqExact(EventId) AS entries,
    uniqExactIf(RunId, RunId != '') AS runs, uniqExact(ChainId) AS chains,
    min(Timestamp) AS first_at, max(Timestamp) AS last_at
FROM $database.decision_ledger FINAL
WHERE $__timeFilter(Timestamp)
  -- The ledger is in the order of its chain: its events lead to the entries of a period.
  AND EventId IN
  (
      SELECT EventId FROM $database.agent_events
      WHERE $__timeFilter(Timestamp)
        AND Name IN ('agentrun.decision', 'agentrun.directive', 'agentrun.approval.requested', 'agentrun.finding', 'agentrun.erased')
  )
GROUP BY kind, outcome, actor, rule
ORDER BY entries DESC
LIMIT 300
