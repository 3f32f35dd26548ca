-- title: Budget nearly used up
-- description: >-
--   The largest share of a budget that an open run, or one that began in the last hour, has used: its own
--   or one it shares with others. Look at the use of budgets on the dashboard Cost and budgets.
-- answers: S1.9 S1.19 S2.15
-- columns:
--   agent: text
--   rule: text
--   used_share: percentunit
SELECT
    AgentName AS agent,
    budget.1 AS rule,
    max(budget.3 / budget.2) AS used_share
FROM $database.runs
ARRAY JOIN arrayFilter(
    (one, kind) -> one.2 > 0 AND kind NOT IN ('depth', 'fan_out'),
    arrayZip(`Budgets.Rule`, `Budgets.Limit`, `Budgets.Used`), `Budgets.Kind`) AS budget
WHERE StartTime >= $__toTime - INTERVAL 1 DAY
  AND (StartTime >= $__toTime - INTERVAL 1 HOUR OR Status IN ('initiated', 'running', 'paused'))
GROUP BY agent, rule
