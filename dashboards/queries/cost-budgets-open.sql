-- title: Open runs and their budgets
-- description: >-
--   Runs of the last 30 days that have not ended, whatever the period on top, each with the budget that it
--   is nearest to, and when that is used up if the run goes on as until now.
-- answers: S1.9 S1.14 S1.19 S1.20 S2.15
-- empty: No run is open, or none has a budget
-- columns:
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: text
--   status: {unit: text, colored: word}
--   rule: text
--   measure: text
--   limit: short
--   used: {unit: short, decimals: 4}
--   remaining: {unit: short, decimals: 4}
--   used_share: {unit: percentunit, colored: used, decimals: 1}
--   used_up_in_secs: {unit: s, label: Used up in}
SELECT
    RunId AS run_id, AgentName AS agent, Status AS status, budget.1 AS rule, budget.2 AS measure,
    budget.3 AS limit, budget.4 AS used, budget.5 AS remaining,
    used / nullIf(limit, 0) AS used_share,
    remaining * greatest(dateDiff('millisecond', StartTime, now64(9)), 1) / 1000 / nullIf($budget_own, 0) AS used_up_in_secs
FROM $database.runs
ARRAY JOIN arrayZip(`Budgets.Rule`, `Budgets.Kind`, `Budgets.Limit`, `Budgets.Used`, `Budgets.Remaining`) AS budget
WHERE StartTime >= now() - INTERVAL 30 DAY
  AND Status IN ('initiated', 'running', 'paused')
  AND budget.2 NOT IN ('depth', 'fan_out')
  AND $run_filters
ORDER BY used_share DESC, run_id, rule
LIMIT 1 BY run_id
LIMIT 100
